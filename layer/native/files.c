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

#define LOOKS 9 /* at a file, to know whether it is cached */
#define CACHED_NS 20000UL /* a page that is cached takes some 500 ns */

static uint8_t *sample_bytes; /* SAMPLE_ROOM, where the wake context is going to be written */
static uint32_t begun, done, slow_reads;

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

/*
 * Whether files are in the page cache is told by the time that reading some of
 * their pages takes.  (mincore(2) tells owners only, and preadv2(2) with
 * RWF_NOWAIT is not to be had in Lambda.)  One that is slow may have been
 * interrupted; two settle it.  A wrong answer costs time and nothing else.
 */
static long timed_read(long fd, void *to, uint64_t size, uint64_t offset)
{
	uint64_t before = sys_now_ns();
	long got = SYS(pread64, fd, to, size, offset);

	slow_reads += got != (long)size || sys_now_ns() - before > CACHED_NS;
	return got;
}

static bool is_cached(void)
{
	return thaw.options.cached || slow_reads < 2;
}

/* At other places each time: what was looked at stays in the page cache. */
static void look_into(long fd, uint64_t size)
{
	uint64_t step = size / LOOKS;
	uint8_t byte;

	for (uint32_t at = 1; at < LOOKS && fd > 0 && is_cached(); at++)
		timed_read(fd, &byte, 1, step * at - thaw.started_ns % step);
}

static enum libraries find_libraries(void)
{
	const struct plan_probe *probes = ROWS(plan_probe, TABLE_PROBES);
	uint8_t byte;

	slow_reads = 0;
	for (uint32_t at = 0; at < COUNT(TABLE_PROBES) && is_cached(); at++)
		timed_read(thaw.files[probes[at].file], &byte, 1, probes[at].offset);
	return is_cached() ? LIBRARIES_CACHED : LIBRARIES_COPIED;
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

/* The packed pages that this thaw needs, and no more. */
static void read_ahead(uint64_t start, uint64_t end)
{
	if (end <= start)
		return;
	SYS(readahead, thaw.packed_fd, start, end - start);
	thaw.bytes_read += end - start;
}

static uint64_t packed_always(void)
{
	uint32_t block = thaw.plan->copy_block;

	return block < COUNT(TABLE_BLOCKS) ? ROWS(plan_block, TABLE_BLOCKS)[block].offset : thaw.plan->packed_size;
}

/* By who comes first; the others wait. */
void files_open(void)
{
	uint64_t begun_ns;

	if (__atomic_exchange_n(&begun, 1, __ATOMIC_RELAXED)) {
		while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE))
			futex_wait(&done, 0);
		return;
	}
	begun_ns = sys_now_ns();
	open_all();
	thaw.compare_ns = sys_now_ns() - begun_ns;
	if (sample_bytes)
		SYS(munmap, sample_bytes, SAMPLE_ROOM);
	thaw.libraries = thaw.warm ? find_libraries() : LIBRARIES_COPIED;
	if (thaw.warm && thaw.libraries == LIBRARIES_COPIED)
		read_ahead(packed_always(), thaw.plan->packed_size);
	__atomic_store_n(&done, 1, __ATOMIC_RELEASE);
	futex_wake(&done);
}

void files_close(void)
{
	for (uint32_t at = 0; at < COUNT(TABLE_FILES); at++)
		SYS(close, thaw.files[at]);
	if (thaw.raw_fd > 0)
		SYS(close, thaw.raw_fd);
	if (thaw.packed_fd > 0)
		SYS(close, thaw.packed_fd);
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
	got = timed_read(fd, &header, sizeof(header), 0);
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

/* The packed pages are wanted soon: let the kernel read ahead while we check and map. */
void pages_open(void)
{
	uint64_t size = thaw.plan->packed_size;
	long result;

	thaw.packed_fd = thaw.fetched.pipe_fd ? open_fetched(size) : open_pages("pages.lz4", size);
	thaw.raw_fd = open_pages("pages.raw", thaw.plan->raw_size);
	/* Objects are going to be put there. */
	if (thaw.packed_fd >= (int)thaw.plan->scratch_fd || thaw.raw_fd >= (int)thaw.plan->scratch_fd)
		decline("too many files are open");
	/* Where they are not cached, the disk is going to be busy with them, and looking further would wait for it. */
	thaw.warm = thaw.plan->layout == LAYOUT_HOT && !thaw.fetched.pipe_fd && !thaw.options.copied;
	if (thaw.warm) {
		look_into(thaw.packed_fd, size);
		thaw.warm = is_cached();
	}
	if (thaw.warm) { /* of pages.raw a host that has thawed before has only what was touched */
		slow_reads = 0;
		look_into(thaw.raw_fd, thaw.plan->raw_size);
		thaw.raw_warm = is_cached();
	}
	if (!size)
		return;
	read_ahead(0, thaw.warm ? packed_always() : size);
	/* Shared: what a fetcher writes later must be seen. */
	result = SYS(mmap, thaw.area + AREA_PACKED, size, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE,
		     thaw.packed_fd, 0);
	if (result != (long)(thaw.area + AREA_PACKED))
		decline("cannot map pages.lz4: %e", result);
	thaw.packed = (const uint8_t *)(thaw.area + AREA_PACKED);
}
