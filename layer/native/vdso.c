/*
 * Gives the process a vdso at the address it knows.
 *
 * The same kernel build has the same vdso: it is moved, together with its
 * data, VMA by VMA (the kernel refuses to move part of one).  Any other kernel
 * has other code with other offsets: then the old code is put back where it
 * was, and every function in it becomes a jump into this kernel's vdso, which
 * stays parked in our area.  Functions that this kernel does not have become
 * the system call of the same name.  A thread that was stopped in the middle of
 * such a function cannot go on there.
 */
#include "thaw.h"

#define SHT_DYNSYM 11

static long move(uint64_t from, uint64_t size, uint64_t to)
{
	return SYS(mremap, from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
}

static void move_all(uint64_t to)
{
	uint64_t first = thaw.vvar ? thaw.vvar : thaw.vdso;
	uint64_t shift = to - first;

	for (uint32_t at = 0; at < thaw.range_count; at++) {
		struct range *range = &thaw.ranges[at];
		uint64_t size = range->end - range->start;
		long result;

		if (!range->vdso && !range->vvar)
			continue;
		result = move(range->start, size, range->start + shift);
		if (result != (long)(range->start + shift))
			decline("cannot move the vdso: %e", result);
		range->start += shift;
		range->end += shift;
	}
	thaw.vdso += shift;
	thaw.vdso_end += shift;
	if (thaw.vvar)
		thaw.vvar += shift;
}

/* Whether a sandbox lets us move it: tried on the first of its VMAs, which is moved to where it is. */
static bool movable(void)
{
	if (thaw.options.park)
		return false;
	for (uint32_t at = 0; at < thaw.range_count; at++) {
		const struct range *range = &thaw.ranges[at];
		uint64_t to = thaw.area + AREA_VDSO + 0x800000;

		if (!range->vdso)
			continue;
		if (move(range->start, range->end - range->start, to) != (long)to)
			return false;
		return move(to, range->end - range->start, range->start) == (long)range->start;
	}
	return false;
}

static bool same_as_frozen(void)
{
	const struct plan_header *plan = thaw.plan;

	return !thaw.options.proxy && thaw.vvar && thaw.vdso_end - thaw.vdso == plan->vdso_size &&
	       thaw.vdso - thaw.vvar == plan->vvar_size &&
	       !__builtin_memcmp((const void *)thaw.vdso, PIECE(plan->vdso), plan->vdso_size);
}

void vdso_park(void)
{
	if (!movable()) {
		maps_check_conflicts();
		return;
	}
	thaw.vdso_identical = same_as_frozen();
	move_all(thaw.area + AREA_VDSO);
}

/* Address of a function in this kernel's vdso; 0: it has none of that name. */
static uint64_t look_up(const char *name)
{
	const uint8_t *image = (const uint8_t *)thaw.vdso;
	uint64_t size = thaw.vdso_end - thaw.vdso, table = *(const uint64_t *)(image + 40);
	uint16_t count = *(const uint16_t *)(image + 60);

	if (table > size || count * 64UL > size - table)
		return 0;
	for (uint16_t at = 0; at < count; at++) {
		const uint8_t *section = image + table + at * 64UL, *strings;
		uint64_t begin = *(const uint64_t *)(section + 24), length = *(const uint64_t *)(section + 32);
		uint32_t link = *(const uint32_t *)(section + 40);

		if (*(const uint32_t *)(section + 4) != SHT_DYNSYM || link >= count)
			continue;
		strings = image + *(const uint64_t *)(image + table + link * 64UL + 24);
		for (uint64_t symbol = begin; symbol < begin + length; symbol += 24)
			if (*(const uint16_t *)(image + symbol + 6) &&
			    text_equal((const char *)strings + *(const uint32_t *)(image + symbol), name))
				return thaw.vdso + *(const uint64_t *)(image + symbol + 8);
	}
	return 0;
}

static uint32_t system_call_of(const char *name)
{
	if (name[0] == '_' && name[1] == '_')
		name += 7; /* __vdso_ */
	if (text_equal(name, "clock_gettime"))
		return __NR_clock_gettime;
	if (text_equal(name, "gettimeofday"))
		return __NR_gettimeofday;
	if (text_equal(name, "time"))
		return __NR_time;
	if (text_equal(name, "getcpu"))
		return __NR_getcpu;
	if (text_equal(name, "clock_getres"))
		return __NR_clock_getres;
	return 0;
}

static void write_jump(uint8_t *at, uint64_t target)
{
	at[0] = 0x48; /* movabs $target, %rax */
	at[1] = 0xb8;
	__builtin_memcpy(at + 2, &target, 8);
	at[10] = 0xff; /* jmp *%rax */
	at[11] = 0xe0;
}

static void write_system_call(uint8_t *at, uint32_t number)
{
	at[0] = 0xb8; /* mov $number, %eax */
	__builtin_memcpy(at + 1, &number, 4);
	if (number) {
		at[5] = 0x0f; /* syscall */
		at[6] = 0x05;
		at[7] = 0xc3; /* ret */
	} else {
		int32_t none = -ENOSYS;

		__builtin_memcpy(at + 1, &none, 4); /* callers fall back to the system call */
		at[5] = 0x48; /* cltq */
		at[6] = 0x98;
		at[7] = 0xc3;
	}
}

static void proxy(void)
{
	const struct plan_header *plan = thaw.plan;
	const struct plan_symbol *symbols = ROWS(plan_symbol, TABLE_SYMBOLS);
	uint8_t *image = (uint8_t *)plan->vdso_start;
	long result = SYS(mmap, image, plan->vdso_size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (result != (long)image)
		decline("no memory for the vdso: %e", result);
	__builtin_memcpy(image, PIECE(plan->vdso), plan->vdso_size);
	for (uint32_t at = 0; at < COUNT(TABLE_SYMBOLS); at++) {
		const char *name = PIECE(symbols[at].name);
		uint64_t target = look_up(name);

		if (target)
			write_jump(image + symbols[at].offset, target);
		else
			write_system_call(image + symbols[at].offset, system_call_of(name));
	}
	result = SYS(mprotect, image, plan->vdso_size, PROT_READ | PROT_EXEC);
	if (result < 0)
		decline("the vdso cannot be made executable: %e", result);
}

void vdso_place(void)
{
	if (thaw.vdso_identical) {
		move_all(thaw.plan->vvar_start);
	} else {
		plan_check_outside_vdso();
		proxy();
	}
}
