/* Does this machine offer what the frozen process counts on: CPU features and descriptor numbers. */
#include "thaw.h"

struct cpuid cpuid(uint32_t leaf, uint32_t sub)
{
	struct cpuid found;

	__asm__ volatile("cpuid"
			 : "=a"(found.eax), "=b"(found.ebx), "=c"(found.ecx), "=d"(found.edx)
			 : "a"(leaf), "c"(sub));
	return found;
}

static uint64_t xcr0(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

static void demand(const char *where, uint64_t needed, uint64_t present)
{
	if (needed & ~present)
		decline("this CPU lacks features that the function was frozen with: cpuid %s, bits %x", where,
			needed & ~present);
}

static void check_cpu(void)
{
	const struct plan_cpu *need = &thaw.plan->cpu;
	struct cpuid leaf1 = cpuid(1, 0), none = { 0 }, leaf7 = none, leaf7_1 = none, extended1 = none;

	if (cpuid(0, 0).eax >= 7) {
		leaf7 = cpuid(7, 0);
		if (leaf7.eax >= 1)
			leaf7_1 = cpuid(7, 1);
	}
	if (cpuid(0x80000000, 0).eax >= 0x80000001)
		extended1 = cpuid(0x80000001, 0);
	demand("1.ecx", need->leaf1_ecx, leaf1.ecx);
	demand("1.edx", need->leaf1_edx, leaf1.edx);
	demand("7.ebx", need->leaf7_ebx, leaf7.ebx);
	demand("7.ecx", need->leaf7_ecx, leaf7.ecx);
	demand("7.edx", need->leaf7_edx, leaf7.edx);
	demand("7.1.eax", need->leaf7_1_eax, leaf7_1.eax);
	demand("80000001.ecx", need->extended1_ecx, extended1.ecx);
	demand("80000001.edx", need->extended1_edx, extended1.edx);
	/* OSXSAVE: xgetbv may be used, and tells which registers the kernel saves. */
	demand("xcr0", need->xcr0, leaf1.ecx >> 27 & 1 ? xcr0() : 0);
}

/*
 * Makes the descriptor table large enough now.  The kernel waits for an RCU
 * grace period, 5 to 15 ms, when it grows a table that threads share.
 */
static void grow_table(void)
{
	long fd = SYS(open, "/dev/null", O_RDONLY | O_CLOEXEC), high;

	if (fd < 0)
		decline("cannot open /dev/null: %e", fd);
	high = SYS(fcntl, fd, F_DUPFD_CLOEXEC, thaw.plan->max_fd);
	if (high < 0)
		decline("no descriptor %u: %e", (unsigned long)thaw.plan->max_fd, high);
	SYS(close, high);
	SYS(close, fd);
}

void machine_check(void)
{
	uint64_t limit[2];
	long result = SYS(prlimit64, 0, RLIMIT_NOFILE, NULL, limit);

	check_cpu();
	if (result == 0 && thaw.plan->max_fd >= limit[0])
		decline("descriptor %u is above the limit of %u open files", (unsigned long)thaw.plan->max_fd, limit[0]);
	grow_table();
}
