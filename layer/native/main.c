/*
 * thaw: becomes a process that was frozen by CRIU, without any privilege.
 *
 * Reads a plan that quickthaw/plan made of CRIU's images, and executes it:
 * replaces its own address space by the frozen one, opens what was open, makes
 * the threads, and returns into them as if from a signal handler.  There is no
 * parent, no ptrace, no pid to match.  The frozen main thread finds itself in
 * the read() in which it was stopped, and gets the wake context from it.
 */
#include "thaw.h"

struct thaw thaw;

static void begin(uint64_t *stack);

/* argc, argv and environment are on the stack at entry, psABI 3.4.1. */
__asm__(".globl _start\n"
	"_start:\n\t"
	"mov %rsp, %rdi\n\t"
	"xor %ebp, %ebp\n\t"
	"and $-16, %rsp\n\t"
	"call begin\n\t"
	"hlt\n");

void phase_end(enum phase phase)
{
	uint64_t now = sys_now_ns();

	thaw.phase_ns[phase] += now - thaw.phase_began_ns;
	thaw.phase_began_ns = now;
}

static void check(void)
{
	thaw.step = "while checking the snapshot";
	plan_open();
	plan_check_bounds();
	machine_check();
	pages_open();
	entries_make();
	objects_make();
	context_prepare();
	phase_end(PHASE_CHECK);
}

static void map(void)
{
	thaw.step = "while mapping memory";
	maps_read();
	vdso_park();
	maps_drop_all();
	fill_begin();
	vmas_map(false);
	files_open();
	vmas_map(true);
	vmas_copies();
	vdso_place();
	files_close();
	phase_end(PHASE_MAP);
}

/*
 * What the process does not need.  The image, its stack and the threads' cells
 * stay, under 192 KB of addresses: a thread cannot unmap the code that it is in,
 * and who has left it cannot be known from inside.
 */
static void drop_own_memory(void)
{
	uint64_t area = thaw.area;
	uint64_t plan_size = thaw.plan->size, packed_size = thaw.plan->packed_size;

	SYS(munmap, area + AREA_VAULT, AREA_STACK - AREA_VAULT);
	SYS(munmap, area + AREA_PLAN, PAGE_UP(plan_size));
	if (packed_size)
		SYS(munmap, area + AREA_PACKED, PAGE_UP(packed_size));
}

/* Runs in the copy at thaw.area, on its own stack. */
static void run(void)
{
	catch_crashes();
	check();
	attempt_begin();
	map();
	thaw.step = "while filling memory";
	fill_end();
	vmas_protect();
	phase_end(PHASE_FILL);
	thaw.step = "while making threads and descriptors";
	threads_start();
	fds_place();
	attempt_keep();
	memory_map_set();
	leader_prepare();
	phase_end(PHASE_FINISH);
	context_send();
	process_set(); /* the last that can decline */
	fds_settle();
	drop_own_memory();
	if (thaw.options.hold) {
		SYS(write, STDERR, "held\n", 5);
		SYS(kill, SYS(getpid), SIGSTOP);
	}
	threads_release();
}

__attribute__((used)) static void begin(uint64_t *stack)
{
	int argc = (int)stack[0];
	char **argv = (char **)(stack + 1);

	thaw.started_ns = thaw.phase_began_ns = sys_now_ns();
	SYS(rt_sigprocmask, SIG_SETMASK, NULL, &thaw.signal_mask, 8);
	if (!options_read(argc, argv, argv + argc + 1))
		start_fallback(NULL);
	thaw.step = "while reading the plan";
	plan_peek(&thaw.peeked);
	memory_map_check(thaw.peeked.mm.start_brk);
	relocate(thaw.peeked.area, run);
}
