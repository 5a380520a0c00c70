/*
 * The wake context: the JSON document that the frozen read() returns.
 *
 * It goes through a pipe, as it does with CRIU; a document that is larger than
 * a pipe may be (1 MiB for users) goes through a memfd.
 */
#include "thaw.h"

#define TEXT_ROOM 0x2000000UL
#define PIPE_SIZE 0x10000UL
#define PIPE_LARGE 0x100000UL

static char *out, *out_end;

static void put(char letter)
{
	if (out == out_end)
		decline("the wake context is too large");
	*out++ = letter;
}

static void put_text(const char *text)
{
	while (*text)
		put(*text++);
}

/* A JSON string; bytes from 0x80 on are passed on as they are. */
static void put_string(const char *text)
{
	put('"');
	for (; *text; text++) {
		unsigned char letter = (unsigned char)*text;

		if (letter == '"' || letter == '\\') {
			put('\\');
			put(*text);
		} else if (letter < 0x20) {
			put_text("\\u00");
			put("01"[letter >> 4]);
			put("0123456789abcdef"[letter & 15]);
		} else {
			put(*text);
		}
	}
	put('"');
}

static void put_strings(char **texts)
{
	put('[');
	for (bool first = true; *texts; texts++, first = false) {
		if (!first)
			put(',');
		put_string(*texts);
	}
	put(']');
}

static void put_number(const char *name, uint64_t value)
{
	char digits[32];

	format_to(digits, sizeof(digits), "%u", value);
	put_text(name);
	put_text(digits);
}

/* Nanoseconds as seconds with six decimals. */
static void put_seconds(const char *name, uint64_t ns)
{
	uint64_t micro = ns / 1000 % 1000000;

	put_number(name, ns / 1000000000UL);
	put('.');
	for (uint64_t unit = 100000; unit; unit /= 10)
		put((char)('0' + micro / unit % 10));
}

static const char *layout_name(void)
{
	switch (thaw.plan->layout) {
	case LAYOUT_LZ4: return "lz4";
	case LAYOUT_LAZY: return "lazy";
	default: return "hot";
	}
}

static void write_document(void)
{
	const struct plan_piece extra = thaw.plan->context;
	const char *text = PIECE(extra);

	put_text("{\"version\":1,\"engine\":\"native\",\"reason\":null,\"report\":\"self\",\"mode\":");
	put_string(layout_name());
	put_text(",\"telemetry\":");
	put_text(thaw.telemetry_fd >= 0 ? "true" : "false");
	put_seconds(",\"started_s\":", thaw.started_ns);
	put_number(",\"timings\":{\"bytes_read\":", thaw.bytes_read);
	if (COUNT(TABLE_COPIES)) {
		put_text(",\"libraries\":");
		put_string(thaw.libraries == LIBRARIES_CACHED ? "cached" : "copied");
	}
	if (thaw.fetched.pipe_fd) {
		put_number(",\"bytes_fetched\":", thaw.fetched.bytes + thaw.plan->packed_size);
		put_seconds(",\"fetch_s\":", thaw.fetched.last_ns - thaw.started_ns);
		put_seconds(",\"wait_s\":", thaw.fetched.wait_ns);
	}
	put_seconds(",\"check_s\":", thaw.phase_ns[PHASE_CHECK]);
	put_seconds(",\"compare_s\":", thaw.compare_ns);
	put_seconds(",\"map_s\":", thaw.phase_ns[PHASE_MAP]);
	put_seconds(",\"decompress_s\":", thaw.phase_ns[PHASE_FILL]);
	put_seconds(",\"finish_s\":", thaw.phase_ns[PHASE_FINISH]);
	put_seconds(",\"restore_s\":", sys_now_ns() - thaw.started_ns);
	put_text("},\"command\":");
	put_strings(thaw.fallback);
	put_text(",\"attempts\":[");
	for (uint32_t at = 0; at < MOST_ATTEMPTS && thaw.attempts[at]; at++) {
		char path[80];

		attempt_path(path, sizeof(path), thaw.attempts[at]);
		put_text(at ? "," : "");
		put_string(path);
	}
	put_text("],\"environ\":");
	put_strings(thaw.environ);
	if (extra.size) {
		put(',');
		for (uint32_t at = 0; at < extra.size; at++)
			put(text[at]);
	}
	put('}');
}

/* The pipe, while a decline is still cheap. */
void context_prepare(void)
{
	int ends[2];
	long result = SYS(pipe2, ends, O_CLOEXEC);

	if (result < 0)
		decline("no pipe for the wake context: %e", result);
	thaw.thaw_read = scratch(ends[0], COUNT(TABLE_OBJECTS));
	thaw.thaw_write = scratch(ends[1], COUNT(TABLE_OBJECTS) + 1);
}

static void send(const char *text, size_t size)
{
	int fd = thaw.thaw_write;

	if (size > PIPE_SIZE && (size > PIPE_LARGE || SYS(fcntl, fd, F_SETPIPE_SZ, PIPE_LARGE) < 0)) {
		fd = (int)SYS(memfd_create, "wake", 0);
		if (fd < 0)
			decline("the wake context has %u bytes, and a memfd is refused: %e", size, (long)fd);
		if (SYS(dup3, fd, thaw.plan->thaw_fd, O_CLOEXEC) < 0)
			decline("no descriptor for the wake context");
	}
	for (size_t done = 0; done < size;) {
		long put_now = SYS(write, fd, text + done, size - done);

		if (put_now <= 0)
			decline("cannot write the wake context: %e", put_now);
		done += (size_t)put_now;
	}
	if (fd != thaw.thaw_write) {
		SYS(lseek, fd, 0, SEEK_SET);
		SYS(close, fd);
	}
	SYS(close, thaw.thaw_write);
}

void context_send(void)
{
	uint64_t start = thaw.area + AREA_TEXT;
	long result = SYS(mmap, start, TEXT_ROOM, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	if (result != (long)start)
		decline("no memory for the wake context: %e", result);
	out = (char *)start;
	out_end = out + TEXT_ROOM;
	write_document();
	send((const char *)start, (size_t)(out - (char *)start));
	SYS(munmap, start, TEXT_ROOM);
}
