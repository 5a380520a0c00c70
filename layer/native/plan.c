/* Opens native/plan: size, version and checksum; what its records say is checked in bounds.c. */
#include "thaw.h"

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
	if (got != (long)sizeof(*header))
		decline("%s is no plan", path);
	plan_check_header(header, path);
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
	if (!thaw.watchdog_ns)
		thaw.watchdog_ns = plan->limit_ns;
	format_to(thaw.fetched.name, sizeof(thaw.fetched.name), "%s", thaw.snapshot);
	thaw.bytes_read += size;
}
