/* Opens native/plan: size, version and checksum; what its records say is checked in bounds.c. */
#include "thaw.h"

#define PLAN_MAX (AREA_PACKED - AREA_PLAN)

static char path[4096];

static long open_plan(void)
{
	long fd;

	format_to(path, sizeof(path), "%s/native/plan", thaw.snapshot);
	if (thaw.fetched.pipe_fd)
		fd = SYS(fcntl, thaw.fetched.plan_fd, F_DUPFD_CLOEXEC, 3);
	else
		fd = SYS(open, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		decline("no native plan at %s: %e", path, fd);
	return fd;
}

/*
 * Reads the header alone: it says where in the address space we may work.  The
 * file stays open: what plan_open() maps is what was looked at here, whatever
 * the path leads to by then.
 */
void plan_peek(struct plan_header *header)
{
	long got;

	thaw.plan_fd = (int)open_plan();
	got = SYS(pread64, thaw.plan_fd, header, sizeof(*header), 0);
	if (got != (long)sizeof(*header) || header->magic != PLAN_MAGIC)
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

void plan_open(void)
{
	struct plan_header *plan = (struct plan_header *)(thaw.area + AREA_PLAN);
	struct sys_stat status;
	uint64_t size = thaw.peeked.size;
	uint32_t expected;
	long fd = thaw.plan_fd, got = SYS(fstat, fd, &status);

	if (got < 0 || (uint64_t)status.size != size)
		decline("%s has %u bytes, not %u", path, got < 0 ? 0 : (unsigned long)status.size, size);
	/*
	 * Private and writable: the checksum is computed with its own field blank.  Populated, so that
	 * every page is a copy of ours before it is checked, and stays what it was.
	 */
	got = SYS(mmap, plan, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED_NOREPLACE | MAP_POPULATE, fd, 0);
	if (got != (long)plan)
		decline("cannot map %s: %e", path, got);
	SYS(close, fd);
	expected = plan->checksum;
	plan->checksum = 0;
	if (plan->size != size || plan->area != thaw.area || plan->packed_size != thaw.peeked.packed_size ||
	    plan->version != PLAN_VERSION || plan->machine != PLAN_MACHINE || xxh32(plan, size) != expected)
		decline("%s is damaged: its checksum does not fit", path);
	plan->checksum = expected;
	thaw.plan = plan;
	thaw.area_end = thaw.area + AREA_PACKED + PAGE_UP(plan->packed_size) + PAGE;
	format_to(thaw.fetched.name, sizeof(thaw.fetched.name), "%s", thaw.snapshot);
	thaw.bytes_read += size;
}
