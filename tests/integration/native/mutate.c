/*
 * Changes a plan in every way that one can think of, and asks the restorer's own checks about each.
 *
 * usage: mutate PLAN SEED ROUNDS
 *
 * bounds.c and frames.c are compiled into this program, with a C library and under the address and
 * undefined behaviour sanitizers: a check that reads outside of the plan ends it.  What the checks let
 * pass is then used as the restorer would use it (`use`), written anew and without their help, and must
 * stay within the plan and within what is mapped.  No checksum is involved.
 *
 * Swept: every field of the header and of the first, last and some rows of every table, each bit and
 * some extreme values.  Then ROUNDS plans with up to eight random changes.  Prints one JSON object.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "thaw.h"

struct thaw thaw;

static jmp_buf declined;
static uint64_t state;
static unsigned long accepted, refused;
static volatile uint64_t sum;

_Noreturn void decline(const char *pattern, ...)
{
	(void)pattern;
	longjmp(declined, 1);
}

bool begins_with(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static _Noreturn void die(const char *what, uint64_t a, uint64_t b)
{
	fprintf(stderr, "%s: %llx %llx\n", what, (unsigned long long)a, (unsigned long long)b);
	abort();
}

static const uint32_t record_sizes[] = {
	sizeof(struct plan_file),   sizeof(struct plan_map),       sizeof(struct plan_block),
	sizeof(struct plan_segment), sizeof(struct plan_protect),  sizeof(struct plan_thread),
	sizeof(struct plan_sigaction), sizeof(struct plan_symbol), sizeof(struct plan_object),
	sizeof(struct plan_fd),     sizeof(struct plan_watch),     sizeof(struct plan_lock),
	sizeof(struct plan_timer),  sizeof(struct plan_entry),     sizeof(struct plan_touch),
	sizeof(struct plan_copy),   sizeof(struct plan_probe),
};

_Static_assert(sizeof(record_sizes) / sizeof(record_sizes[0]) == TABLE_COUNT, "a size for each table");

/* --- an accepted plan, used ------------------------------------------------------------------------ */

static void read_piece(struct plan_piece piece)
{
	const uint8_t *at = (const uint8_t *)thaw.plan + piece.offset;
	uint64_t step = piece.size > 4096 ? piece.size / 64 : 1;

	for (uint64_t offset = 0; offset < piece.size; offset += step)
		sum += at[offset];
	if (piece.size)
		sum += at[piece.size - 1];
}

static void read_text(struct plan_piece piece)
{
	sum += strlen((const char *)thaw.plan + piece.offset);
}

/* Index of the mapping that holds all of a range; maps ascend, which was looked at before. */
static const struct plan_map *mapped(uint64_t start, uint64_t size, const char *what)
{
	const struct plan_map *maps = ROWS(plan_map, TABLE_MAPS);
	size_t low = 0, high = COUNT(TABLE_MAPS);

	while (high - low > 1) {
		size_t middle = (low + high) / 2;

		if (maps[middle].start <= start)
			low = middle;
		else
			high = middle;
	}
	if (!COUNT(TABLE_MAPS) || start < maps[low].start || start - maps[low].start > maps[low].size ||
	    size > maps[low].size - (start - maps[low].start))
		die(what, start, size);
	return &maps[low];
}

