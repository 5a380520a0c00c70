/*
 * Decodes the packed pages into their final addresses, one decoder for each CPU.
 *
 * Each block's checksum is verified before it is decoded.  A block that fills
 * one range is decoded in place; one that fills several goes through a buffer.
 * First touch of memory costs as much as decoding it, so ranges are populated
 * by MADV_POPULATE_WRITE (5.14) where that is known.
 *
 * What takes long in a thaw is reading and decoding, so the watchdog looks here:
 * once a block.  A disk that hangs is not noticed; the cold start would hang on it too.
 */
#include "thaw.h"

#define CELL_SIZE 0x80000UL /* a decoder's stack, below its buffer */
#define POPULATE_FROM (4 * PAGE)

struct decoder {
	uint32_t tid;
	uint8_t *buffer;
};

static struct decoder decoders[MAX_WORKERS];
static uint32_t next_block, next_write;

static void populate(const struct plan_segment *segment)
{
	if (thaw.options.no_populate || segment->size < POPULATE_FROM)
		return;
	if (SYS(madvise, segment->start, segment->size, MADV_POPULATE_WRITE) == -EINVAL)
		thaw.options.no_populate = true; /* an older kernel */
}

static void decode(const struct plan_block *block, uint8_t *buffer, unsigned long number)
{
	const struct plan_segment *segments = ROWS(plan_segment, TABLE_SEGMENTS) + block->segment;
	const uint8_t *packed = thaw.packed + block->offset;
	uint8_t *target = block->segments == 1 ? (uint8_t *)segments[0].start : buffer;

	if (sys_now_ns() - thaw.started_ns > thaw.watchdog_ns)
		decline("the thaw took longer than %u ms (at block %u)", thaw.watchdog_ns / 1000000, (unsigned long)number);
	/* Where the bytes go is covered as well as what they are. */
	if ((xxh32(packed, block->packed) ^ xxh32(segments, block->segments * sizeof(*segments))) != block->checksum)
		decline("block %u of pages.lz4 is damaged: its checksum does not fit", number);
	for (uint32_t part = 0; part < block->segments; part++)
		populate(&segments[part]);
	if (block->packed == block->size)
		__builtin_memcpy(target, packed, block->size);
	else if (LZ4_decompress_safe((const char *)packed, (char *)target, (int)block->packed, (int)block->size) !=
		 (int)block->size)
		decline("block %u of pages.lz4 is damaged: it does not decode", number);
	if (block->segments == 1)
		return;
	for (uint32_t part = 0; part < block->segments; part++) {
		__builtin_memcpy((void *)segments[part].start, target, segments[part].size);
		target += segments[part].size;
	}
}

/*
 * Lazy pages that are known to be written to: copied here, by all CPUs, they
 * cost a third less than a fault each would, and none later.
 */
static void write_lazy(void)
{
	const struct plan_write *writes = ROWS(plan_write, TABLE_WRITES);
	uint32_t at;

	while (!thaw.options.no_populate && (at = __atomic_fetch_add(&next_write, 1, __ATOMIC_RELAXED)) < COUNT(TABLE_WRITES))
		if (SYS(madvise, writes[at].start, writes[at].size, MADV_POPULATE_WRITE) == -EINVAL)
			return; /* an older kernel: they are written when they are */
}

static uint32_t next(void)
{
	return thaw.fetched.pipe_fd ? fetched_next() : __atomic_fetch_add(&next_block, 1, __ATOMIC_RELAXED);
}

static void work(void *argument)
{
	const struct decoder *decoder = argument;
	const struct plan_block *blocks = ROWS(plan_block, TABLE_BLOCKS);
	uint32_t at;

	while ((at = next()) < COUNT(TABLE_BLOCKS))
		decode(&blocks[at], decoder->buffer, at);
	write_lazy();
}

static uint32_t count_cpus(void)
{
	uint64_t mask[16] = { 0 };
	long size = SYS(sched_getaffinity, 0, sizeof(mask), mask);
	uint32_t count = 0;

	for (long at = 0; at < size / 8; at++)
		for (uint64_t word = mask[at]; word; word &= word - 1)
			count++;
	return count;
}

/* Of a file that came while we decoded; the other way to it is in files.c. */
static void check_header(void)
{
	const struct plan_pages_header *header = (const struct plan_pages_header *)thaw.packed;

	if (header->magic != PAGES_MAGIC || header->tag != thaw.plan->tag || header->size != thaw.plan->packed_size)
		decline("pages.lz4 does not belong to this plan");
}

void fill(void)
{
	uint32_t count = thaw.options.workers ? thaw.options.workers : count_cpus();
	uint64_t cells = thaw.area + AREA_WORKERS;
	long result;

	if (!COUNT(TABLE_BLOCKS) && !COUNT(TABLE_WRITES))
		return;
	count = count > MAX_WORKERS ? MAX_WORKERS : count ? count : 1;
	result = SYS(mmap, cells, count * CELL_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (result != (long)cells)
		decline("no memory for decoding: %e", result);
	for (uint32_t at = 0; at < count; at++)
		decoders[at].buffer = (uint8_t *)cells + (at + 1) * CELL_SIZE - BLOCK_MAX;
	for (uint32_t at = 1; at < count; at++)
		/* A sandbox that allows no thread here will allow none later; that is said there. */
		if (clone_thread(CLONE_THREAD_ALIKE | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID,
				 decoders[at].buffer, &decoders[at].tid, 0, work, &decoders[at]) < 0)
			decoders[at].tid = 0;
	work(&decoders[0]);
	for (uint32_t at = 1; at < count; at++)
		for (uint32_t tid; (tid = __atomic_load_n(&decoders[at].tid, __ATOMIC_ACQUIRE));)
			futex_wait(&decoders[at].tid, tid);
	SYS(munmap, cells, count * CELL_SIZE);
	if (thaw.fetched.pipe_fd) {
		check_header();
		fetched_close();
	}
}
