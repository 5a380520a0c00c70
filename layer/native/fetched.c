/*
 * A snapshot whose pages are still on their way.
 *
 * We speak no TLS. quickthaw/runtime/handover.py reads the plan, leaves a
 * process behind that fetches pages.lz4 into a file without a name, and execs us
 * with both descriptors and a pipe.  In the pipe stands how many bytes of each
 * part of the file have come, so that blocks are decoded in the order in which
 * they arrive.  What the other side of the pipe says last is an error, or
 * nothing: a fetcher that was killed looks like the end of file that it is.
 *
 * All pages are in place before the frozen process runs, so that a fetch that
 * fails is declined like anything else.
 */
#include "thaw.h"

#define HANDOVER "QUICKTHAW_HANDOVER"
#define MOST_PARTS 2048 /* as quickthaw/runtime/handover.py */
#define FAILED 0xffffffffU
#define POLLIN 1

struct message {
	uint32_t part; /* FAILED: a text of `done` bytes follows */
	uint32_t done;
};

static uint32_t arrived[MOST_PARTS];
static uint32_t listening; /* a thread waits at the pipe */
static uint32_t first;     /* no block before this one is left */

static void keep_for_exec(bool keep)
{
	const int fds[] = { thaw.fetched.plan_fd, thaw.fetched.packed_fd, thaw.fetched.pipe_fd };

	for (size_t at = 0; at < sizeof(fds) / sizeof(fds[0]); at++)
		SYS(fcntl, fds[at], F_SETFD, keep ? 0 : FD_CLOEXEC);
}

/* Takes the variable out of the environment: it means nothing to what is started instead. */
void fetched_take(char **environ)
{
	size_t length = sizeof(HANDOVER "=") - 1, last = 0;
	const char *text = NULL;
	char **place = NULL;

	for (; environ[last]; last++)
		if (begins_with(environ[last], HANDOVER "="))
			place = &environ[last];
	if (!place)
		return;
	thaw.fetched.setting = *place;
	text = *place + length;
	for (; *place; place++)
		place[0] = place[1];
	thaw.fetched.plan_fd = (int)number_at(&text);
	thaw.fetched.packed_fd = (int)number_at(&text);
	thaw.fetched.pipe_fd = (int)number_at(&text);
	thaw.fetched.part = number_at(&text);
	thaw.started_ns = number_at(&text);
	thaw.fetched.deadline_ns = number_at(&text);
	thaw.fetched.bytes = number_at(&text);
	if (thaw.fetched.pipe_fd <= STDERR || thaw.fetched.plan_fd <= STDERR || thaw.fetched.packed_fd <= STDERR ||
	    !thaw.fetched.part)
		thaw.fetched.pipe_fd = 0;
	else
		keep_for_exec(false);
}

/* For start_again(): our exec is to find everything as we did. */
const char *fetched_setting(void)
{
	if (thaw.fetched.pipe_fd)
		keep_for_exec(true);
	return thaw.fetched.pipe_fd ? thaw.fetched.setting : NULL;
}

static bool has(uint64_t start, uint64_t end)
{
	uint64_t size = thaw.fetched.part;

	for (uint64_t part = start / size; part * size < end; part++) {
		uint64_t wanted = end - part * size < size ? end - part * size : size;

		if (part >= MOST_PARTS || __atomic_load_n(&arrived[part], __ATOMIC_ACQUIRE) < wanted)
			return false;
	}
	return true;
}

static void read_error(uint32_t size)
{
	char text[400];
	long got;

	if (size >= sizeof(text))
		size = sizeof(text) - 1;
	got = SYS(read, thaw.fetched.pipe_fd, text, size);
	text[got < 0 ? 0 : got] = 0;
	decline("%s", text);
}

static void listen(void)
{
	struct {
		int fd;
		int16_t events, found;
	} pipe = { thaw.fetched.pipe_fd, POLLIN, 0 };
	uint64_t now = sys_now_ns(), waited = now;
	struct message message = { 0 };
	long got = 0;

	if (now < thaw.fetched.deadline_ns)
		got = SYS(poll, &pipe, 1, (thaw.fetched.deadline_ns - now) / 1000000 + 1);
	if (got == -EINTR)
		return;
	if (got <= 0)
		decline("cannot fetch %s: it took too long", thaw.fetched.name);
	got = SYS(read, thaw.fetched.pipe_fd, &message, sizeof(message));
	now = sys_now_ns();
	thaw.fetched.wait_ns += now - waited;
	if (got == sizeof(message) && message.part == FAILED)
		read_error(message.done);
	if (got == sizeof(message) && message.part < MOST_PARTS) {
		thaw.fetched.last_ns = now;
		__atomic_store_n(&arrived[message.part], message.done, __ATOMIC_RELEASE);
		return;
	}
	if (got == 0 && has(0, thaw.plan->packed_size))
		return;
	decline("cannot fetch %s: the fetching process has ended", thaw.fetched.name);
}

/* Until something has arrived.  One thread listens; the others wait for it, and look again. */
static void wait(void)
{
	if (__atomic_exchange_n(&listening, 1, __ATOMIC_ACQ_REL)) {
		futex_wait(&listening, 1);
		return;
	}
	listen();
	__atomic_store_n(&listening, 0, __ATOMIC_RELEASE);
	futex_wake(&listening);
}

/* The first block that has arrived and that nobody has taken; taken ones are marked in our copy of the plan. */
uint32_t fetched_next(void)
{
	struct plan_block *blocks = (struct plan_block *)ROWS(plan_block, TABLE_BLOCKS);

	for (;; wait()) {
		bool left = false;

		for (uint32_t at = __atomic_load_n(&first, __ATOMIC_RELAXED); at < COUNT(TABLE_BLOCKS); at++) {
			if (__atomic_load_n(&blocks[at].taken, __ATOMIC_RELAXED))
				continue;
			if (!left) /* all before it are taken, and stay so */
				__atomic_store_n(&first, at, __ATOMIC_RELAXED);
			left = true;
			if (has(blocks[at].offset, blocks[at].offset + blocks[at].packed) &&
			    !__atomic_exchange_n(&blocks[at].taken, 1, __ATOMIC_RELAXED))
				return at;
		}
		if (!left)
			return COUNT(TABLE_BLOCKS);
	}
}

/* Everything is decoded.  The numbers of these descriptors may belong to the process. */
void fetched_close(void)
{
	SYS(close, thaw.fetched.plan_fd);
	SYS(close, thaw.fetched.packed_fd);
	SYS(close, thaw.fetched.pipe_fd);
}