/* Copies are laid over mappings of files, never over what is anybody else's. */
static void use_copies(void)
{
	const struct plan_copy *copies = ROWS(plan_copy, TABLE_COPIES);
	const struct plan_probe *probes = ROWS(plan_probe, TABLE_PROBES);
	uint64_t end = 0;

	for (uint32_t at = 0; at < COUNT(TABLE_COPIES); at++) {
		const struct plan_map *map = mapped(copies[at].start, copies[at].size, "a copy");

		if (!copies[at].size || copies[at].start < end || map->file < 0 || !(map->flags & MAP_PRIVATE))
			die("a copy over something else", copies[at].start, copies[at].size);
		if (copies[at].prot != (map->prot | PROT_READ | PROT_WRITE))
			die("a copy's protection", copies[at].prot, map->prot);
		end = copies[at].start + copies[at].size;
	}
	for (uint32_t at = 0; at < COUNT(TABLE_PROBES); at++)
		if (probes[at].file >= COUNT(TABLE_FILES))
			die("a probe's file", probes[at].file, COUNT(TABLE_FILES));
	if (thaw.plan->copy_block > COUNT(TABLE_BLOCKS) || thaw.plan->copy_protect > COUNT(TABLE_PROTECTS))
		die("what is for copies", thaw.plan->copy_block, thaw.plan->copy_protect);
}

static bool copied(const struct plan_segment *segment)
{
	const struct plan_copy *copies = ROWS(plan_copy, TABLE_COPIES);

	for (uint32_t at = 0; at < COUNT(TABLE_COPIES); at++)
		if (segment->start >= copies[at].start &&
		    segment->start + segment->size <= copies[at].start + copies[at].size)
			return true;
	return false;
}

static void use_memory(void)
{
	const struct plan_header *plan = thaw.plan;
	const struct plan_map *maps = ROWS(plan_map, TABLE_MAPS);
	const struct plan_block *blocks = ROWS(plan_block, TABLE_BLOCKS);
	const struct plan_segment *segments = ROWS(plan_segment, TABLE_SEGMENTS);
	const struct plan_protect *protects = ROWS(plan_protect, TABLE_PROTECTS);
	const struct plan_touch *touches = ROWS(plan_touch, TABLE_TOUCHES);
	uint64_t end = 4096, area_end = plan->area + AREA_PACKED + PAGE_UP(plan->packed_size);

	for (uint32_t at = 0; at < COUNT(TABLE_MAPS); at++) {
		if (maps[at].start < end || !maps[at].size || maps[at].start > ADDRESS_LIMIT - maps[at].size)
			die("a mapping", maps[at].start, maps[at].size);
		end = maps[at].start + maps[at].size;
		if (maps[at].start < area_end && end > plan->area)
			die("a mapping over the restorer", maps[at].start, maps[at].size);
		if (maps[at].file >= 0 && (uint32_t)maps[at].file >= COUNT(TABLE_FILES))
			die("a mapping's file", (uint64_t)maps[at].file, COUNT(TABLE_FILES));
		if (maps[at].file <= FILE_OBJECT && (uint32_t)(FILE_OBJECT - maps[at].file) >= COUNT(TABLE_OBJECTS))
			die("a mapping's object", (uint64_t)maps[at].file, COUNT(TABLE_OBJECTS));
	}
	for (uint32_t at = 0; at < COUNT(TABLE_BLOCKS); at++) {
		uint64_t size = 0;

		if (blocks[at].offset > plan->packed_size || blocks[at].packed > plan->packed_size - blocks[at].offset)
			die("a block outside of pages.lz4", blocks[at].offset, blocks[at].packed);
		if (blocks[at].segment > COUNT(TABLE_SEGMENTS) ||
		    blocks[at].segments > COUNT(TABLE_SEGMENTS) - blocks[at].segment)
			die("a block's segments", blocks[at].segment, blocks[at].segments);
		for (uint32_t part = 0; part < blocks[at].segments; part++) {
			const struct plan_segment *segment = &segments[blocks[at].segment + part];

			if (at < plan->copy_block ?
				    !(mapped(segment->start, segment->size, "a segment")->prot & PROT_WRITE) :
				    !copied(segment))
				die("a segment that cannot be written", segment->start, segment->size);
			size += segment->size;
		}
		if (size != blocks[at].size || size > BLOCK_MAX)
			die("a block's size", size, blocks[at].size);
	}
	for (uint32_t at = 0; at < COUNT(TABLE_PROTECTS); at++) /* page by page: it may take in several mappings */
		for (uint64_t done = 0; done < protects[at].size; done += 4096) {
			uint32_t prot = mapped(protects[at].start + done, 4096, "a protection")->prot;

			if (prot & ~(protects[at].prot | PROT_READ | PROT_WRITE) || protects[at].prot & ~prot)
				die("a protection that gives or takes", protects[at].start + done, protects[at].prot);
		}
	for (uint32_t at = 0; at < COUNT(TABLE_TOUCHES); at++)
		mapped(touches[at].start, touches[at].size, "a touch");
}

