/*
 * The way out: exec the next thing, with the reason in its environment.
 *
 * Possible at every step, see thaw.h.  What exec keeps is put back, as far as
 * it has been changed: files in /tmp, descriptors, timers, signal actions, the
 * signal mask.  Only one thread may get through: a decoder and the leader can
 * fail at the same time.
 */
#include <stdarg.h>

#include "thaw.h"

#define REASON_ROOM 512
#define PATH_ROOM 4096

static uint32_t declining; /* thread that is on its way to exec */

static void complain(const char *what, const char *path, long result)
{
	char line[REASON_ROOM];
	size_t used = format_to(line, sizeof(line), "quickthaw: %s %s: %e\n", what, path, result);

	SYS(write, STDERR, line, used);
}

static const char *variable(const char *name)
{
	size_t length = text_length(name);

	for (char **entry = thaw.environ; *entry; entry++) {
		size_t at = 0;

		while (at < length && (*entry)[at] == name[at])
			at++;
		if (at == length && (*entry)[at] == '=')
			return *entry + length + 1;
	}
	return NULL;
}

/* execvp: a command without a slash is looked for in PATH. */
static void exec_command(char **environ)
{
	const char *command = thaw.fallback[0], *path;
	char full[PATH_ROOM];
	long result;

	for (const char *letter = command; *letter; letter++)
		if (*letter == '/') {
			result = SYS(execve, command, thaw.fallback, environ);
			complain("cannot start", command, result);
			return;
		}
	path = variable("PATH");
	for (path = path ? path : "/usr/local/bin:/usr/bin:/bin"; *path; path += *path == ':') {
		size_t length = 0;

		while (path[length] && path[length] != ':')
			length++;
		if (length + text_length(command) + 2 <= sizeof(full)) {
			__builtin_memcpy(full, path, length);
			format_to(full + length, sizeof(full) - length, "/%s", command);
			SYS(execve, full, thaw.fallback, environ);
		}
		path += length;
	}
	complain("cannot find", command, -ENOENT);
}

/*
 * Execs ourselves once more, for another draw of the kernel's randomness.
 * Only before relocate(): it uses the argv that we were started with.
 */
void start_again(void)
{
	char setting[sizeof(TRY_VARIABLE) + 8];
	size_t count = 0;

	while (thaw.environ[count])
		count++;

	const char *handover = fetched_setting();
	char *environ[count + 3];

	for (size_t at = 0; at < count; at++)
		environ[at] = thaw.environ[at];
	if (handover)
		environ[count++] = (char *)handover;
	format_to(setting, sizeof(setting), TRY_VARIABLE "=%u", (unsigned long)thaw.tries + 1);
	environ[count] = setting;
	environ[count + 1] = NULL;
	SYS(execve, "/proc/self/exe", thaw.arguments, environ);
}

_Noreturn void start_fallback(const char *reason)
{
	char setting[REASON_ROOM + 32], since[64];
	size_t count = 0, used;

	uint32_t nobody = 0, self = (uint32_t)SYS(gettid);

	while (!__atomic_compare_exchange_n(&declining, &nobody, self, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		if (nobody == self) /* crashed in here */
			SYS(exit_group, 127);
		SYS(pause); /* another thread is in exec, which will end this one */
		nobody = 0;
	}
	if (thaw.comparing)
		attempt_withdraw();
	entries_remove();
	leader_take_back();
	process_take_back();
	fds_take_back();
	placement_end();
	SYS(rt_sigprocmask, SIG_SETMASK, &thaw.signal_mask, NULL, 8);
	while (thaw.environ[count])
		count++;

	char *environ[count + 3];

	for (size_t at = 0; at < count; at++)
		environ[at] = thaw.environ[at];
	environ[count] = NULL;
	if (reason && thaw.bootstrap_words && !thaw.criu) { /* Python could only say the same, 10 ms later */
		thaw.fallback += thaw.bootstrap_words;
		thaw.alone = reason;
	}
	if (thaw.alone) {
		reason = reason ? reason : thaw.alone;
		report_cold(reason, variable("AWS_LAMBDA_FUNCTION_NAME"), thaw.off);
	} else if (reason) {
		format_to(setting, sizeof(setting), "QUICKTHAW_DECLINED=%s", reason);
		environ[count++] = setting;
		/* Six digits behind a 1, whose place the full stop then takes. */
		used = format_to(since, sizeof(since), "QUICKTHAW_SINCE=%u", thaw.started_ns / 1000000000UL);
		format_to(since + used, sizeof(since) - used, "%u", 1000000 + thaw.started_ns / 1000 % 1000000);
		since[used] = '.';
		environ[count++] = since;
		environ[count] = NULL;
	}
	exec_command(environ);
	SYS(exit_group, 127);
	__builtin_unreachable();
}

_Noreturn void decline(const char *pattern, ...)
{
	char reason[REASON_ROOM];
	va_list arguments;

	va_start(arguments, pattern);
	format(reason, sizeof(reason), pattern, arguments);
	va_end(arguments);
	start_fallback(reason);
}

/* What takes long looks here now and then. */
void check_time(const char *what, uint32_t number)
{
	if (sys_now_ns() - thaw.started_ns > thaw.watchdog_ns)
		decline("the thaw took longer than %u ms (at %s %u)", thaw.watchdog_ns / 1000000, what,
			(unsigned long)number);
}

static void crashed(int number, void *info, void *context)
{
	uint64_t *address = (uint64_t *)((char *)info + 16); /* siginfo_t.si_addr */

	(void)context;
	decline("signal %u at address %x, %s", (unsigned long)number, *address, thaw.step);
}

/*
 * A damaged page file (SIGBUS), a plan that passed every check and still is
 * wrong (SIGSEGV), a missing instruction (SIGILL): all a cold start.
 */
void catch_crashes(void)
{
	static const int numbers[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE };
	struct plan_sigaction action = {
		.handler = (uint64_t)crashed,
		.flags = 4 /* SA_SIGINFO */ | SA_RESTORER | 0x40000000 /* SA_NODEFER */,
		.restorer = (uint64_t)crashed, /* never reached, but the kernel wants one */
	};
	uint64_t all = ~0UL;

	for (size_t at = 0; at < sizeof(numbers) / sizeof(numbers[0]); at++) {
		SYS(rt_sigaction, numbers[at], &action, NULL, 8);
		all &= ~(1UL << (numbers[at] - 1));
	}
	SYS(rt_sigprocmask, SIG_SETMASK, &all, &thaw.signal_mask, 8);
}
