/*
 * Gives the open files their descriptor numbers, then what belongs to numbers: epoll lists and locks.
 *
 * Until nothing can decline any more, all of them are closed on exec, and what
 * the environment had at their numbers is kept: the cold start gets it back.
 */
#include "thaw.h"

#define EPOLL_CTL_ADD 1
#define LOCK_POSIX 1
#define LOCK_FLOCK 2
#define LOCK_OFD 4
#define LOCK_SH 1
#define LOCK_EX 2
#define LOCK_NB 4
#define MOST_KEPT 256 /* Lambda gives one, for telemetry; a supervisor may leak dozens */

struct epoll_event { /* packed on x86-64 */
	uint32_t events;
	uint64_t data;
} __attribute__((packed));

static struct kept {
	uint32_t number;
	int copy;
} kept[MOST_KEPT];
static uint32_t kept_count;

/* A descriptor of the environment's, which a cold start would have. */
void fds_keep(uint32_t number)
{
	long flags = SYS(fcntl, number, F_GETFD), copy;

	if (flags < 0 || flags & FD_CLOEXEC)
		return;
	/* Above ours, which are above the process's. */
	copy = SYS(fcntl, number, F_DUPFD_CLOEXEC, thaw.plan->scratch_fd + COUNT(TABLE_OBJECTS) + 2);
	if (copy < 0 || kept_count == MOST_KEPT)
		decline("descriptor %u of the environment cannot be kept: %e", (unsigned long)number,
			copy < 0 ? copy : (long)-EMFILE);
	kept[kept_count++] = (struct kept){ number, (int)copy };
}

static void place(int from, uint32_t number)
{
	long result;

	fds_keep(number);
	result = SYS(dup3, from, number, O_CLOEXEC);
	if (result < 0)
		decline("no descriptor %u: %e", (unsigned long)number, result);
}

static void add_watches(void)
{
	const struct plan_watch *watches = ROWS(plan_watch, TABLE_WATCHES);

	for (uint32_t at = 0; at < COUNT(TABLE_WATCHES); at++) {
		struct epoll_event event = { .events = watches[at].events, .data = watches[at].data };
		long result = SYS(epoll_ctl, watches[at].epoll, EPOLL_CTL_ADD, watches[at].fd, &event);

		if (result < 0)
			decline("epoll cannot watch descriptor %u: %e", (unsigned long)watches[at].fd, result);
	}
}

static void take_locks(void)
{
	const struct plan_lock *locks = ROWS(plan_lock, TABLE_LOCKS);

	for (uint32_t at = 0; at < COUNT(TABLE_LOCKS); at++) {
		const struct plan_lock *lock = &locks[at];
		struct sys_lock range = {
			.type = (int16_t)lock->type, .start = (int64_t)lock->start, .size = (int64_t)lock->size
		};
		long result = -EINVAL;

		if (lock->kind == LOCK_FLOCK)
			result = SYS(flock, lock->fd, (lock->type ? LOCK_EX : LOCK_SH) | LOCK_NB);
		else if (lock->kind == LOCK_POSIX)
			result = SYS(fcntl, lock->fd, F_SETLK, &range);
		else if (lock->kind == LOCK_OFD)
			result = SYS(fcntl, lock->fd, F_OFD_SETLK, &range);
		if (result < 0)
			decline("cannot lock descriptor %u again: %e", (unsigned long)lock->fd, result);
	}
}

/*
 * The telemetry descriptor of this environment becomes the number that the
 * process knows.  It is moved first: its own number may belong to the process.
 */
static void place_own(void)
{
	const struct plan_header *plan = thaw.plan;
	long null;

	if (thaw.telemetry_fd > 2 && thaw.telemetry_fd != (int)plan->telemetry_fd &&
	    SYS(fcntl, thaw.telemetry_fd, F_GETFD) >= 0) {
		place(thaw.telemetry_fd, plan->telemetry_fd);
		fds_keep((uint32_t)thaw.telemetry_fd);
		SYS(close, thaw.telemetry_fd);
	} else if (thaw.telemetry_fd != (int)plan->telemetry_fd) {
		thaw.telemetry_fd = -1;
		null = SYS(open, "/dev/null", O_RDWR | O_CLOEXEC);
		if (null < 0)
			decline("cannot open /dev/null: %e", null);
		place((int)null, plan->telemetry_fd);
		SYS(close, null);
	}
	place((int)plan->telemetry_fd, plan->woke_fd);
	place(thaw.thaw_read, plan->thaw_fd);
	SYS(close, thaw.thaw_read);
}

void fds_place(void)
{
	const struct plan_fd *fds = ROWS(plan_fd, TABLE_FDS);

	place_own();
	for (uint32_t at = 0; at < COUNT(TABLE_FDS); at++)
		place((int)(thaw.plan->scratch_fd + fds[at].object), fds[at].fd);
	for (uint32_t at = 0; at < COUNT(TABLE_OBJECTS); at++)
		SYS(close, thaw.plan->scratch_fd + at);
	add_watches();
	take_locks();
}

/* Nothing can decline any more. */
void fds_settle(void)
{
	const struct plan_header *plan = thaw.plan;
	const struct plan_fd *fds = ROWS(plan_fd, TABLE_FDS);

	/* Not woke_fd: the wake closes it when its hooks have run, and no program that they start needs it. */
	SYS(fcntl, plan->thaw_fd, F_SETFD, 0);
	SYS(fcntl, plan->telemetry_fd, F_SETFD, 0);
	for (uint32_t at = 0; at < COUNT(TABLE_FDS); at++)
		if (!fds[at].cloexec)
			SYS(fcntl, fds[at].fd, F_SETFD, 0);
	while (kept_count)
		SYS(close, kept[--kept_count].copy);
}

void fds_take_back(void)
{
	while (kept_count) {
		struct kept *one = &kept[--kept_count];

		SYS(dup3, one->copy, one->number, 0);
	}
}
