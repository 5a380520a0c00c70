/* System calls without a libc: the raw call and one thin wrapper for each that is used. */
#ifndef SYS_H
#define SYS_H

#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

static inline long sys_call(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

/* SYS(name, up to six arguments), each cast to long; a result in -4095..-1 is -errno. */
#define SYS(...) SYS_FILL(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
#define SYS_FILL(name, a, b, c, d, e, f, ...) \
	sys_call(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#define PAGE 4096UL
#define PAGE_UP(size) (((size) + PAGE - 1) & ~(PAGE - 1))

#define O_RDONLY 0
#define O_WRONLY 1
#define O_RDWR 2
#define O_CREAT 0100
#define O_EXCL 0200
#define O_TRUNC 01000
#define O_NOFOLLOW 0400000
#define O_NONBLOCK 04000
#define O_CLOEXEC 02000000
#define O_TMPFILE (020000000 | 0200000)
#define AT_FDCWD (-100)
#define SEEK_SET 0

#define FD_CLOEXEC 1
#define F_GETFD 1
#define F_SETFD 2
#define F_DUPFD_CLOEXEC 1030
#define F_SETFL 4
#define F_SETLK 6
#define F_OFD_SETLK 37
#define F_SETPIPE_SZ 1031
#define F_GETPIPE_SZ 1032
#define F_ADD_SEALS 1033

#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4
#define MAP_SHARED 1
#define MAP_PRIVATE 2
#define MAP_FIXED 0x10
#define MAP_ANONYMOUS 0x20
#define MAP_GROWSDOWN 0x100
#define MAP_NORESERVE 0x4000
#define MAP_POPULATE 0x8000
#define MAP_STACK 0x20000
#define MAP_FIXED_NOREPLACE 0x100000
#define MREMAP_MAYMOVE 1
#define MREMAP_FIXED 2
#define MADV_RANDOM 1
#define MADV_HUGEPAGE 14
#define MADV_POPULATE_WRITE 23

#define EPERM 1
#define ENOENT 2
#define EINTR 4
#define E2BIG 7
#define ENOMEM 12
#define EACCES 13
#define EEXIST 17
#define EINVAL 22
#define EMFILE 24
#define ENOSPC 28
#define ENOSYS 38
#define EADDRINUSE 98

struct sys_timespec {
	int64_t seconds;
	int64_t nanoseconds;
};

struct sys_stat { /* struct stat of asm/stat.h, x86-64 */
	uint64_t dev, ino, nlink;
	uint32_t mode, uid, gid, pad;
	uint64_t rdev;
	int64_t size, block_size, blocks;
	struct sys_timespec atime, mtime, ctime;
	int64_t unused[3];
};

struct sys_lock { /* struct flock of asm-generic/fcntl.h; start and size 0: all of a file */
	int16_t type, whence;
	int32_t pad;
	int64_t start, size;
	int32_t pid, pad2;
};

#define S_IFMT 0170000
#define S_IFREG 0100000

#define FUTEX_WAIT 0
#define FUTEX_WAKE 1

#define CLONE_VM 0x100
#define CLONE_FS 0x200
#define CLONE_FILES 0x400
#define CLONE_SIGHAND 0x800
#define CLONE_THREAD 0x10000
#define CLONE_SYSVSEM 0x40000
#define CLONE_SETTLS 0x80000
#define CLONE_PARENT_SETTID 0x100000
#define CLONE_CHILD_CLEARTID 0x200000
#define CLONE_THREAD_ALIKE \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002

#define PR_SET_PDEATHSIG 1
#define PR_GET_PDEATHSIG 2
#define PR_SET_NAME 15
#define PR_SET_MM 35
#define PR_SET_MM_MAP 14

#define SIGKILL 9
#define SIGSTOP 19
#define SIGILL 4
#define SIGBUS 7
#define SIGFPE 8
#define SIGSEGV 11
#define SIG_IGN 1
#define SIG_SETMASK 2
#define SA_RESTORER 0x04000000UL

#define CLOCK_REALTIME 0
#define CLOCK_MONOTONIC 1
#define RLIMIT_NOFILE 7
#define STDERR 2

static inline uint64_t sys_now_ns(void)
{
	struct sys_timespec now;

	SYS(clock_gettime, CLOCK_MONOTONIC, &now);
	return (uint64_t)now.seconds * 1000000000UL + (uint64_t)now.nanoseconds;
}

#endif
