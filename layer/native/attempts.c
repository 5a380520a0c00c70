/*
 * Thaws that did not end in a wake are counted in /tmp, see
 * quickthaw/runtime/attempts.py: the same, for an engine that may not live to
 * tell.  One system call where the one before succeeded; the wake removes it.
 */
#include "thaw.h"

#define O_WRONLY 1
#define O_CREAT 0100
#define O_EXCL 0200
#define MOST_ATTEMPTS 2

size_t attempt_path(char *out, size_t room, uint32_t number)
{
	return format_to(out, room, "/tmp/.quickthaw-native-%x-%u", thaw.plan->tag, (unsigned long)number);
}

void attempt_begin(void)
{
	char path[80];

	for (uint32_t number = 1; number <= MOST_ATTEMPTS; number++) {
		long fd;

		attempt_path(path, sizeof(path), number);
		/* O_EXCL opens nothing that is there, so nothing that is there can hold us up. */
		fd = SYS(open, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd >= 0)
			SYS(close, fd);
		else if (fd == -EEXIST)
			continue;
		thaw.attempts = fd >= 0 ? number : number - 1; /* no room, or no /tmp: nothing can be counted */
		return;
	}
	decline("the thaw failed %u times in this environment and is not tried again", (unsigned long)MOST_ATTEMPTS);
}
