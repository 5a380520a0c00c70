/* Maps the process's address space: ascending, disjoint, nothing is there before; then copies over libraries. */
#include "thaw.h"

#define HUGE 0x200000UL
#define MADV_DONTDUMP 16
/* Together below vm.max_map_count, 65530. */
#define LIBRARY_SPLITS 40000UL
#define RAW_SPLITS 15000UL

/*
 * For learn: which pages are touched is read from the page tables, but a fault
 * on a cached file page maps up to 15 neighbours, within its VMA.  Advice that
 * means nothing here, given to every other piece, makes the VMAs that small.
 * Our own page file, whose pages learn can drop from the cache, is cut more
 * coarsely and read without readahead.
 */
static void split(const struct plan_map *map, uint64_t piece)
{
	for (uint64_t at = piece; at < map->size; at += 2 * piece)
		SYS(madvise, map->start + at, map->size - at < piece ? map->size - at : piece, MADV_DONTDUMP);
	if (map->file == FILE_RAW)
		SYS(madvise, map->start, map->size, MADV_RANDOM);
}

static uint64_t piece_size(bool raw, uint64_t splits)
{
	const struct plan_map *maps = ROWS(plan_map, TABLE_MAPS);
	uint64_t total = 0;

	for (uint32_t at = 0; at < COUNT(TABLE_MAPS); at++)
		if (maps[at].file != FILE_NONE && (maps[at].file == FILE_RAW) == raw)
			total += maps[at].size;
	return PAGE_UP(total / splits + 1);
}

static void advise(const struct plan_map *map)
{
	uint32_t advice = map->advice;

	/* Readahead has nothing to read, and a call for each of thousands of mappings is a millisecond. */
	if (thaw.raw_warm && map->file == FILE_RAW)
		advice &= ~(1U << MADV_RANDOM);
	/* Advice that this kernel does not know changes speed, not contents; DONTFORK and WIPEONFORK are old. */
	for (uint32_t bit = 0; advice; bit++, advice >>= 1)
		if (advice & 1)
			SYS(madvise, map->start, map->size, bit);
	/* Where everything is filled at once, huge pages save four fifths of the faults. */
	if (thaw.plan->layout == LAYOUT_LZ4 && map->file == FILE_NONE && map->prot & PROT_WRITE && map->flags & MAP_PRIVATE &&
	    map->size >= HUGE && !(map->flags & (MAP_GROWSDOWN | MAP_NORESERVE)) && !thaw.options.no_huge)
		SYS(madvise, map->start, map->size, MADV_HUGEPAGE);
}

static long file_of(const struct plan_map *map)
{
	if (map->file == FILE_NONE)
		return -1;
	if (map->file == FILE_RAW)
		return thaw.raw_fd;
	if (map->file <= FILE_OBJECT)
		return thaw.plan->scratch_fd + (uint32_t)(FILE_OBJECT - map->file);
	return thaw.files[map->file];
}

static void map_at(uint64_t start, uint64_t size, uint32_t prot, uint32_t flags, long file, uint64_t offset)
{
	long result = SYS(mmap, start, size, prot, flags | MAP_FIXED, file, offset);

	if (result != (long)start)
		decline("cannot map %u bytes at %x: %e", size, start, result);
}

void vmas_map(bool files)
{
	const struct plan_map *maps = ROWS(plan_map, TABLE_MAPS);
	uint64_t piece = piece_size(false, LIBRARY_SPLITS), raw_piece = piece_size(true, RAW_SPLITS);

	for (uint32_t at = 0; at < COUNT(TABLE_MAPS); at++) {
		const struct plan_map *map = &maps[at];

		if ((map->file >= 0) != files)
			continue;
		map_at(map->start, map->size, map->prot, map->flags, file_of(map), map->offset);
		if (map->advice || thaw.plan->layout == LAYOUT_LZ4)
			advise(map);
		if (thaw.options.learn && map->file != FILE_NONE)
			split(map, map->file == FILE_RAW ? raw_piece : piece);
	}
}

void vmas_copies(void)
{
	const struct plan_copy *copies = ROWS(plan_copy, TABLE_COPIES);

	for (uint32_t at = 0; at < COUNT(TABLE_COPIES) && thaw.libraries == LIBRARIES_COPIED; at++)
		map_at(copies[at].start, copies[at].size, copies[at].prot, copies[at].flags, -1, 0);
}

void vmas_protect(void)
{
	const struct plan_protect *protects = ROWS(plan_protect, TABLE_PROTECTS);
	uint32_t count = thaw.libraries == LIBRARIES_COPIED ? COUNT(TABLE_PROTECTS) : thaw.plan->copy_protect;

	for (uint32_t at = 0; at < count; at++) {
		long result = SYS(mprotect, protects[at].start, protects[at].size, protects[at].prot);

		if (result < 0)
			decline("cannot protect %x: %e", protects[at].start, result);
	}
}