static void use_threads(void)
{
	const struct plan_thread *threads = ROWS(plan_thread, TABLE_THREADS);

	for (uint32_t at = 0; at < COUNT(TABLE_THREADS); at++) {
		uint8_t frame[FRAME_SIZE], vectors[VECTORS_SIZE];

		memcpy(frame, (const uint8_t *)thaw.plan + threads[at].frame.offset, sizeof(frame));
		if (threads[at].vectors.size)
			memcpy(vectors, (const uint8_t *)thaw.plan + threads[at].vectors.offset, sizeof(vectors));
		sum += strlen(threads[at].name);
		mapped(threads[at].fs_base, 8, "a thread area");
		if (threads[at].flags & THREAD_PATCH_TID && threads[at].clear_tid)
			mapped(threads[at].clear_tid, 4, "a thread id");
	}
}

static void use_rest(void)
{
	const struct plan_header *plan = thaw.plan;
	const struct plan_file *files = ROWS(plan_file, TABLE_FILES);
	const struct plan_symbol *symbols = ROWS(plan_symbol, TABLE_SYMBOLS);
	const struct plan_object *objects = ROWS(plan_object, TABLE_OBJECTS);
	const struct plan_entry *entries = ROWS(plan_entry, TABLE_ENTRIES);
	const struct plan_timer *timers = ROWS(plan_timer, TABLE_TIMERS);
	const struct plan_piece pieces[] = { plan->vdso, plan->auxv, plan->context, plan->itimers };
	uint8_t *vdso = malloc(plan->vdso.size);

	for (size_t at = 0; at < sizeof(pieces) / sizeof(pieces[0]); at++)
		read_piece(pieces[at]);
	read_text(plan->cwd);
	memcpy(vdso, (const uint8_t *)plan + plan->vdso.offset, plan->vdso.size);
	for (uint32_t at = 0; at < COUNT(TABLE_SYMBOLS); at++) {
		read_text(symbols[at].name);
		memset(vdso + symbols[at].offset, 0xcc, 12);
	}
	free(vdso);
	for (uint32_t at = 0; at < COUNT(TABLE_FILES); at++)
		read_text(files[at].path);
	for (uint32_t at = 0; at < COUNT(TABLE_OBJECTS); at++) {
		read_text(objects[at].path);
		read_piece(objects[at].data);
	}
	for (uint32_t at = 0; at < COUNT(TABLE_ENTRIES); at++) {
		const char *path = (const char *)plan + entries[at].path.offset;

		if (strncmp(path, "/tmp/", 5) || strstr(path, "/../"))
			die("a file outside of /tmp", at, 0);
		read_piece(entries[at].data);
	}
	for (uint32_t at = 0; at < COUNT(TABLE_TIMERS); at++)
		if (timers[at].id > 1000000 || timers[at].thread >= COUNT(TABLE_THREADS))
			die("a timer", timers[at].id, timers[at].thread);
}

/* --- changes --------------------------------------------------------------------------------------- */

/* The plan lies in a block of exactly its size, so that one byte too far is seen. */
static void ask(uint8_t *plan)
{
	const struct plan_header *header = (const struct plan_header *)plan;

	thaw.plan = header;
	if (setjmp(declined)) {
		refused++;
		return;
	}
	plan_check_header(header, "plan");
	thaw.area = header->area;
	plan_check_bounds();
	use_memory();
	use_copies();
	use_threads();
	use_rest();
	accepted++;
}

