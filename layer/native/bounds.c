/*
 * Every number of the plan that is used as an address, an index or a size is
 * checked here, once.  The checksum finds damage; this finds a planner's error
 * and whatever else has a good checksum.
 */
#include "thaw.h"

#define BAD(what) decline("the plan is damaged: %s", what)

static const uint32_t record_sizes[TABLE_COUNT] = {
	sizeof(struct plan_file),   sizeof(struct plan_map),       sizeof(struct plan_block),
	sizeof(struct plan_segment), sizeof(struct plan_protect),  sizeof(struct plan_thread),
	sizeof(struct plan_sigaction), sizeof(struct plan_symbol), sizeof(struct plan_object),
	sizeof(struct plan_fd),     sizeof(struct plan_watch),     sizeof(struct plan_lock),
	sizeof(struct plan_timer),  sizeof(struct plan_entry),     sizeof(struct plan_write),
};

static void check_piece(struct plan_piece piece)
{
	if (piece.offset > thaw.plan->size || piece.size > thaw.plan->size - piece.offset)
		BAD("a piece lies outside");
}

static void check_text(struct plan_piece piece)
{
	check_piece(piece);
	if (!piece.size || ((const char *)PIECE(piece))[piece.size - 1])
		BAD("a text has no end");
}

/* Page-aligned, not empty, in user space, and not in our own area. */
static void check_span(uint64_t start, uint64_t size)
{
	if (start % PAGE || size % PAGE || !size || start < PAGE || start > ADDRESS_LIMIT ||
	    size > ADDRESS_LIMIT - start)
		BAD("an address range is impossible");
	if (start < thaw.area_end && start + size > thaw.area)
		BAD("an address range meets the restorer's");
}

static void check_tables(void)
{
	for (int id = 0; id < TABLE_COUNT; id++) {
		const struct plan_table *table = &thaw.plan->tables[id];

		if (table->record_size != record_sizes[id] || table->offset % 8 || table->offset > thaw.plan->size ||
		    (uint64_t)table->count * table->record_size > thaw.plan->size - table->offset)
			BAD("a table lies outside");
	}
}

static void check_maps(void)
{
	const struct plan_map *maps = ROWS(plan_map, TABLE_MAPS);
	const uint32_t flags = MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_NORESERVE | MAP_STACK;
	uint64_t end = 0;

	for (uint32_t at = 0; at < COUNT(TABLE_MAPS); at++) {
		const struct plan_map *map = &maps[at];

		check_span(map->start, map->size);
		if (map->start < end)
			BAD("mappings overlap");
		end = map->start + map->size;
		if (map->prot > 7 || map->flags & ~flags || map->offset % PAGE)
			BAD("a mapping is impossible");
		if (map->file < FILE_OBJECT - (int32_t)COUNT(TABLE_OBJECTS) + 1 ||
		    map->file >= (int32_t)COUNT(TABLE_FILES) ||
		    (map->file == FILE_NONE) != !!(map->flags & MAP_ANONYMOUS))
			BAD("a mapping has no file");
		if (map->file == FILE_RAW &&
		    (map->offset > thaw.plan->raw_size || map->size > thaw.plan->raw_size - map->offset))
			BAD("a mapping lies outside pages.raw");
	}
}

/* The mapping that covers a range; filling and protecting stay within one. */
static const struct plan_map *covering(uint64_t start, uint64_t size)
{
	const struct plan_map *maps = ROWS(plan_map, TABLE_MAPS);
	uint32_t low = 0, high = COUNT(TABLE_MAPS);

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (maps[middle].start + maps[middle].size <= start)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == COUNT(TABLE_MAPS) || maps[low].start > start ||
	    maps[low].start + maps[low].size - start < size)
		BAD("a range is not mapped");
	return &maps[low];
}

static void check_blocks(void)
{
	const struct plan_block *blocks = ROWS(plan_block, TABLE_BLOCKS);
	const struct plan_segment *segments = ROWS(plan_segment, TABLE_SEGMENTS);
	uint32_t next = 0; /* every segment belongs to exactly one block, in order */

	for (uint32_t at = 0; at < COUNT(TABLE_SEGMENTS); at++) {
		const struct plan_map *map;

		check_span(segments[at].start, segments[at].size);
		map = covering(segments[at].start, segments[at].size);
		if (map->file != FILE_NONE || !(map->prot & PROT_WRITE))
			BAD("pages are to be filled where nothing can be written");
	}
	for (uint32_t at = 0; at < COUNT(TABLE_BLOCKS); at++) {
		const struct plan_block *block = &blocks[at];
		uint64_t size = 0;

		if (block->offset > thaw.plan->packed_size || block->packed > thaw.plan->packed_size - block->offset ||
		    block->size > BLOCK_MAX || block->packed > block->size || !block->segments ||
		    block->segment != next || block->segments > COUNT(TABLE_SEGMENTS) - next ||
		    block->taken)
			BAD("a block is impossible");
		next += block->segments;
		for (uint32_t part = 0; part < block->segments; part++)
			size += segments[block->segment + part].size;
		if (size != block->size)
			BAD("a block does not fit its pages");
	}
	if (next != COUNT(TABLE_SEGMENTS))
		BAD("pages belong to no block");
}

static void check_writes(void)
{
	const struct plan_write *writes = ROWS(plan_write, TABLE_WRITES);

	for (uint32_t at = 0; at < COUNT(TABLE_WRITES); at++) {
		check_span(writes[at].start, writes[at].size);
		if (!(covering(writes[at].start, writes[at].size)->prot & PROT_WRITE))
			BAD("pages are to be written where nothing can be written");
	}
}

