/* Our own address space, as /proc/self/maps lists it: what must go, and where this kernel's vdso is. */
#include "thaw.h"

static char text[12288]; /* MAX_RANGES lines and those of our own area, 100 bytes each at most */

static uint64_t number(const char **at)
{
	uint64_t value = 0;

	for (;; (*at)++) {
		char digit = **at;

		if (digit >= '0' && digit <= '9')
			value = value << 4 | (uint64_t)(digit - '0');
		else if (digit >= 'a' && digit <= 'f')
			value = value << 4 | (uint64_t)(digit - 'a' + 10);
		else
			return value;
	}
}

static bool starts_with(const char *text_at, const char *prefix)
{
	while (*prefix && *text_at == *prefix)
		text_at++, prefix++;
	return !*prefix;
}

static const char *parse_line(const char *at, struct range *range)
{
	const char *name = NULL;

	range->start = number(&at);
	at++;
	range->end = number(&at);
	for (; *at && *at != '\n'; at++)
		if (*at == '[')
			name = at;
	range->vdso = name && starts_with(name, "[vdso]");
	range->vvar = name && starts_with(name, "[vvar"); /* [vvar], and [vvar_vclock] since 6.13 */
	return *at ? at + 1 : at;
}

void maps_read(void)
{
	long fd = SYS(open, "/proc/self/maps", O_RDONLY | O_CLOEXEC), got = 0;
	size_t used = 0;
	const char *at = text;

	if (fd < 0)
		decline("cannot read /proc/self/maps: %e", fd);
	while (used + 1 < sizeof(text) && (got = SYS(read, fd, text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)got;
	SYS(close, fd);
	if (got < 0 || used + 1 == sizeof(text))
		decline("cannot read /proc/self/maps: %e", got < 0 ? got : (long)-E2BIG);
	thaw.range_count = 0;
	while (*at) {
		struct range range;

		at = parse_line(at, &range);
		if (range.start >= ADDRESS_LIMIT || (range.start >= thaw.area && range.end <= thaw.area_end))
			continue; /* the vsyscall page; ourselves */
		if (thaw.range_count == MAX_RANGES)
			decline("the restorer's own address space is too crowded");
		thaw.ranges[thaw.range_count++] = range;
		if (range.vdso) {
			thaw.vdso = range.start;
			thaw.vdso_end = range.end;
		}
		if (range.vvar && (!thaw.vvar || range.start < thaw.vvar))
			thaw.vvar = range.start;
	}
	if (!thaw.vdso)
		decline("this kernel has no vdso");
}

/* A vdso that stays where the kernel put it must not be where the process needs something else. */
void maps_check_conflicts(void)
{
	const struct plan_map *maps = ROWS(plan_map, TABLE_MAPS);
	uint64_t start = thaw.vvar ? thaw.vvar : thaw.vdso;

	for (uint32_t at = 0; at < COUNT(TABLE_MAPS); at++)
		if (maps[at].start < thaw.vdso_end && maps[at].start + maps[at].size > start)
			decline("this kernel's vdso cannot be moved and is in the way");
	if (thaw.plan->vvar_start < thaw.vdso_end && thaw.plan->vdso_start + thaw.plan->vdso_size > start)
		decline("this kernel's vdso cannot be moved and is in the way");
}

/* Everything of the old address space but the vdso, which has been parked or stays. */
void maps_drop_all(void)
{
	for (uint32_t at = 0; at < thaw.range_count; at++) {
		const struct range *range = &thaw.ranges[at];
		long result;

		if (range->vdso || range->vvar)
			continue;
		result = SYS(munmap, range->start, range->end - range->start);
		if (result < 0)
			decline("cannot unmap %x: %e", range->start, result);
	}
}
