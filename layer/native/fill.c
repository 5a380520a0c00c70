/*
 * Decodes the packed pages into their final addresses, one decoder for each CPU.
 *
 * The leader maps memory first.  A page fault of another thread would have to
 * wait for the lock that it holds meanwhile, and it for them (measured: mapping
 * took four times as long), so the other decoders decode ahead, into huge pages
 * of their own, of which a few faults make room for thousands of pages, and
 * deliver when all is mapped.
 *
 * Blocks of copies of library pages come last, and are left out where the
 * libraries are in the page cache.
 *
 * Each block's checksum is verified before it is decoded.  A block that fills
 * one range is decoded in place; one that fills several goes through a buffer.
 * First touch of memory costs as much as decoding it, so ranges are populated
 * by MADV_POPULATE_WRITE (5.14) where that is known.
 *
 * What takes long in a thaw is reading and decoding, so the watchdog looks here:
 * once a block, and at every 64th of the pages that are touched.  A disk that hangs is not noticed; the cold start would hang on it too.
 */
#include "thaw.h"

#define CELL_SIZE 0x80000UL /* a decoder's stack, below its buffer */
#define POPULATE_FROM (4 * PAGE)
#define AHEAD_BLOCKS 512
#define REGION 0x200000UL
#define NO_BLOCK 0xffffffffU

struct share { /* rows that one decoder has taken */
	uint32_t at, end;
};

struct decoder {
	uint32_t tid;
	struct share blocks;
	uint8_t *buffer;
	uint8_t *ahead; /* AHEAD_ROOM bytes; NULL: decodes when all is mapped */
};

static struct decoder decoders[MAX_WORKERS];
static uint32_t decoder_count, next_block, next_touch;
static uint32_t mapped; /* all memory is */
static uint32_t placed; /* decoders are where they shall run */

/* Small ones by a fault for each page: one in the middle of a copy costs more than the byte written here. */
static void populate(const struct plan_segment *segment)
{
	if (thaw.options.no_populate || segment->size < POPULATE_FROM) {
		for (uint64_t at = 0; at < segment->size; at += PAGE)
			*(volatile uint8_t *)(segment->start + at) = 0;
		return;
	}
	if (SYS(madvise, segment->start, segment->size, MADV_POPULATE_WRITE) == -EINVAL)
		thaw.options.no_populate = true; /* an older kernel */
}

static void unpack(uint32_t number, uint8_t *target)
{
	const struct plan_block *block = &ROWS(plan_block, TABLE_BLOCKS)[number];
	const struct plan_segment *segments = ROWS(plan_segment, TABLE_SEGMENTS) + block->segment;
	const uint8_t *packed = thaw.packed + block->offset;

	check_time("block", number);
	/* Where the bytes go is covered as well as what they are. */
	if ((xxh32(packed, block->packed) ^ xxh32(segments, block->segments * sizeof(*segments))) != block->checksum)
		decline("block %u of pages.lz4 is damaged: its checksum does not fit", (unsigned long)number);
	if (block->packed == block->size)
		__builtin_memcpy(target, packed, block->size);
	else if (LZ4_decompress_safe((const char *)packed, (char *)target, (int)block->packed, (int)block->size) !=
		 (int)block->size)
		decline("block %u of pages.lz4 is damaged: it does not decode", (unsigned long)number);
}

static void deliver(uint32_t number, const uint8_t *contents)
{
	const struct plan_block *block = &ROWS(plan_block, TABLE_BLOCKS)[number];
	const struct plan_segment *segments = ROWS(plan_segment, TABLE_SEGMENTS) + block->segment;

	for (uint32_t part = 0; part < block->segments; part++) {
		populate(&segments[part]);
		__builtin_memcpy((void *)segments[part].start, contents, segments[part].size);
		contents += segments[part].size;
	}
}

static void decode(uint32_t number, uint8_t *buffer)
{
	const struct plan_block *block = &ROWS(plan_block, TABLE_BLOCKS)[number];
	const struct plan_segment *only = ROWS(plan_segment, TABLE_SEGMENTS) + block->segment;

	if (block->segments == 1) {
		populate(only);
		unpack(number, (uint8_t *)only->start);
	} else {
		unpack(number, buffer);
		deliver(number, buffer);
	}
}

