/*
 * The files that the process maps, and our pages files: opened once, compared
 * with what the plan says, and kept open until they are mapped.
 *
 * Size and modification time usually settle it.  A layer is unpacked anew on
 * every host, so a different time is no answer; then two samples are read (the
 * build-id, else both ends of the file).
 *
 * Opening hundreds takes half a millisecond, so a decoder begins with it while
 * the leader maps what is no file.
 */
#include "thaw.h"

static uint8_t *sample_bytes; /* SAMPLE_ROOM, where the wake context is going to be written */
static uint32_t begun, done;

static void map_samples(void)
{
	uint64_t start = thaw.area + AREA_TEXT;
	long result = SYS(mmap, start, SAMPLE_ROOM, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (result != (long)start)
		decline("no memory to compare files: %e", result);
	sample_bytes = (uint8_t *)start;
}

static bool sample_fits(long fd, const struct plan_sample *sample)
{
	long got;

	if (!sample->size)
		return true;
	if (!sample_bytes)
		map_samples();
	got = SYS(pread64, fd, sample_bytes, sample->size, sample->offset);
	thaw.bytes_read += sample->size;
	return got == (long)sample->size && xxh32(sample_bytes, sample->size) == sample->checksum;
}

static long look_at(long fd, const char *path, struct sys_stat *status)
{
	long result;

	if (fd < 0)
		decline("cannot open %s: %e", path, fd);
	result = SYS(fstat, fd, status);
	if (result < 0 || (status->mode & S_IFMT) != S_IFREG)
		decline("%s is no regular file", path);
	return fd;
}

static long open_file(const char *path, struct sys_stat *status)
{
	/* O_NONBLOCK: a FIFO in the place of a file must not hold us up. */
	return look_at(SYS(open, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), path, status);
}

static void open_all(void)
{
	const struct plan_file *files = ROWS(plan_file, TABLE_FILES);

	thaw.comparing = true;
	for (uint32_t at = 0; at < COUNT(TABLE_FILES); at++) {
		const struct plan_file *file = &files[at];
		const char *path = PIECE(file->path);
		struct sys_stat status;
		long fd;

		check_time("file", at);
		fd = open_file(path, &status);
		if ((uint64_t)status.size != file->size)
			decline("%s has %u bytes, %u when it was frozen", path, (unsigned long)status.size, file->size);
		if (status.mtime.seconds * 1000000000L + status.mtime.nanoseconds != file->mtime_ns &&
		    !(sample_fits(fd, &file->sample[0]) && sample_fits(fd, &file->sample[1])))
			decline("%s is not the file that was mapped when the function was frozen", path);
		thaw.files[at] = (int)fd;
	}
	thaw.comparing = false;
}

/* By who comes first; the others wait. */
void files_open(void)
{
	if (__atomic_exchange_n(&begun, 1, __ATOMIC_RELAXED)) {
		while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE))
			futex_wait(&done, 0);
		return;
	}
	open_all();
	if (sample_bytes)
		SYS(munmap, sample_bytes, SAMPLE_ROOM);
	__atomic_store_n(&done, 1, __ATOMIC_RELEASE);
	futex_wake(&done);
}

void files_close(void)
{
	for (uint32_t at = 0; at < COUNT(TABLE_FILES); at++)
		SYS(close, thaw.files[at]);
	if (thaw.raw_fd > 0)
		SYS(close, thaw.raw_fd);
}

static int open_pages(const char *name, uint64_t size)
{
	struct plan_pages_header header;
	struct sys_stat status;
	char path[4096];
	long fd, got;

	if (!size)
		return -1;
	format_to(path, sizeof(path), "%s/native/%s", thaw.snapshot, name);
	fd = open_file(path, &status);
	if ((uint64_t)status.size != size)
		decline("%s has %u bytes, not %u", path, (unsigned long)status.size, size);
	got = SYS(pread64, fd, &header, sizeof(header), 0);
	if (got != (long)sizeof(header) || header.magic != PAGES_MAGIC || header.tag != thaw.plan->tag ||
	    header.size != size)
		decline("%s does not belong to this plan", path);
	return (int)fd;
}

/* Bytes that have not come yet cannot be looked at; each block has its checksum, see fill.c. */
static int open_fetched(uint64_t size)
{
	struct sys_stat status;
	long fd = look_at(SYS(fcntl, thaw.fetched.packed_fd, F_DUPFD_CLOEXEC, 3), "pages.lz4", &status);

	if (!COUNT(TABLE_BLOCKS)) /* nobody would look at what comes */
		decline("the plan has no packed pages");
	if ((uint64_t)status.size != size)
		decline("pages.lz4 has %u bytes, not %u", (unsigned long)status.size, size);
	return (int)fd;
}

/* The packed pages are wanted whole and soon: let the kernel read ahead while we check and map. */
void pages_open(void)
{
	uint64_t size = thaw.plan->packed_size;
	long result;

	thaw.packed_fd = thaw.fetched.pipe_fd ? open_fetched(size) : open_pages("pages.lz4", size);
	thaw.raw_fd = open_pages("pages.raw", thaw.plan->raw_size);
	if (!size)
		return;
	SYS(readahead, thaw.packed_fd, 0, size);
	/* Shared: what a fetcher writes later must be seen. */
	result = SYS(mmap, thaw.area + AREA_PACKED, size, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE,
		     thaw.packed_fd, 0);
	if (result != (long)(thaw.area + AREA_PACKED))
		decline("cannot map pages.lz4: %e", result);
	SYS(close, thaw.packed_fd);
	thaw.packed = (const uint8_t *)(thaw.area + AREA_PACKED);
	thaw.bytes_read += size;
}
