/* What belongs to the process as a whole: signal actions, directory, umask, timers. */
#include "thaw.h"

#define ITIMER_COUNT 3
#define SIGEV_THREAD_ID 4

struct timer_event { /* struct sigevent */
	uint64_t value;
	int32_t signal, notify, thread, pad[11];
};

void process_set_actions(void)
{
	const struct plan_sigaction *actions = ROWS(plan_sigaction, TABLE_SIGACTIONS);

	for (int number = 1; number <= 64; number++) {
		long result;

		if (number == SIGKILL || number == SIGSTOP)
			continue;
		result = SYS(rt_sigaction, number, &actions[number - 1], NULL, 8);
		if (result < 0)
			decline("cannot set the action of signal %d: %e", (long)number, result);
	}
}

/* Ids are handed out in order; those of timers that the process has deleted are used up and freed. */
static void make_timer(const struct plan_timer *timer)
{
	const struct plan_thread *threads = ROWS(plan_thread, TABLE_THREADS);
	struct timer_event event = { .value = timer->value, .signal = (int32_t)timer->signal, .notify = (int32_t)timer->notify };
	struct sys_timespec spec[2] = {
		{ (int64_t)(timer->interval_ns / 1000000000UL), (int64_t)(timer->interval_ns % 1000000000UL) },
		{ (int64_t)(timer->left_ns / 1000000000UL), (int64_t)(timer->left_ns % 1000000000UL) },
	};
	int32_t id = -1;
	long result;

	if (timer->notify & SIGEV_THREAD_ID)
		event.thread = *(const int32_t *)threads[timer->thread].clear_tid;
	for (uint32_t tries = 0; tries <= timer->id; tries++) {
		result = SYS(timer_create, timer->clock, &event, &id);
		if (result < 0)
			decline("cannot make a timer again: %e", result);
		if ((uint32_t)id == timer->id)
			break;
		SYS(timer_delete, id);
	}
	if ((uint32_t)id != timer->id)
		decline("timer %u cannot have its id back", (unsigned long)timer->id);
	result = SYS(timer_settime, id, 0, spec, NULL);
	if (result < 0)
		decline("cannot set a timer: %e", result);
}

static void set_timers(void)
{
	const struct plan_timer *timers = ROWS(plan_timer, TABLE_TIMERS);
	struct plan_piece piece = thaw.plan->itimers;

	for (uint32_t at = 0; at < COUNT(TABLE_TIMERS); at++)
		make_timer(&timers[at]);
	for (long which = 0; piece.size && which < ITIMER_COUNT; which++) {
		const uint64_t *timer = (const uint64_t *)PIECE(piece) + which * 4; /* interval, value */

		if (!timer[2] && !timer[3])
			continue;
		if (SYS(setitimer, which, timer, NULL) < 0)
			decline("cannot set interval timer %d", which);
	}
}

void process_set_rest(void)
{
	const char *cwd = PIECE(thaw.plan->cwd);
	long result;

	for (uint32_t bit = 0; bit < 32; bit++) {
		if (!(thaw.plan->membarrier >> bit & 1))
			continue;
		result = SYS(membarrier, 1L << bit, 0, 0);
		if (result < 0)
			decline("membarrier: %e", result);
	}
	result = SYS(chdir, cwd);
	if (result < 0)
		decline("no working directory %s: %e", cwd, result);
	SYS(umask, thaw.plan->umask);
	set_timers();
}
