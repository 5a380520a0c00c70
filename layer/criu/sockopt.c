/*
 * criu/lib/sockopt.so: lets CRIU 4.1 dump network sockets on Linux 6.16 and later.
 *
 * Since 6.16 the kernel answers EOPNOTSUPP when a socket that is not a Unix or netlink one is asked
 * for SO_PASSCRED or SO_PASSSEC, which only those ever had (checkpoint-restore/criu#2705). CRIU asks
 * every socket and gives the dump up. Preloaded by the launcher, this says what older kernels said:
 * the option is off. Only a dump asks; a restore is started without it.
 */
typedef unsigned int socklen;

enum { SYS_getsockopt = 55, SOL_SOCKET = 1, SO_PASSCRED = 16, SO_PASSSEC = 34, EOPNOTSUPP = 95 };

extern int *__errno_location(void);

__attribute__((visibility("default"))) int getsockopt(int fd, int level, int name, void *value, socklen *size)
{
	long result;
	register void *r10 __asm__("r10") = value;
	register socklen *r8 __asm__("r8") = size;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(SYS_getsockopt), "D"(fd), "S"(level), "d"(name), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	if (result == -EOPNOTSUPP && level == SOL_SOCKET && (name == SO_PASSCRED || name == SO_PASSSEC) &&
	    *size >= sizeof(int)) {
		*(int *)value = 0;
		*size = sizeof(int);
		return 0;
	}
	if (result < 0) {
		*__errno_location() = (int)-result;
		return -1;
	}
	return (int)result;
}
