/*
 * What belongs to the process as a whole: timers, signal actions, directory, umask.
 *
 * Nearly all of it outlives exec, so it comes when little is left that can
 * decline, and each step before the last that can is taken back by a decline:
 * the cold start is to have the environment's own.  The directory is the last,
 * because it is what an environment may lack; a umask cannot fail.
 */
#include "thaw.h"

#define ITIMER_COUNT 3
#define SIGEV_THREAD_ID 4

struct timer_event { /* struct sigevent */
	uint64_t value;
	int32_t signal, notify, thread, pad[11];
};

/* What the environment had, and how much of it has been replaced. */
static uint64_t ignored; /* bit n: signal n + 1; any other action ends with exec */
static uint64_t itimers_found[ITIMER_COUNT][4];
static int actions_set;
static long itimers_set;
static uint32_t timers_made;

static void set_actions(void)
{
	const struct plan_sigaction *actions = ROWS(plan_sigaction, TABLE_SIGACTIONS);
	struct plan_sigaction found;

	for (int number = 1; number <= 64; number++) {
		long result;

		if (number == SIGKILL || number == SIGSTOP)
			continue;
		result = SYS(rt_sigaction, number, &actions[number - 1], &found, 8);
		if (result < 0)
			decline("cannot set the action of signal %d: %e", (long)number, result);
		ignored |= (uint64_t)(found.handler == SIG_IGN) << (number - 1);
		actions_set = number;
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

	for (uint32_t at = 0; at < COUNT(TABLE_TIMERS); at++) {
		timers_made = at + 1;
		make_timer(&timers[at]);
	}
	for (long which = 0; piece.size && which < ITIMER_COUNT; which++) {
		const uint64_t *timer = (const uint64_t *)PIECE(piece) + which * 4; /* interval, value */

		/* The environment's own ends as well: it is none of the process's. */
		if (SYS(setitimer, which, timer, itimers_found[which]) < 0)
			decline("cannot set interval timer %d", which);
		itimers_set = which + 1;
	}
}

/* A signal that waits, of a timer that is no more: to ignore it drops it. */
static void drop_signal(uint32_t number)
{
	struct plan_sigaction ignore = { .handler = SIG_IGN }, found;

	if (SYS(rt_sigaction, number, &ignore, &found, 8) == 0)
		SYS(rt_sigaction, number, &found, NULL, 8);
}

void process_take_back(void)
{
	static const uint32_t signals[ITIMER_COUNT] = { 14, 26, 27 }; /* SIGALRM, SIGVTALRM, SIGPROF */

	for (int number = 1; number <= actions_set; number++) {
		struct plan_sigaction found = { .handler = ignored >> (number - 1) & 1 ? SIG_IGN : 0 };

		SYS(rt_sigaction, number, &found, NULL, 8);
	}
	for (long which = 0; which < itimers_set; which++) {
		SYS(setitimer, which, itimers_found[which], NULL);
		drop_signal(signals[which]);
	}
	for (uint32_t at = 0; at < timers_made; at++) {
		const struct plan_timer *timer = &ROWS(plan_timer, TABLE_TIMERS)[at];

		SYS(timer_delete, timer->id);
		drop_signal(timer->signal);
	}
}

void process_set(void)
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
	set_timers();
	set_actions(); /* ours, for crashes, are given up */
	result = SYS(chdir, cwd);
	if (result < 0)
		decline("no working directory %s: %e", cwd, result);
	SYS(umask, thaw.plan->umask);
}
