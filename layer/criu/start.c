/*
 * criu/start: starts CRIU for mode grow, then becomes what its arguments say, the Python bootstrap.
 *
 * CRIU takes 8 ms before it reads the first page, and Python about as long before it can decode one;
 * on two processors they need not wait for each other. What CRIU is started with stands in the
 * snapshot, in images/start (quickthaw/checkpoint/start.py writes it); who checks the snapshot, and whether
 * CRIU may go on, is the bootstrap, which finds in QUICKTHAW_STARTED what was begun.
 *
 * Only a saving: whatever is not as it should be, nothing is started, nothing is left in /tmp, and the
 * bootstrap does it all by itself, or says why it cannot be done. Nothing is started either where something
 * of another start lies in /tmp: only the bootstrap can tell whether that failed, and sweep it.
 */
#include "../native/sys.h"

#include <stdbool.h>

enum { MAX_START = 16384, MAX_ARGS = 48, MAX_ENV = 8, MAX_FDS = 8, MAX_PATH = 512, MAX_ENVIRON = 4096, PIECE = 65536 };
enum { WRITE_LOCK = 1, MASK_WORDS = 16, SIG_BLOCK = 0, O_DIRECTORY = 0200000 };

static _Alignas(8) char piece[PIECE];
static char text[MAX_START], room[8192], work[64], program[MAX_PATH], started[192];
static const char *snapshot = "/opt/snapshot", *criu, *telemetry, *root;
static const char *arguments[MAX_ARGS + 2], *environment[MAX_ENV + 1], *environ[MAX_ENVIRON + 2];
static size_t room_used;
static long size;
static bool kernel_fits;
static struct {
	int from, to;
} fds[MAX_FDS];
static int fd_count, lock_fd, thaw_read, thaw_write, woke_read, woke_write;
static long snapshot_fd; /* all files are of one snapshot, whatever its path leads to by now */
static uint64_t signal_mask;
static long criu_pid;

static size_t length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

static bool equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static const char *after(const char *entry, const char *name)
{
	while (*name && *entry == *name)
		entry++, name++;
	return !*name && *entry == '=' ? entry + 1 : NULL;
}

static char *put(char *to, const char *s)
{
	while (*s)
		*to++ = *s++;
	*to = 0;
	return to;
}

static char *put_number(char *to, uint64_t value, uint32_t base)
{
	char digits[24];
	int at = 0;

	do
		digits[at++] = "0123456789abcdef"[value % base];
	while (value /= base);
	while (at)
		*to++ = digits[--at];
	*to = 0;
	return to;
}

/* `s` with the work directory for its %; NULL when there is no room. */
static const char *in_work(const char *s)
{
	char *to = room + room_used, *end = to;

	for (; *s; s++) {
		if (end + sizeof(work) >= room + sizeof(room))
			return NULL;
		if (*s == '%')
			end = put(end, work);
		else
			*end++ = *s;
	}
	*end = 0;
	room_used += (size_t)(end - to) + 1;
	return to;
}

/* Until the next call; NULL, which no system call takes, when there is no room. */
static const char *place(const char *name)
{
	char *to = room + room_used;

	if (room_used + sizeof(work) + 1 + length(name) >= sizeof(room))
		return NULL;
	put(put(put(to, work), "/"), name);
	return to;
}

/* Whether the bootstrap would start CRIU in this mode; that it may have CRIU at all, the restorer knows. */
static bool wanted(const char **entries)
{
	const char *value;

	for (; *entries; entries++) {
		if ((value = after(*entries, "QUICKTHAW_MODE")) && *value && !equal(value, "grow"))
			return false;
		if (after(*entries, "AWS_LAMBDA_MAX_CONCURRENCY"))
			return false;
		if ((value = after(*entries, "QUICKTHAW_SNAPSHOT")) && *value)
			snapshot = value;
		if ((value = after(*entries, "QUICKTHAW_CRIU")) && *value)
			criu = value;
		if ((value = after(*entries, "_LAMBDA_TELEMETRY_LOG_FD")))
			telemetry = value;
	}
	return *snapshot == '/' && SYS(access, criu, 1 /* X_OK */) == 0;
}

