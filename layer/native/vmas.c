/* Maps the process's address space: ascending, disjoint, nothing is there before. */
#include "thaw.h"

#define HUGE 0x200000UL

static void advise(const struct plan_map *map)
{
	uint32_t advice = map->advice;

	if (thaw.options.random && map->file != FILE_NONE)
		advice |= 1U << MADV_RANDOM;
	/* Advice that this kernel does not know changes speed, not contents; DONTFORK and WIPEONFORK are old. */
	for (uint32_t bit = 0; advice; bit++, advice >>= 1)
		if (advice & 1)
			SYS(madvise, map->start, map->size, bit);
	/* Where everything is filled at once, huge pages save four fifths of the faults. */
	if (thaw.plan->layout == LAYOUT_LZ4 && map->file == FILE_NONE && map->prot & PROT_WRITE &&
	    map->size >= HUGE && !(map->flags & (MAP_GROWSDOWN | MAP_NORESERVE)) && !thaw.options.no_huge)
		SYS(madvise, map->start, map->size, MADV_HUGEPAGE);
}

void vmas_map(void)
{
	const struct plan_map *maps = ROWS(plan_map, TABLE_MAPS);

	for (uint32_t at = 0; at < COUNT(TABLE_MAPS); at++) {
		const struct plan_map *map = &maps[at];
		long fd = map->file == FILE_NONE ? -1 : map->file == FILE_RAW ? thaw.raw_fd : thaw.files[map->file];
		long result = SYS(mmap, map->start, map->size, map->prot, map->flags | MAP_FIXED, fd, map->offset);

		if (result != (long)map->start)
			decline("cannot map %u bytes at %x: %e", map->size, map->start, result);
		if (map->advice || thaw.options.random || thaw.plan->layout == LAYOUT_LZ4)
			advise(map);
	}
}

void vmas_protect(void)
{
	const struct plan_protect *protects = ROWS(plan_protect, TABLE_PROTECTS);

	for (uint32_t at = 0; at < COUNT(TABLE_PROTECTS); at++) {
		long result = SYS(mprotect, protects[at].start, protects[at].size, protects[at].prot);

		if (result < 0)
			decline("cannot protect %x: %e", protects[at].start, result);
	}
}
