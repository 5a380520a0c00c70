/*
 * Leader and decoder, each on a processor of its own while memory is made.
 *
 * Left to the scheduler, both are often put on one of two processors, for
 * milliseconds, with the other idle: a new thread may begin where its parent
 * runs, and one that waited for a lock goes on where the lock was released.
 * With more processors there is an idle one to move to, and nothing is bound;
 * quickthaw/runtime/placement.py does the same for CRIU.
 *
 * Only for speed: where a system call is refused, the scheduler decides.
 */
#include "thaw.h"

static uint64_t all[16]; /* what we were given */
static long all_size;    /* bytes of it */
static uint32_t cpus;
static bool bound;

uint32_t placement_count(void)
{
	all_size = SYS(sched_getaffinity, 0, sizeof(all), all);
	for (long at = 0; at < all_size / 8; at++)
		for (uint64_t word = all[at]; word; word &= word - 1)
			cpus++;
	return cpus;
}

void placement_apart(long decoder)
{
	uint64_t own[16] = { 0 }, other[16];
	uint32_t cpu;

	if (cpus != 2 || SYS(getcpu, &cpu, NULL, NULL) < 0 || cpu >= sizeof(own) * 8)
		return;
	own[cpu / 64] = 1UL << cpu % 64;
	for (size_t at = 0; at < sizeof(all) / sizeof(*all); at++)
		other[at] = all[at] & ~own[at];
	bound = true;
	SYS(sched_setaffinity, decoder, all_size, other);
	SYS(sched_setaffinity, 0, all_size, own);
}

/* Frees the calling thread, the one that is left or about to be. */
void placement_end(void)
{
	if (bound)
		SYS(sched_setaffinity, 0, all_size, all);
}