static uint64_t block_start(uint32_t number)
{
	return ROWS(plan_segment, TABLE_SEGMENTS)[ROWS(plan_block, TABLE_BLOCKS)[number].segment].start;
}

static uint64_t touch_start(uint32_t number)
{
	return ROWS(plan_touch, TABLE_TOUCHES)[number].start;
}

/*
 * The next row to work on, of one decoder's share; `count` when all are taken.
 * A page table page, which maps 2 MiB, has one lock, and two decoders that fill
 * it at once spend a sixth of their time waiting for it; so rows are taken by
 * the region in which they begin.
 */
static uint32_t next_of(struct share *share, uint32_t *next, uint32_t count, uint64_t (*start)(uint32_t))
{
	uint32_t at = __atomic_load_n(next, __ATOMIC_RELAXED), end;

	if (share->at < share->end)
		return share->at++;
	do {
		if (at >= count)
			return count;
		for (end = at + 1; end < count && start(end) / REGION == start(at) / REGION; end++)
			;
	} while (!__atomic_compare_exchange_n(next, &at, end, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	*share = (struct share){ at + 1, end };
	return at;
}

/* NO_BLOCK: there is none, or none before it is known whether libraries are to be copied. */
static uint32_t next_block_of(struct decoder *decoder)
{
	bool copied = __atomic_load_n(&thaw.libraries, __ATOMIC_ACQUIRE) == LIBRARIES_COPIED;
	uint32_t count = copied ? COUNT(TABLE_BLOCKS) : thaw.plan->copy_block;
	uint32_t number = thaw.fetched.pipe_fd ? fetched_next() : next_of(&decoder->blocks, &next_block, count, block_start);

	return number < count ? number : NO_BLOCK;
}

/* Decodes until all is mapped or there is no more room, then waits and delivers. */
static void decode_ahead(struct decoder *decoder)
{
	uint32_t numbers[AHEAD_BLOCKS], count = 0;
	uint8_t *room = decoder->ahead, *free_at = room, *start = room;

	while (room && count < AHEAD_BLOCKS && free_at + BLOCK_MAX <= room + AHEAD_ROOM &&
	       !__atomic_load_n(&mapped, __ATOMIC_ACQUIRE)) {
		uint32_t number = next_block_of(decoder);

		if (number == NO_BLOCK)
			break;
		unpack(number, free_at);
		free_at += ROWS(plan_block, TABLE_BLOCKS)[number].size;
		numbers[count++] = number;
	}
	while (!__atomic_load_n(&mapped, __ATOMIC_ACQUIRE))
		futex_wait(&mapped, 0);
	for (uint32_t at = 0; at < count; at++) {
		deliver(numbers[at], room);
		room += ROWS(plan_block, TABLE_BLOCKS)[numbers[at]].size;
	}
	if (start)
		SYS(munmap, start, AHEAD_ROOM); /* resident twice no longer than it must be */
}

/*
 * Lazy pages that are known to be touched, by all CPUs at once, each by a fault.
 * Runs are short here, and a fault takes no lock that all of them want, as
 * madvise() does (measured: populating took a tenth longer, and Linux before
 * 5.14 cannot).  One that is only read maps its cached neighbours too; those
 * that are written come first in the table (measured: filling took half as long
 * again where they did not, see add_touches() of the planner).
 */
static void touch_lazy(void)
{
	const struct plan_touch *touches = ROWS(plan_touch, TABLE_TOUCHES);
	struct share share = { 0, 0 };
	uint32_t at;

	while ((at = next_of(&share, &next_touch, COUNT(TABLE_TOUCHES), touch_start)) < COUNT(TABLE_TOUCHES)) {
		uint8_t *page = (uint8_t *)touches[at].start, *end = page + touches[at].size;

		if (at % 64 == 0)
			check_time("touch", at);
		if (!touches[at].write)
			(void)*(volatile const uint8_t *)page;
		else
			for (; page < end; page += PAGE)
				__asm__ volatile("lock orb $0, %0" : "+m"(*page)); /* a write that changes nothing */
	}
}

static void work(struct decoder *decoder)
{
	uint32_t number;

	while ((number = next_block_of(decoder)) != NO_BLOCK)
		decode(number, decoder->buffer);
	touch_lazy();
}

static void begin_work(void *argument)
{
	struct decoder *decoder = argument;

	/* Not bound to a processor in the middle of a decline, which would hand that on. */
	while (!__atomic_load_n(&placed, __ATOMIC_ACQUIRE))
		futex_wait(&placed, 0);
	if (decoder == &decoders[1])
		files_open();
	decode_ahead(decoder);
	work(decoder);
}

/* Of a file that came while we decoded; the other way to it is in files.c. */
static void check_header(void)
{
	const struct plan_pages_header *header = (const struct plan_pages_header *)thaw.packed;

	if (header->magic != PAGES_MAGIC || header->tag != thaw.plan->tag || header->size != thaw.plan->packed_size)
		decline("pages.lz4 does not belong to this plan");
}

/*
 * With small pages every page decoded ahead would be a fault, in the way of the
 * mapping.  Whether there are huge ones shows at the first touch: it makes the
 * neighbour resident as well.  (The setting in /sys is not visible everywhere.)
 */
static uint8_t *room_ahead(uint32_t number)
{
	uint64_t start = thaw.area + AREA_AHEAD + number * AHEAD_ROOM;
	long result = SYS(mmap, start, AHEAD_ROOM, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
	uint8_t resident[2] = { 0 };

	if (result != (long)start || SYS(madvise, start, AHEAD_ROOM, MADV_HUGEPAGE) < 0)
		return NULL; /* it is only for speed */
	*(volatile uint8_t *)start = 0;
	if (SYS(mincore, start, sizeof(resident) * PAGE, resident) < 0 || !(resident[1] & 1))
		return NULL;
	return (uint8_t *)start;
}

void fill_begin(void)
{
	uint32_t cpus = placement_count(), count = thaw.options.workers ? thaw.options.workers : cpus;
	uint64_t cells = thaw.area + AREA_WORKERS;
	bool ahead = COUNT(TABLE_BLOCKS) && !thaw.fetched.pipe_fd && !thaw.options.no_huge;
	long result, tid;

	if (!COUNT(TABLE_BLOCKS) && !COUNT(TABLE_TOUCHES))
		return;
	count = count > MAX_WORKERS ? MAX_WORKERS : count ? count : 1;
	decoder_count = count;
	result = SYS(mmap, cells, count * CELL_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (result != (long)cells)
		decline("no memory for decoding: %e", result);
	for (uint32_t at = 0; at < count; at++)
		decoders[at].buffer = (uint8_t *)cells + (at + 1) * CELL_SIZE - BLOCK_MAX;
	for (uint32_t at = 1; at < count; at++) {
		if (ahead)
			decoders[at].ahead = room_ahead(at - 1);
		/* A sandbox that allows no thread here will allow none later; that is said there. */
		tid = clone_thread(CLONE_THREAD_ALIKE | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID,
				   decoders[at].buffer, &decoders[at].tid, 0, begin_work, &decoders[at]);
		if (tid < 0)
			decoders[at].tid = 0;
		else
			placement_apart(tid);
	}
	__atomic_store_n(&placed, 1, __ATOMIC_RELEASE);
	futex_wake(&placed);
}

void fill_end(void)
{
	if (!decoder_count)
		return;
	__atomic_store_n(&mapped, 1, __ATOMIC_RELEASE);
	futex_wake(&mapped);
	work(&decoders[0]);
	for (uint32_t at = 1; at < decoder_count; at++)
		for (uint32_t tid; (tid = __atomic_load_n(&decoders[at].tid, __ATOMIC_ACQUIRE));)
			futex_wait(&decoders[at].tid, tid);
	placement_end();
	SYS(munmap, thaw.area + AREA_WORKERS, decoder_count * CELL_SIZE);
	if (thaw.fetched.pipe_fd) {
		check_header();
		fetched_close();
	}
}
