/*
 * The open files of the process, made again before anything is given up and
 * kept at high descriptor numbers (scratch_fd and up) until fds.c places them.
 */
#include "thaw.h"

#define AF_UNIX 1
#define SOL_SOCKET 1
#define SO_SNDBUF 7
#define SO_RCVBUF 8
#define MFD_CLOEXEC 1U
#define MFD_ALLOW_SEALING 2U
#define PACKET_HEAD sizeof(uint32_t)
#define ADDRESS_MAX 28  /* struct sockaddr_in6 */
#define PORT_AT 2       /* in sockaddr_in and sockaddr_in6, big endian */
#define EPHEMERAL 32768 /* net.ipv4.ip_local_port_range begins there, unless it was changed */

/* Moves a descriptor to its slot; closed on exec, so that a decline leaves nothing behind. */
int scratch(int fd, uint32_t slot)
{
	int number = (int)(thaw.plan->scratch_fd + slot);
	long result;

	if (fd == number)
		return fd;
	fds_keep((uint32_t)number);
	result = SYS(dup3, fd, number, O_CLOEXEC);
	if (result < 0)
		decline("no descriptor %d: %e", (long)number, result);
	SYS(close, fd);
	return number;
}

static void write_all(int fd, const uint8_t *data, uint64_t size, const char *what)
{
	while (size) {
		long put = SYS(write, fd, data, size);

		if (put <= 0)
			decline("cannot fill %s: %e", what, put);
		data += put;
		size -= (uint64_t)put;
	}
}

static void seek(int fd, uint64_t position, const char *what)
{
	long result = position ? SYS(lseek, fd, position, SEEK_SET) : 0;

	if (result < 0)
		decline("cannot seek in %s: %e", what, result);
}

static void set_flags(int fd, uint32_t flags)
{
	long result = flags ? SYS(fcntl, fd, F_SETFL, flags) : 0;

	if (result < 0)
		decline("descriptor flags %x: %e", (unsigned long)flags, result);
}

static int checked(long fd, const char *what)
{
	if (fd < 0)
		decline("cannot make %s again: %e", what, fd);
	return (int)fd;
}

static int make_file(const struct plan_object *object, uint32_t slot)
{
	const char *path = PIECE(object->path);
	int fd = scratch(checked(SYS(open, path, object->flags | O_CLOEXEC | O_NONBLOCK), path), slot);
	struct sys_stat status;

	/* What it was at the freeze, where the images tell. */
	if (object->b && (SYS(fstat, fd, &status) < 0 || (status.mode ^ object->b) & S_IFMT))
		decline("%s is a file of another kind than it was", path);
	if (!(object->flags & O_NONBLOCK))
		SYS(fcntl, fd, F_SETFL, object->flags);
	seek(fd, object->a, path);
	return fd;
}

static void make_pipe(const struct plan_object *object, uint32_t slot)
{
	int ends[2];
	long capacity;

	checked(SYS(pipe2, ends, O_CLOEXEC), "a pipe");
	ends[0] = scratch(ends[0], slot);
	ends[1] = scratch(ends[1], slot + 1);
	capacity = SYS(fcntl, ends[1], F_GETPIPE_SZ);
	/* Another size is wanted for its data only; a refusal then shows in write_all(). */
	if (object->a && (uint64_t)capacity != object->a)
		SYS(fcntl, ends[1], F_SETPIPE_SZ, object->a);
	set_flags(ends[1], O_NONBLOCK);
	write_all(ends[1], PIECE(object->data), object->data.size, "a pipe");
	SYS(fcntl, ends[1], F_SETFL, object[1].flags);
	set_flags(ends[0], object->flags);
}

/* Unread packets: each behind its length, written at the peer. */
static void fill_socket(int peer, struct plan_piece packets)
{
	const uint8_t *at = PIECE(packets), *end = at + packets.size;

	while ((size_t)(end - at) >= PACKET_HEAD) {
		uint32_t size;

		__builtin_memcpy(&size, at, PACKET_HEAD);
		at += PACKET_HEAD;
		if (size > (size_t)(end - at))
			decline("a socket's unread data are damaged");
		write_all(peer, at, size, "a socket");
		at += size;
	}
}