static void sweep_byte(uint8_t *plan, const uint8_t *original, uint64_t at)
{
	static const uint8_t values[] = { 0, 0xff, 0x7f, 0x80 };

	for (int bit = 0; bit < 8; bit++) {
		plan[at] = original[at] ^ (uint8_t)(1 << bit);
		ask(plan);
	}
	for (size_t which = 0; which < sizeof(values); which++) {
		plan[at] = values[which];
		ask(plan);
	}
	plan[at] = original[at];
}

static uint64_t chance(void) /* splitmix64 */
{
	uint64_t word = state += 0x9e3779b97f4a7c15UL;

	word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9UL;
	word = (word ^ word >> 27) * 0x94d049bb133111ebUL;
	return word ^ word >> 31;
}

static void sweep(uint8_t *plan, const uint8_t *original)
{
	const struct plan_header *header = (const struct plan_header *)original;
	const int some = 6;

	for (uint64_t at = 0; at < sizeof(*header); at++)
		if (at < offsetof(struct plan_header, size) || at >= offsetof(struct plan_header, checksum))
			sweep_byte(plan, original, at); /* the size is the file's: plan.c compares them */
	for (int id = 0; id < TABLE_COUNT; id++) {
		const struct plan_table *table = &header->tables[id];

		for (int pick = 0; pick < some + 2 && (uint32_t)pick < table->count; pick++) {
			uint64_t row = pick == 0 ? 0 : pick == 1 ? table->count - 1 : chance() % table->count;

			for (uint64_t at = 0; at < record_sizes[id]; at++)
				sweep_byte(plan, original, table->offset + row * record_sizes[id] + at);
		}
	}
}

/* A field of the tables or the header gets a value that somebody forgets to think of. */
static void change(uint8_t *plan, uint64_t size)
{
	const struct plan_header *header = (const struct plan_header *)plan;
	const uint64_t values[] = { 0, 1, ~0UL, 1UL << 31, 1UL << 32, 1UL << 63, size, size - 1, size + 1, chance(),
				    header->area, ADDRESS_LIMIT, 4096, 4095, COUNT(TABLE_MAPS), COUNT(TABLE_OBJECTS) };
	uint64_t value = values[chance() % (sizeof(values) / sizeof(values[0]))];
	uint64_t at = chance() % (chance() % 4 ? size : sizeof(*header));
	size_t width = chance() % 2 ? 4 : 8;

	at &= ~(uint64_t)(width - 1);
	if (at + width > size || (at <= offsetof(struct plan_header, size) + 7 && at + width > offsetof(struct plan_header, size)))
		return;
	memcpy(plan + at, &value, width);
}

int main(int argc, char **argv)
{
	FILE *file = argc == 4 ? fopen(argv[1], "rb") : NULL;
	unsigned long rounds, swept;
	uint8_t *plan, *original;
	long size;

	if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < (long)sizeof(struct plan_header))
		return 2;
	rewind(file);
	plan = aligned_alloc(8, (size_t)size);
	original = malloc((size_t)size);
	if (fread(original, 1, (size_t)size, file) != (size_t)size)
		return 2;
	fclose(file);
	memcpy(plan, original, (size_t)size);
	state = strtoul(argv[2], NULL, 10);
	ask(plan);
	if (accepted != 1)
		die("the plan itself is refused", refused, 0);
	sweep(plan, original);
	swept = accepted + refused;
	for (rounds = strtoul(argv[3], NULL, 10); rounds; rounds--) {
		for (uint64_t count = 1 + chance() % 8; count; count--)
			change(plan, (uint64_t)size);
		ask(plan);
		memcpy(plan, original, (size_t)size);
	}
	free(plan);
	free(original);
	printf("{\"swept\": %lu, \"accepted\": %lu, \"refused\": %lu}\n", swept, accepted, refused);
	return 0;
}