static void check_threads(void)
{
	const struct plan_thread *threads = ROWS(plan_thread, TABLE_THREADS);

	if (!COUNT(TABLE_THREADS) || COUNT(TABLE_THREADS) > (AREA_TEXT - AREA_CELLS) / (2 * PAGE))
		BAD("the number of threads");
	for (uint32_t at = 0; at < COUNT(TABLE_THREADS); at++) {
		check_piece(threads[at].frame);
		if (threads[at].frame.size != FRAME_SIZE || threads[at].name[15])
			BAD("a thread");
		check_piece(threads[at].vectors);
		if (threads[at].vectors.size && threads[at].vectors.size != VECTORS_SIZE)
			BAD("a thread's vector registers");
		if (threads[at].flags & THREAD_PATCH_TID)
			covering(threads[at].clear_tid & ~(PAGE - 1), PAGE);
		if (threads[at].rseq)
			covering(threads[at].rseq & ~(PAGE - 1), PAGE);
	}
	if (COUNT(TABLE_SIGACTIONS) != 64)
		BAD("the number of signals");
}

static void check_files(void)
{
	const struct plan_file *files = ROWS(plan_file, TABLE_FILES);
	const struct plan_protect *protects = ROWS(plan_protect, TABLE_PROTECTS);

	if (COUNT(TABLE_FILES) > MAX_FILES)
		BAD("too many files");
	for (uint32_t at = 0; at < COUNT(TABLE_FILES); at++) {
		check_text(files[at].path);
		if (files[at].sample[0].size > SAMPLE_ROOM || files[at].sample[1].size > SAMPLE_ROOM)
			BAD("a sample is too large");
	}
	for (uint32_t at = 0; at < COUNT(TABLE_PROTECTS); at++) {
		check_span(protects[at].start, protects[at].size);
		covering(protects[at].start, protects[at].size);
		if (protects[at].prot > 7)
			BAD("a protection is impossible");
	}
}

static void check_vdso(void)
{
	const struct plan_header *plan = thaw.plan;
	const struct plan_symbol *symbols = ROWS(plan_symbol, TABLE_SYMBOLS);

	check_span(plan->vdso_start, plan->vdso_size);
	check_span(plan->vvar_start, plan->vvar_size);
	check_piece(plan->vdso);
	if (plan->vdso.size != plan->vdso_size || plan->vdso_size > 0x100000 || plan->vvar_size > 0x100000 ||
	    plan->vvar_start + plan->vvar_size != plan->vdso_start)
		BAD("the vdso");
	for (uint32_t at = 0; at < COUNT(TABLE_SYMBOLS); at++) {
		check_text(symbols[at].name);
		if (symbols[at].offset > plan->vdso_size - 16)
			BAD("a function of the vdso");
	}
}

static void check_descriptors(void)
{
	const struct plan_header *plan = thaw.plan;
	const struct plan_object *objects = ROWS(plan_object, TABLE_OBJECTS);
	const struct plan_fd *fds = ROWS(plan_fd, TABLE_FDS);
	const struct plan_timer *timers = ROWS(plan_timer, TABLE_TIMERS);
	uint32_t count = COUNT(TABLE_OBJECTS);

	if (plan->max_fd >= 0x10000 || plan->thaw_fd > plan->max_fd || plan->woke_fd > plan->max_fd ||
	    plan->telemetry_fd > plan->max_fd || plan->scratch_fd > plan->max_fd || count > plan->max_fd)
		BAD("the number of descriptors");
	for (uint32_t at = 0; at < count; at++) {
		bool pair = objects[at].kind == OBJECT_PIPE || objects[at].kind == OBJECT_SOCKETPAIR;

		check_text(objects[at].path);
		check_piece(objects[at].data);
		if (objects[at].kind > OBJECT_AGAIN || (objects[at].kind == OBJECT_AGAIN && objects[at].b >= at) ||
		    (pair && (at + 1 == count || objects[at + 1].kind != OBJECT_HELD)))
			BAD("an open file");
	}
	for (uint32_t at = 0; at < COUNT(TABLE_FDS); at++)
		if (fds[at].object >= count || fds[at].fd > plan->max_fd || fds[at].fd <= 2)
			BAD("a descriptor");
	for (uint32_t at = 0; at < COUNT(TABLE_TIMERS); at++)
		if (timers[at].thread >= COUNT(TABLE_THREADS))
			BAD("a timer");
	check_piece(plan->itimers);
	if (plan->itimers.size && plan->itimers.size != 96)
		BAD("the interval timers");
}

static void check_entries(void)
{
	const struct plan_entry *entries = ROWS(plan_entry, TABLE_ENTRIES);

	for (uint32_t at = 0; at < COUNT(TABLE_ENTRIES); at++) {
		check_text(entries[at].path);
		check_piece(entries[at].data);
		if (entries[at].kind < ENTRY_DIRECTORY || entries[at].kind > ENTRY_SAME)
			BAD("a file of /tmp");
		if (entries[at].kind == ENTRY_LINK || entries[at].kind == ENTRY_SAME)
			check_text(entries[at].data);
	}
}

void plan_check_bounds(void)
{
	check_tables();
	check_maps();
	check_blocks();
	check_writes();
	check_files();
	check_threads();
	check_vdso();
	check_descriptors();
	check_entries();
	check_text(thaw.plan->cwd);
	check_piece(thaw.plan->auxv);
	check_piece(thaw.plan->context);
	if (thaw.plan->layout < LAYOUT_LZ4 || thaw.plan->layout > LAYOUT_HOT)
		BAD("the layout");
}
