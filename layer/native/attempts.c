/*
 * Thaws that did not end in a wake are counted in /tmp, see
 * quickthaw/runtime/attempts.py: the same, for an engine that may not live to
 * tell.  Seven system calls where the one before succeeded, and nearly all of
 * their 13 us go into making the file.
 *
 * We become the process, so its lock is one of the open file description,
 * which goes on at another number: the wake finds it at woke_fd, which it
 * closes when it has removed the file.
 */
#include "thaw.h"

#define F_OFD_GETLK 36
#define F_WRLCK 1
#define F_UNLCK 2
#define MOST_FILES 64
#define OLD_S 3600
#define UNLOCKED_MODE 0700
#define LOCKED_MODE 0600

size_t attempt_path(char *out, size_t room, uint32_t number)
{
	return format_to(out, room, "/tmp/.quickthaw-native-%x-%u", thaw.plan->tag, (unsigned long)number);
}

static bool lock(long fd)
{
	struct sys_lock all = { .type = F_WRLCK };

	return SYS(fcntl, fd, F_OFD_SETLK, &all) == 0;
}

static bool is_held(long fd)
{
	struct sys_lock all = { .type = F_WRLCK };

	return SYS(fcntl, fd, F_OFD_GETLK, &all) == 0 && all.type != F_UNLCK;
}

static bool is_ours(long fd, struct sys_stat *status)
{
	return SYS(fstat, fd, status) == 0 && (status->mode & S_IFMT) == S_IFREG && status->nlink == 1 &&
	       status->uid == (uint32_t)SYS(geteuid);
}

static bool is_old(const struct sys_stat *status)
{
	struct sys_timespec now;
	int64_t age;

	SYS(clock_gettime, CLOCK_REALTIME, &now);
	age = now.seconds - status->mtime.seconds;
	return age > OLD_S || age < -OLD_S;
}

/* Whether this is of an attempt that has ended; an old one is removed. */
static bool has_failed(const char *path)
{
	long fd = SYS(open, path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct sys_stat status;
	bool failed = false;

	if (fd < 0)
		return false;
	/* In this order: the mode changes when the lock is there, and a wake removes the file before it gives it back. */
	if (is_ours(fd, &status) && (status.mode & 0777) == LOCKED_MODE && !is_held(fd) && is_ours(fd, &status)) {
		failed = !is_old(&status);
		if (!failed && lock(fd) && is_ours(fd, &status)) /* else another was faster */
			SYS(unlink, path);
	}
	SYS(close, fd);
	return failed;
}

static bool hold(long fd)
{
	long high;

	if (!lock(fd))
		return false;
	SYS(fchmod, fd, LOCKED_MODE);
	/* Beyond the numbers that the process knows. */
	high = SYS(fcntl, fd, F_DUPFD_CLOEXEC, thaw.plan->max_fd + 1);
	if (high > 0)
		thaw.attempt_fd = (int)high;
	return true;
}

void attempt_begin(void)
{
	uint32_t failures = 0;
	char path[80];

	for (uint32_t number = 1; number <= MOST_FILES; number++) {
		long fd;

		attempt_path(path, sizeof(path), number);
		/* O_EXCL opens nothing that is there, so nothing that is there can hold us up. */
		fd = SYS(open, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, UNLOCKED_MODE);
		if (fd >= 0) {
			if (hold(fd))
				thaw.attempts[failures] = number;
			else
				SYS(unlink, path);
			SYS(close, fd);
			return;
		}
		if (fd != -EEXIST) /* no room, or no /tmp: nothing can be counted */
			return;
		if (!has_failed(path))
			continue;
		thaw.attempts[failures++] = number;
		if (failures == MOST_ATTEMPTS)
			decline("the thaw failed %u times in this environment and is not tried again",
				(unsigned long)MOST_ATTEMPTS);
	}
}

/* What is told by name before anything was tried is no failure. */
void attempt_withdraw(void)
{
	char path[80];

	if (!thaw.attempt_fd)
		return;
	attempt_path(path, sizeof(path), thaw.attempts[1] ? thaw.attempts[1] : thaw.attempts[0]);
	SYS(unlink, path);
}

void attempt_keep(void)
{
	if (!thaw.attempt_fd)
		return;
	SYS(dup3, thaw.attempt_fd, thaw.plan->woke_fd, O_CLOEXEC);
	SYS(close, thaw.attempt_fd);
}
