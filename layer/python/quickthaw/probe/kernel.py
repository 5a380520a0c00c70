"""System calls by number, because libc wraps few of the interesting ones and answers for some itself."""

from __future__ import annotations

import ctypes
import errno
import os

# asm/unistd_64.h; asm-generic/unistd.h.  From 424 on both architectures count alike.
_NUMBERS: dict[str, dict[str, int]] = {
    "x86_64": {
        "brk": 12, "mremap": 25, "madvise": 28, "ptrace": 101, "prctl": 157, "unshare": 272,
        "fallocate": 285, "process_vm_readv": 310, "kcmp": 312, "userfaultfd": 323, "membarrier": 324,
        "statx": 332, "rseq": 334,
    },
    "aarch64": {
        "brk": 214, "mremap": 216, "madvise": 233, "ptrace": 117, "prctl": 167, "unshare": 97,
        "fallocate": 47, "process_vm_readv": 270, "kcmp": 272, "userfaultfd": 282, "membarrier": 283,
        "statx": 291, "rseq": 293,
    },
}  # fmt: skip
_ALIKE = {"io_uring_setup": 425, "pidfd_open": 434, "clone3": 435}

# PyDLL keeps the interpreter's lock, which a child made by a bare clone3 would otherwise wait for.
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.memset.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
_libc.memmove.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)

memset = _libc.memset
memmove = _libc.memmove


def call(name: str, *arguments: int | ctypes.Array[ctypes.c_char]) -> int:
    """Make a system call; buffers are handed over by address.

    Raises:
        OSError: the kernel refused it, or its number is not known for this architecture (ENOSYS).
    """
    number = _ALIKE.get(name) or _NUMBERS.get(os.uname().machine, {}).get(name)
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    words = [
        ctypes.c_ulong(one) if isinstance(one, int) else ctypes.c_void_p(ctypes.addressof(one))
        for one in arguments
    ]
    result = int(_libc.syscall(ctypes.c_long(number), *words))
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
