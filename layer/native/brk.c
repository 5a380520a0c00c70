/*
 * Tells the kernel where the process's heap, arguments and environment are:
 * PR_SET_MM_MAP with no new executable (exe_fd -1) needs no privilege, but a
 * kernel with CONFIG_CHECKPOINT_RESTORE.  /proc/self/exe stays this program;
 * changing it is what would need a privilege.  (Rejected: to start the real
 * interpreter with an LD_PRELOAD that runs the restorer; right exe link, but
 * the dynamic loader costs 0.5 to 6 ms and registers an rseq area of its own.)
 *
 * Where it is refused, the kernel's brk stays ours.  If that were above the
 * process's heap, brk() would answer a request for more heap with our higher
 * address, glibc would take that for success, and crash.  If it is below,
 * brk() fails, because the process's own memory is in the way, and glibc uses
 * mmap instead.  The program is linked at 2 MiB to have it below: always for a
 * position-independent interpreter, and about every second time for others
 * (the kernel moves brk by a random part of 1 GiB).  So try again, then give up.
 */
#include "thaw.h"

#define PR_SET_MM_MAP_SIZE 15
#define MAX_TRIES 12

struct mm_map { /* struct prctl_mm_map */
	struct plan_mm mm;
	const void *auxv;
	uint32_t auxv_size;
	uint32_t exe_fd;
};

static bool permitted(void)
{
	uint32_t size = 0;

	return !thaw.options.no_mm_map && SYS(prctl, PR_SET_MM, PR_SET_MM_MAP_SIZE, &size) == 0;
}

static uint64_t kernel_brk(void)
{
	return (uint64_t)SYS(brk, 0);
}

/* In advance, while another try is cheap. */
void memory_map_check(uint64_t heap)
{
	if (permitted() || kernel_brk() < heap)
		return;
	if (thaw.tries < MAX_TRIES)
		start_again();
	decline("PR_SET_MM_MAP is refused, and the kernel's brk is above the heap");
}

void memory_map_set(void)
{
	struct mm_map map = {
		.mm = thaw.plan->mm,
		.auxv = PIECE(thaw.plan->auxv),
		.auxv_size = thaw.plan->auxv.size,
		.exe_fd = ~0U,
	};
	long result = -EPERM;

	if (permitted())
		result = SYS(prctl, PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0);
	if (result < 0 && kernel_brk() >= thaw.plan->mm.start_brk)
		decline("PR_SET_MM_MAP: %e, and the kernel's brk is above the heap", result);
}