static void shut(int fd, uint64_t how)
{
	if (how)
		SYS(shutdown, fd, how - 1); /* CRIU counts SHUT_RD from 1 */
}

/* Before the unread data, which may be more than a fresh socket takes; the kernel answers with twice what was set. */
static void size_buffers(int fd, const struct plan_object *object)
{
	const int options[] = { SO_SNDBUF, SO_RCVBUF };
	const uint64_t wanted[] = { object->c, object->d };

	for (size_t at = 0; at < 2; at++) {
		int value = 0;
		uint32_t size = sizeof(value);

		if (SYS(getsockopt, fd, SOL_SOCKET, options[at], &value, &size) < 0 || !wanted[at] ||
		    (uint64_t)value == wanted[at])
			continue;
		value = (int)(wanted[at] / 2);
		SYS(setsockopt, fd, SOL_SOCKET, options[at], &value, sizeof(value));
	}
}

static void make_pair(const struct plan_object *object, uint32_t slot)
{
	int ends[2];

	checked(SYS(socketpair, AF_UNIX, object->a | O_CLOEXEC | O_NONBLOCK, 0, ends), "a socket pair");
	ends[0] = scratch(ends[0], slot);
	ends[1] = scratch(ends[1], slot + 1);
	size_buffers(ends[0], object);
	size_buffers(ends[1], object + 1);
	fill_socket(ends[1], object->data);
	fill_socket(ends[0], object[1].data);
	shut(ends[0], object->b);
	shut(ends[1], object[1].b);
	SYS(fcntl, ends[0], F_SETFL, object->flags | O_RDWR);
	SYS(fcntl, ends[1], F_SETFL, object[1].flags | O_RDWR);
}

static void set_timer(int fd, const struct plan_object *object)
{
	struct sys_timespec spec[2] = { /* struct itimerspec: interval, value */
		{ (int64_t)(object->c / 1000000000UL), (int64_t)(object->c % 1000000000UL) },
		{ (int64_t)(object->b / 1000000000UL), (int64_t)(object->b % 1000000000UL) },
	};
	long result;

	if (object->d && !object->b)
		spec[1].nanoseconds = 1; /* expired and not yet read: expire at once */
	result = SYS(timerfd_settime, fd, 0, spec, NULL);
	if (result < 0)
		decline("cannot set a timerfd: %e", result);
}

/* Contents end with the last byte that is not zero; the size says how long the file is. */
static void fill_file(int fd, struct plan_piece data, uint64_t size, const char *what)
{
	long result = SYS(ftruncate, fd, size);

	if (result < 0)
		decline("cannot size %s: %e", what, result);
	write_all(fd, PIECE(data), data.size, what);
}

static void make_memfd(const struct plan_object *object, uint32_t slot)
{
	const char *name = PIECE(object->path);
	int fd = scratch(checked(SYS(memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING), "a memfd"), slot);

	fill_file(fd, object->data, object->a, "a memfd");
	if (object->b && SYS(fcntl, fd, F_ADD_SEALS, object->b) < 0)
		decline("cannot seal a memfd");
}

