/*
 * Every number of the plan that is used as an address, an index or a size is
 * checked here, once.  The checksum finds damage; this finds a planner's error
 * and whatever else has a good checksum.
 */
#include "thaw.h"

#define BAD(what) decline("the plan is damaged: %s", what)
#define PLAN_MAX (AREA_PACKED - AREA_PLAN)
#define TMP "/tmp/"
#define NEVER_AGAIN (0100 | 0200 | 01000) /* O_CREAT, O_EXCL, O_TRUNC: of the first opening */

static const uint32_t record_sizes[TABLE_COUNT] = {
	sizeof(struct plan_file),   sizeof(struct plan_map),       sizeof(struct plan_block),
	sizeof(struct plan_segment), sizeof(struct plan_protect),  sizeof(struct plan_thread),
	sizeof(struct plan_sigaction), sizeof(struct plan_symbol), sizeof(struct plan_object),
	sizeof(struct plan_fd),     sizeof(struct plan_watch),     sizeof(struct plan_lock),
	sizeof(struct plan_timer),  sizeof(struct plan_entry),     sizeof(struct plan_touch),
	sizeof(struct plan_copy),   sizeof(struct plan_probe),
};

/* The header alone, before anything is where it says. */
void plan_check_header(const struct plan_header *header, const char *path)
{
	if (header->magic != PLAN_MAGIC)
		decline("%s is no plan", path);
	if (header->version != PLAN_VERSION || header->header_size != sizeof(*header))
		decline("%s has version %u, this restorer reads version %u", path, (unsigned long)header->version,
			(unsigned long)PLAN_VERSION);
	if (header->machine != PLAN_MACHINE)
		decline("%s is for another architecture", path);
	if (header->size < sizeof(*header) || header->size > PLAN_MAX)
		decline("%s is damaged: impossible size", path);
	if (header->area % PAGE || header->area < PAGE || header->area > ADDRESS_LIMIT ||
	    header->packed_size > ADDRESS_LIMIT / 2 ||
	    header->area + AREA_PACKED + header->packed_size + PAGE > ADDRESS_LIMIT)
		decline("%s is damaged: impossible area", path);
}

void plan_check_piece(struct plan_piece piece)
{
	if (piece.offset > thaw.plan->size || piece.size > thaw.plan->size - piece.offset)
		BAD("a piece lies outside");
}

static void check_text(struct plan_piece piece)
{
	plan_check_piece(piece);
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
		if (map->prot > 7 || map->flags & ~flags || map->offset % PAGE ||
		    !(map->flags & MAP_SHARED) == !(map->flags & MAP_PRIVATE))
			BAD("a mapping is impossible");
		if (map->file < FILE_OBJECT - (int32_t)COUNT(TABLE_OBJECTS) + 1 ||
		    map->file >= (int32_t)COUNT(TABLE_FILES) ||
		    (map->file == FILE_NONE) != !!(map->flags & MAP_ANONYMOUS))
			BAD("a mapping has no file");
		if (map->file == FILE_RAW &&
		    (map->offset > thaw.plan->raw_size || map->size > thaw.plan->raw_size - map->offset))
			BAD("a mapping lies outside pages.raw");
		if (map->start < thaw.plan->vdso_start + thaw.plan->vdso_size && end > thaw.plan->vvar_start)
			BAD("a mapping is where the vdso was");
	}
}

/* The row that covers a range, of a table whose rows are ascending and begin with start and size; or NULL. */
static const void *covering(enum plan_table_id id, uint64_t start, uint64_t size)
{
	const uint8_t *rows = (const uint8_t *)ROWS(plan_segment, id);
	uint32_t low = 0, high = COUNT(id);
	const struct plan_segment *row;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		row = (const void *)(rows + middle * record_sizes[id]);
		if (row->start + row->size <= start)
			low = middle + 1;
		else
			high = middle;
	}
	row = (const void *)(rows + low * record_sizes[id]);
	return low == COUNT(id) || row->start > start || row->start + row->size - start < size ? NULL : row;
}

/* The mapping that covers a range; filling stays within one. */
const struct plan_map *plan_covering(uint64_t start, uint64_t size)
{
	const struct plan_map *map = covering(TABLE_MAPS, start, size);

	if (!map)
		BAD("a range is not mapped");
	return map;
}