static bool begins_with(const char *s, const char *with)
{
	while (*with && *s == *with)
		s++, with++;
	return !*with;
}

/* Whether nothing of another start is in /tmp, as quickthaw/runtime/workdir.py and attempts.py name it. */
static bool alone(void)
{
	struct entry {
		uint64_t inode, offset;
		uint16_t size;
		uint8_t type;
		char name[];
	};
	long fd = SYS(open, "/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC), got = -1;
	bool found = fd < 0;

	while (!found && (got = SYS(getdents64, fd, piece, sizeof(piece))) > 0)
		for (long at = 0; at < got && !found; at += ((struct entry *)(piece + at))->size) {
			const char *name = ((struct entry *)(piece + at))->name;

			found = (begins_with(name, "quickthaw-") && name[10] >= '0' && name[10] <= '9') ||
				begins_with(name, ".quickthaw-criu-");
		}
	SYS(close, fd);
	return !found && got == 0;
}

/* Reads `start`: a checksum (FNV-1a), then lines, which become strings. */
static bool read_start(void)
{
	uint32_t hash = 2166136261U;
	long fd;

	snapshot_fd = SYS(open, snapshot, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = SYS(openat, snapshot_fd, "images/start", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (snapshot_fd < 0 || fd < 0)
		return false;
	size = SYS(read, fd, text, sizeof(text));
	SYS(close, fd);
	if (size < 10 || size == sizeof(text) || text[8] != '\n' || text[size - 1] != '\n')
		return false;
	for (long at = 9; at < size; at++) {
		hash = (hash ^ (uint8_t)text[at]) * 16777619U;
		if (text[at] == '\n')
			text[at] = 0;
	}
	for (int at = 0; at < 8; at++)
		if (text[at] != "0123456789abcdef"[hash >> (28 - 4 * at) & 15])
			return false;
	return true;
}

/* The next line of `start`, from `line` on; NULL after the last. */
static const char *next(const char *line)
{
	line = line ? line + length(line) + 1 : text + 9;
	return line < text + size ? line : NULL;
}

/* CRIU's kernel cache fits one kernel. */
static void compare_kernel(void)
{
	struct {
		char system[65], node[65], release[65], version[65], machine[65], domain[65];
	} name;
	char own[160];

	if (SYS(uname, &name) < 0)
		return;
	put(put(put(own, name.release), " "), name.version);
	for (const char *line = NULL; (line = next(line));)
		if (*line == 'k' && equal(line + 2, own))
			kernel_fits = true;
}

static bool make_work(void)
{
	struct sys_lock lock = { .type = WRITE_LOCK };
	uint32_t chance;

	if (SYS(getrandom, &chance, sizeof(chance), 0) != sizeof(chance))
		return false;
	put_number(put(put_number(put(work, "/tmp/quickthaw-"), (uint64_t)SYS(getpid), 10), "-"), chance | 1UL << 32, 16);
	if (SYS(mkdir, work, 0700) < 0) {
		*work = 0;
		return false;
	}
	/* As quickthaw/runtime/lockfile.py: the lock outlives our exec, not our end. */
	lock_fd = (int)SYS(open, place("lock"), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0700);
	if (lock_fd < 0 || SYS(fcntl, lock_fd, F_SETLK, &lock) < 0 || SYS(fchmod, lock_fd, 0600) < 0)
		return false;
	return SYS(mkdir, place("images"), 0700) == 0 && (!kernel_fits || SYS(mkdir, place("cache"), 0700) == 0);
}

static bool copy(const char *name)
{
	long from = SYS(openat, snapshot_fd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC), to, got = -1;

	to = SYS(open, place(name), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (from >= 0 && to >= 0)
		while ((got = SYS(read, from, piece, sizeof(piece))) > 0)
			if (SYS(write, to, piece, got) != got) {
				got = -1;
				break;
			}
	SYS(close, from);
	SYS(close, to);
	return got == 0;
}

static int number(const char **at)
{
	int value = 0;

	while (**at >= '0' && **at <= '9' && value < 100000)
		value = value * 10 + *(*at)++ - '0';
	return value;
}

/* "FD ROLE": what CRIU gives the process in the place of a pipe. */
static bool add_fd(const char *line)
{
	int to = number(&line), from = -1;

	if (*line++ != ' ' || fd_count == MAX_FDS)
		return false;
	switch (*line) {
	case 'o':
		from = 1;
		break;
	case 'e':
		from = 2;
		break;
	case 't':
		from = thaw_read;
		break;
	case 'w':
		from = woke_write;
		break;
	case 'l': /* the telemetry descriptor, or nothing */
		if (telemetry && *telemetry >= '0' && *telemetry <= '9')
			from = number(&telemetry);
		else
			from = (int)SYS(open, "/dev/null", O_WRONLY | O_CLOEXEC);
	}
	fds[fd_count].from = from;
	fds[fd_count++].to = to;
	return from >= 0;
}

static bool prepare(void)
{
	int pipes[4], words = 1, entries = 0;

	if (SYS(pipe2, pipes, O_CLOEXEC) < 0 || SYS(pipe2, pipes + 2, O_CLOEXEC) < 0)
		return false;
	thaw_read = pipes[0], thaw_write = pipes[1], woke_read = pipes[2], woke_write = pipes[3];
	for (const char *line = NULL; (line = next(line));) {
		const char *rest = line + 2;
		long fd;

		switch (*line) {
		case 'K':
			if (!kernel_fits)
				break;
			/* fallthrough */
		case 'c':
			if (!copy(rest))
				return false;
			break;
		case 'r':
			root = rest;
			break;
		case 'n':
			fd = SYS(open, place(rest), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
			if (fd < 0)
				return false;
			SYS(close, fd);
			break;
		case 'p':
			if (!add_fd(rest))
				return false;
			break;
		case 'a':
			if (words == MAX_ARGS || !(arguments[words++] = in_work(rest)))
				return false;
			break;
		case 'E':
			if (!kernel_fits)
				break;
			/* fallthrough */
		case 'e':
			if (entries == MAX_ENV || !(environment[entries++] = in_work(rest)))
				return false;
		}
	}
	arguments[0] = criu;
	return words > 1 && root && length(root) <= 10;
}

static void remove_work(void)
{
	if (!*work)
		return;
	for (const char *line = NULL; (line = next(line));)
		if (*line == 'c' || *line == 'K' || *line == 'n')
			SYS(unlink, place(line + 2));
	SYS(unlink, place("restore.log"));
	SYS(rmdir, place("cache"));
	SYS(rmdir, place("images"));
	SYS(unlink, place("lock"));
	SYS(rmdir, work);
}

/* Of two processors CRIU has the one that we are not on, see quickthaw/runtime/placement.py. */
static void keep_apart(long pid)
{
	uint64_t mask[MASK_WORDS];
	long bytes = SYS(sched_getaffinity, 0, sizeof(mask), mask);
	uint32_t cpu;
	int count = 0;

	for (long at = 0; at < bytes / 8; at++)
		for (uint64_t word = mask[at]; word; word &= word - 1)
			count++;
	if (count != 2 || SYS(getcpu, &cpu, NULL, NULL) < 0 || cpu / 64 >= MASK_WORDS)
		return;
	mask[cpu / 64] &= ~(1UL << cpu % 64);
	SYS(sched_setaffinity, pid, bytes, mask);
}

static _Noreturn void become_criu(long parent)
{
	static const int ignored_by_some[] = { 13 /* SIGPIPE */, 29 /* SIGIO */ };
	static const uint64_t by_default[4];

	SYS(setpgid, 0, 0); /* its helpers go with it */
	SYS(prctl, PR_SET_PDEATHSIG, SIGKILL);
	if (SYS(getppid) != parent)
		SYS(exit_group, 127); /* it has ended already */
	for (size_t at = 0; at < sizeof(ignored_by_some) / sizeof(*ignored_by_some); at++)
		SYS(rt_sigaction, ignored_by_some[at], by_default, NULL, 8);
	for (int at = 0; at < fd_count; at++)
		SYS(dup2, fds[at].from, fds[at].to);
	SYS(rt_sigprocmask, SIG_SETMASK, &signal_mask, NULL, 8);
	SYS(execve, criu, arguments, environment);
	for (;;)
		SYS(exit_group, 127);
}

/*
 * What the bootstrap needs to know: "PID LOCK THAW WOKE NANOSECONDS MASK ROOT WORK".  What ends a runtime
 * waits until it can end CRIU as well; MASK are the signals that were blocked before, ROOT is the pid that
 * CRIU gives to the process.
 */
static bool start_criu(void)
{
	const uint64_t ending = 1UL << 14 | 1UL << 1 | 1UL << 0 | 1UL << 2; /* SIGTERM, SIGINT, SIGHUP, SIGQUIT */
	const int kept[] = { lock_fd, thaw_write, woke_read };
	uint64_t now = sys_now_ns();
	long self = SYS(getpid), pid;
	char *at;

	SYS(rt_sigprocmask, SIG_BLOCK, &ending, &signal_mask, 8);
	pid = SYS(fork);
	if (pid == 0)
		become_criu(self);
	if (pid < 0) {
		SYS(rt_sigprocmask, SIG_SETMASK, &signal_mask, NULL, 8);
		return false;
	}
	SYS(setpgid, pid, pid);
	keep_apart(pid);
	criu_pid = pid;
	at = put_number(put(started, "QUICKTHAW_STARTED="), (uint64_t)pid, 10);
	for (int fd = 0; fd < 3; fd++) {
		SYS(fcntl, kept[fd], F_SETFD, 0);
		at = put_number(put(at, " "), (uint64_t)kept[fd], 10);
	}
	at = put_number(put(at, " "), now, 10);
	at = put_number(put(at, " "), signal_mask, 10);
	put(put(put(put(at, " "), root), " "), work);
	return true;
}

static bool begin(const char **entries)
{
	if (!wanted(entries) || !alone() || !read_start())
		return false;
	compare_kernel();
	if (make_work() && prepare() && start_criu())
		return true;
	remove_work();
	return false;
}

/* As execvp(3): an OS-only runtime's Python may have no path. */
static _Noreturn void become(const char **command, const char **entries)
{
	static const char sorry[] = "quickthaw: cannot find the bootstrap's Python\n";
	const char *path = "/usr/local/bin:/usr/bin:/bin", *value;
	bool has_path = false;

	for (const char **entry = entries; *entry; entry++)
		if ((value = after(*entry, "PATH")))
			path = value;
	for (const char *s = command[0]; *s; s++)
		has_path |= *s == '/';
	if (has_path)
		SYS(execve, command[0], command, entries);
	for (const char *at = path; !has_path; at++) {
		char full[2 * MAX_PATH], *end = full;

		while (*at && *at != ':' && end < full + MAX_PATH)
			*end++ = *at++;
		if (length(command[0]) < MAX_PATH - 2 && (!*at || *at == ':')) {
			put(put(end, end == full ? "" : "/"), command[0]);
			SYS(execve, full, command, entries);
		}
		while (*at && *at != ':')
			at++;
		if (!*at)
			break;
	}
	if (criu_pid) {
		SYS(kill, -criu_pid, SIGKILL);
		SYS(wait4, criu_pid, NULL, 0, NULL);
		remove_work();
	}
	SYS(write, STDERR, sorry, sizeof(sorry) - 1);
	for (;;)
		SYS(exit_group, 127);
}

__attribute__((used)) static _Noreturn void run(uint64_t *stack)
{
	long argc = (long)stack[0], count = 0;
	const char **argv = (const char **)(stack + 1), **entries = argv + argc + 1;
	char *slash = program;

	while (entries[count])
		count++;
	if (argc < 2 || length(argv[0]) >= MAX_PATH - 8)
		SYS(exit_group, 2);
	for (const char *s = argv[0]; *s; s++)
		if ((*slash++ = *s) == '/')
			room_used = (size_t)(slash - program);
	put(program + room_used, "criu"); /* it lies beside us */
	room_used = 0;
	criu = program;
	if (count < MAX_ENVIRON && begin(entries)) {
		const char **to = environ;

		for (; *entries; entries++)
			if (!after(*entries, "QUICKTHAW_STARTED"))
				*to++ = *entries;
		*to = started;
		entries = environ;
	}
	become(argv + 1, entries);
}

__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call run\n");