static void make_temporary(const struct plan_object *object, uint32_t slot)
{
	const char *what = "an unlinked file";
	int fd = checked(SYS(open, "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), what);

	fd = scratch(fd, slot);
	fill_file(fd, object->data, object->a, what);
	SYS(fchmod, fd, object->b & 07777);
}

/*
 * A socket without a peer: its options, then its address.  The number of an
 * ephemeral port was the kernel's choice, so another will do where it is taken.
 */
static void make_socket(const struct plan_object *object, uint32_t slot)
{
	const char *what = "a socket";
	const uint8_t *at = PIECE(object->data), *end = at + object->data.size;
	int fd = checked(SYS(socket, object->a, object->b | object->flags | O_CLOEXEC, object->c), what);
	uint8_t address[ADDRESS_MAX];
	uint64_t size;
	long result;

	fd = scratch(fd, slot);
	for (uint64_t count = object->d; count; count--, at += sizeof(struct plan_option)) {
		const struct plan_option *option = (const struct plan_option *)at;

		if ((uint64_t)(end - at) < sizeof(*option))
			decline("a socket's options are damaged");
		result = SYS(setsockopt, fd, option->level, option->name, &option->value, sizeof(option->value));
		if (result < 0)
			decline("option %u of a socket: %e", (unsigned long)option->name, result);
	}
	size = (uint64_t)(end - at);
	if (!size)
		return;
	if (size > sizeof(address) || size < PORT_AT + 2)
		decline("a socket's address is damaged");
	__builtin_memcpy(address, at, size);
	result = SYS(bind, fd, address, size);
	if (result == -EADDRINUSE && ((uint32_t)address[PORT_AT] << 8 | address[PORT_AT + 1]) >= EPHEMERAL) {
		address[PORT_AT] = address[PORT_AT + 1] = 0;
		result = SYS(bind, fd, address, size);
	}
	if (result < 0)
		decline("cannot bind a socket again: %e", result);
}

static void make(const struct plan_object *object, uint32_t slot)
{
	uint32_t cloexec = O_CLOEXEC; /* the same bit for every kind of descriptor */

	switch (object->kind) {
	case OBJECT_HELD:
		break; /* made with the one before */
	case OBJECT_INHERITED:
		scratch(checked(SYS(fcntl, object->a, F_DUPFD_CLOEXEC, 3), "an inherited descriptor"), slot);
		break;
	case OBJECT_FILE:
		make_file(object, slot);
		break;
	case OBJECT_PIPE:
		make_pipe(object, slot);
		break;
	case OBJECT_EVENTFD: {
		int fd = checked(SYS(eventfd2, 0, object->flags | cloexec), "an eventfd");

		fd = scratch(fd, slot);
		if (object->a)
			write_all(fd, (const uint8_t *)&object->a, sizeof(object->a), "an eventfd");
		break;
	}
	case OBJECT_EPOLL:
		scratch(checked(SYS(epoll_create1, cloexec), "an epoll"), slot);
		break;
	case OBJECT_SOCKETPAIR:
		make_pair(object, slot);
		break;
	case OBJECT_TIMERFD: {
		int fd = checked(SYS(timerfd_create, object->a, object->flags | cloexec), "a timerfd");

		set_timer(scratch(fd, slot), object);
		break;
	}
	case OBJECT_SIGNALFD:
		scratch(checked(SYS(signalfd4, -1, &object->a, 8, object->flags | cloexec), "a signalfd"), slot);
		break;
	case OBJECT_MEMFD:
		make_memfd(object, slot);
		break;
	case OBJECT_TMPFILE:
		make_temporary(object, slot);
		break;
	case OBJECT_SOCKET:
		make_socket(object, slot);
		break;
	case OBJECT_AGAIN: {
		char path[32];

		format_to(path, sizeof(path), "/proc/self/fd/%u", thaw.plan->scratch_fd + object->b);
		seek(scratch(checked(SYS(open, path, object->flags | O_CLOEXEC), path), slot), object->a, path);
		break;
	}
	case OBJECT_FIFO: {
		/* Opened for both ends first, which never blocks; the data go in before the real end is opened. */
		const char *path = PIECE(object->path);
		int both = checked(SYS(open, path, O_RDWR | O_NONBLOCK | O_CLOEXEC), path);

		write_all(both, PIECE(object->data), object->data.size, path);
		make_file(object, slot);
		SYS(close, both);
		break;
	}
	}
}

void objects_make(void)
{
	const struct plan_object *objects = ROWS(plan_object, TABLE_OBJECTS);

	for (uint32_t at = 0; at < COUNT(TABLE_OBJECTS); at++)
		make(&objects[at], at);
}