/* Each lies within one private mapping of a file, and differs from it in what filling needs. */
static void check_copies(void)
{
	const struct plan_copy *copies = ROWS(plan_copy, TABLE_COPIES);
	const struct plan_probe *probes = ROWS(plan_probe, TABLE_PROBES);
	uint64_t end = 0;

	for (uint32_t at = 0; at < COUNT(TABLE_COPIES); at++) {
		const struct plan_map *map;

		check_span(copies[at].start, copies[at].size);
		map = plan_covering(copies[at].start, copies[at].size);
		if (copies[at].start < end || map->file < 0 || !(map->flags & MAP_PRIVATE) ||
		    copies[at].prot != (map->prot | PROT_READ | PROT_WRITE) ||
		    copies[at].flags != (map->flags | MAP_ANONYMOUS))
			BAD("a mapping is impossible");
		end = copies[at].start + copies[at].size;
	}
	for (uint32_t at = 0; at < COUNT(TABLE_PROBES); at++)
		if (probes[at].file >= COUNT(TABLE_FILES))
			BAD("a mapping has no file");
}

static bool can_fill(const struct plan_segment *segment)
{
	const struct plan_map *map = plan_covering(segment->start, segment->size);

	return map->file == FILE_NONE && map->prot & PROT_WRITE;
}

static void check_blocks(void)
{
	const struct plan_block *blocks = ROWS(plan_block, TABLE_BLOCKS);
	const struct plan_segment *segments = ROWS(plan_segment, TABLE_SEGMENTS);
	uint32_t next = 0; /* every segment belongs to exactly one block, in order */

	if (thaw.plan->copy_block > COUNT(TABLE_BLOCKS) || thaw.plan->copy_protect > COUNT(TABLE_PROTECTS))
		BAD("a table lies outside");
	for (uint32_t at = 0; at < COUNT(TABLE_BLOCKS); at++) {
		const struct plan_block *block = &blocks[at];
		uint64_t size = 0;

		if (block->offset > thaw.plan->packed_size || block->packed > thaw.plan->packed_size - block->offset ||
		    block->size > BLOCK_MAX || block->packed > block->size || !block->segments ||
		    block->segment != next || block->segments > COUNT(TABLE_SEGMENTS) - next ||
		    block->taken)
			BAD("a block is impossible");
		next += block->segments;
		for (uint32_t part = 0; part < block->segments; part++) {
			const struct plan_segment *segment = &segments[block->segment + part];

			check_span(segment->start, segment->size);
			if (at < thaw.plan->copy_block ? !can_fill(segment) :
							 !covering(TABLE_COPIES, segment->start, segment->size))
				BAD("pages are to be filled where nothing can be written");
			size += segment->size;
		}
		if (size != block->size)
			BAD("a block does not fit its pages");
	}
	if (next != COUNT(TABLE_SEGMENTS))
		BAD("pages belong to no block");
}

static void check_touches(void)
{
	const struct plan_touch *touches = ROWS(plan_touch, TABLE_TOUCHES);

	for (uint32_t at = 0; at < COUNT(TABLE_TOUCHES); at++) {
		uint32_t needed = touches[at].write ? PROT_WRITE : PROT_READ;

		check_span(touches[at].start, touches[at].size);
		if (!(plan_covering(touches[at].start, touches[at].size)->prot & needed))
			BAD("pages are to be touched where they cannot be");
	}
}

/* Only writing was lent, for the filling, and not to every mapping of the range; what can be run can be read. */
static void check_protect(const struct plan_protect *protect)
{
	const struct plan_map *map, *end = ROWS(plan_map, TABLE_MAPS) + COUNT(TABLE_MAPS);

	check_span(protect->start, protect->size);
	if (protect->prot & PROT_WRITE || protect->prot == PROT_EXEC)
		BAD("a protection is impossible");
	for (map = plan_covering(protect->start, PAGE);; map++) {
		if (map->prot != protect->prot && map->prot != (protect->prot | PROT_READ | PROT_WRITE))
			BAD("a protection is impossible");
		if (map->start + map->size >= protect->start + protect->size)
			break;
		if (map + 1 == end || map[1].start != map->start + map->size)
			BAD("a range is not mapped");
	}
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
	for (uint32_t at = 0; at < COUNT(TABLE_PROTECTS); at++)
		check_protect(&protects[at]);
}

static void check_vdso(void)
{
	const struct plan_header *plan = thaw.plan;
	const struct plan_symbol *symbols = ROWS(plan_symbol, TABLE_SYMBOLS);

	check_span(plan->vdso_start, plan->vdso_size);
	check_span(plan->vvar_start, plan->vvar_size);
	plan_check_piece(plan->vdso);
	if (plan->vdso.size != plan->vdso_size || plan->vdso_size > 0x100000 || plan->vvar_size > 0x100000 ||
	    plan->vvar_start + plan->vvar_size != plan->vdso_start)
		BAD("the vdso");
	for (uint32_t at = 0; at < COUNT(TABLE_SYMBOLS); at++) {
		check_text(symbols[at].name);
		if (symbols[at].offset > plan->vdso_size - 16)
			BAD("a function of the vdso");
	}
}

