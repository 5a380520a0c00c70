/* Opens native/plan: size, version and checksum; what its records say is checked in bounds.c. */
#include "thaw.h"

static char path[4096];

static long open_plan(void)
{
	long fd;

	format_to(path, sizeof(path), "%s/native/plan", thaw.snapshot);
	fd = SYS(open, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		decline("no native plan at %s: %e", path, fd);
	return fd;
}

/* Reads the header alone: it says where in the address space we may work. */
void plan_peek(struct plan_header *header)
{
	long fd = open_plan();
	long got = SYS(pread64, fd, header, sizeof(*header), 0);

	SYS(close, fd);
	if (got != (long)sizeof(*header))
		decline("%s is no plan", path);
	plan_check_header(header, path);
}

void plan_open(void)
{
	struct plan_header *plan = (struct plan_header *)(thaw.area + AREA_PLAN);
	struct sys_stat status;
	struct plan_header first;
	uint32_t expected;
	long fd, got;

	plan_peek(&first);
	fd = open_plan();
	got = SYS(fstat, fd, &status);
	if (got < 0 || (uint64_t)status.size != first.size)
		decline("%s has %u bytes, not %u", path, got < 0 ? 0 : (unsigned long)status.size, first.size);
	/* Private and writable: the checksum is computed with its own field blank. */
	got = SYS(mmap, plan, first.size, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_FIXED_NOREPLACE | MAP_POPULATE, fd, 0);
	if (got != (long)plan)
		decline("cannot map %s: %e", path, got);
	SYS(close, fd);
	expected = plan->checksum;
	plan->checksum = 0;
	if (plan->size != first.size || plan->area != thaw.area || xxh32(plan, first.size) != expected)
		decline("%s is damaged: its checksum does not fit", path);
	plan->checksum = expected;
	thaw.plan = plan;
	thaw.bytes_read += first.size;
}