/* Whether a descriptor is one of those that objects are kept at until they get their own. */
static bool is_scratch(uint32_t fd)
{
	return fd >= thaw.plan->scratch_fd && fd - thaw.plan->scratch_fd < COUNT(TABLE_OBJECTS) + 2;
}

static void check_object(const struct plan_object *objects, uint32_t at)
{
	const struct plan_object *object = &objects[at];
	bool pair = object->kind == OBJECT_PIPE || object->kind == OBJECT_SOCKETPAIR;
	bool opened = object->kind == OBJECT_FILE || object->kind == OBJECT_FIFO || object->kind == OBJECT_AGAIN;

	check_text(object->path);
	plan_check_piece(object->data);
	if (object->kind > OBJECT_AGAIN || (object->kind == OBJECT_AGAIN && object->b >= at) ||
	    (object->kind == OBJECT_INHERITED && object->a > STDERR) || (opened && object->flags & NEVER_AGAIN) ||
	    (pair && (at + 1 == COUNT(TABLE_OBJECTS) || objects[at + 1].kind != OBJECT_HELD)))
		BAD("an open file");
}

static void check_descriptors(void)
{
	const struct plan_header *plan = thaw.plan;
	const uint32_t own[] = { plan->thaw_fd, plan->woke_fd, plan->telemetry_fd };
	const struct plan_object *objects = ROWS(plan_object, TABLE_OBJECTS);
	const struct plan_fd *fds = ROWS(plan_fd, TABLE_FDS);
	const struct plan_timer *timers = ROWS(plan_timer, TABLE_TIMERS);
	uint32_t count = COUNT(TABLE_OBJECTS);

	if (plan->max_fd >= 0x10000 || plan->thaw_fd > plan->max_fd || plan->woke_fd > plan->max_fd ||
	    plan->telemetry_fd > plan->max_fd || plan->scratch_fd > plan->max_fd || count > plan->max_fd)
		BAD("the number of descriptors");
	for (uint32_t at = 0; at < 3; at++)
		if (own[at] <= STDERR || is_scratch(own[at]) || own[at] == own[(at + 1) % 3])
			BAD("a descriptor of our own");
	if (plan->scratch_fd <= STDERR)
		BAD("a descriptor of our own");
	for (uint32_t at = 0; at < count; at++)
		check_object(objects, at);
	for (uint32_t at = 0; at < COUNT(TABLE_FDS); at++)
		if (fds[at].object >= count || fds[at].fd > plan->max_fd || fds[at].fd <= STDERR ||
		    is_scratch(fds[at].fd) || fds[at].fd == own[0] || fds[at].fd == own[1] || fds[at].fd == own[2])
			BAD("a descriptor");
	for (uint32_t at = 0; at < COUNT(TABLE_TIMERS); at++)
		if (timers[at].thread >= COUNT(TABLE_THREADS) || timers[at].id > MAX_TIMER_ID)
			BAD("a timer");
	plan_check_piece(plan->itimers);
	if (plan->itimers.size && plan->itimers.size != 96)
		BAD("the interval timers");
}

/* Below /tmp, and by no way around. */
static bool is_temporary(const char *path)
{
	if (!begins_with(path, TMP))
		return false;
	for (; *path; path++)
		if (path[0] == '/' && path[1] == '.' && path[2] == '.' && (path[3] == '/' || !path[3]))
			return false;
	return true;
}

static void check_entries(void)
{
	const struct plan_entry *entries = ROWS(plan_entry, TABLE_ENTRIES);

	for (uint32_t at = 0; at < COUNT(TABLE_ENTRIES); at++) {
		check_text(entries[at].path);
		plan_check_piece(entries[at].data);
		if (entries[at].kind < ENTRY_DIRECTORY || entries[at].kind > ENTRY_SAME ||
		    !is_temporary(PIECE(entries[at].path)))
			BAD("a file of /tmp");
		if (entries[at].kind == ENTRY_LINK || entries[at].kind == ENTRY_SAME)
			check_text(entries[at].data);
	}
}

void plan_check_bounds(void)
{
	thaw.area_end = thaw.area + AREA_PACKED + PAGE_UP(thaw.plan->packed_size) + PAGE;
	check_tables();
	check_vdso();
	check_maps();
	check_copies();
	check_blocks();
	check_touches();
	check_files();
	plan_check_threads();
	check_descriptors();
	check_entries();
	check_text(thaw.plan->cwd);
	plan_check_piece(thaw.plan->auxv);
	plan_check_piece(thaw.plan->context);
	if (!thaw.plan->limit_ns || thaw.plan->limit_ns > WATCHDOG_MOST_S * 1000000000UL)
		BAD("the time that a thaw may take");
	if (thaw.plan->layout < LAYOUT_LZ4 || thaw.plan->layout > LAYOUT_HOT)
		BAD("the layout");
}
