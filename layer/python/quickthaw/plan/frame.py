"""A thread's registers as the signal frame that ``rt_sigreturn`` restores them from.

The restorer copies a frame to memory of its own, sets its one pointer (to the
floating-point state behind it) and calls rt_sigreturn, which gives back all
registers, the signal mask and the alternate stack at once.

Layout: struct rt_sigframe of arch/x86/include/asm/sigframe.h, that is
pretcode, struct ucontext, siginfo; offsets below are from its start.

- uc_flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS, as the kernel sets it.
- A thread that was stopped in a system call has no live vector registers but
  MXCSR and x87's control word (psABI, 3.2.1), so the FXSAVE area is enough; it
  fits every CPU.  A thread stopped in user code (a spinning BLAS worker) may
  have live AVX registers: its frame carries the YMM halves in XSAVE form.  Where
  the AVX-512 registers belong in that form differs between processors (CPUID
  0xD tells), so they are a piece of their own, which the restorer puts in place.
"""

from __future__ import annotations

import struct
from typing import Final

from quickthaw.criuimg.process import Thread
from quickthaw.criuimg.records import FpState

_UC_FLAGS: Final = 0x6
_STACK_AT: Final = 24  # uc_stack: ss_sp, ss_flags, ss_size
_REGS_AT: Final = 48  # struct sigcontext
_SEGMENTS_AT: Final = 192  # cs, gs, fs, ss
_MASK_AT: Final = 304  # uc_sigmask
FPSTATE_AT: Final = 512  # must be 64-aligned for XRSTOR
_XSAVE_SIZE: Final = 512 + 64 + 256  # legacy area, header, YMM halves (standard format)
_MAGIC1: Final = 0x46505853  # FP_XSTATE_MAGIC1
_MAGIC2: Final = 0x46505845
_XSTATE_LEGACY: Final = 0b11
XSTATE_AVX: Final = 1 << 2
XSTATE_AVX512: Final = 0b111 << 5  # opmask, upper halves of ZMM0-15, ZMM16-31
VECTOR_SIZE: Final = 64 + 512 + 1024  # bytes of these three
SIZE: Final = 2048  # bytes of a frame, rounded so that frames stay aligned


def in_system_call(thread: Thread) -> bool:
    """Whether the thread was stopped in a system call, and will make it again or has just left it."""
    return thread.info.gpregs.orig_ax < 1 << 63


def live_vectors(thread: Thread) -> int:
    """The XSTATE bits of the wide registers that the thread was stopped with; as XCR0 numbers them."""
    xsave = thread.info.fpregs.xsave
    if xsave is None or in_system_call(thread):
        return 0
    wide = XSTATE_AVX512 if xsave.xstate_bv & XSTATE_AVX512 else 0
    return wide | (XSTATE_AVX if wide or xsave.xstate_bv & XSTATE_AVX else 0)


def vectors(thread: Thread) -> bytes:
    """Opmask, upper halves of ZMM0-15 and ZMM16-31, VECTOR_SIZE bytes; nothing where none is live."""
    xsave = thread.info.fpregs.xsave
    if xsave is None or not live_vectors(thread) & XSTATE_AVX512:
        return b""
    words = (*xsave.opmask_reg, *xsave.zmm_upper, *xsave.hi16_zmm)
    return struct.pack(f"<{VECTOR_SIZE // 8}Q", *words)


def build(thread: Thread, process_mask: int) -> bytes:
    """The frame of one thread.

    Args:
        thread: from the images.
        process_mask: blocked signals of the process, for images that keep none per thread.
    """
    regs, stack = thread.info.gpregs, thread.core.sas
    frame = bytearray(SIZE)
    struct.pack_into("<QQ", frame, 8, _UC_FLAGS, 0)
    if stack is not None:
        struct.pack_into("<QIIQ", frame, _STACK_AT, stack.ss_sp, stack.ss_flags, 0, stack.ss_size)
    struct.pack_into(
        "<18Q",
        frame,
        _REGS_AT,
        *(regs.r8, regs.r9, regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15),
        *(regs.di, regs.si, regs.bp, regs.bx, regs.dx, regs.ax, regs.cx, regs.sp, regs.ip, regs.flags),
    )
    struct.pack_into("<HHHH", frame, _SEGMENTS_AT, regs.cs, 0, 0, regs.ss)
    mask = thread.core.blk_sigset if thread.core.blk_sigset is not None else process_mask
    struct.pack_into("<Q", frame, _MASK_AT, mask)
    _put_fpstate(frame, thread.info.fpregs, live=live_vectors(thread))
    return bytes(frame)


def _put_fpstate(frame: bytearray, state: FpState, *, live: int) -> None:
    at = FPSTATE_AT
    head = (state.cwd, state.swd, state.twd, state.fop, state.rip, state.rdp, state.mxcsr, state.mxcsr_mask)
    struct.pack_into("<HHHHQQII", frame, at, *head)
    struct.pack_into(f"<{len(state.st_space)}I", frame, at + 32, *state.st_space)
    struct.pack_into(f"<{len(state.xmm_space)}I", frame, at + 160, *state.xmm_space)
    if not live or state.xsave is None:
        return  # no magic in sw_reserved: the kernel takes the FXSAVE area only
    size, features = _XSAVE_SIZE, _XSTATE_LEGACY | live
    struct.pack_into("<IIQI", frame, at + 464, _MAGIC1, size + 4, features, size)
    struct.pack_into("<Q", frame, at + 512, state.xsave.xstate_bv & features)
    struct.pack_into(f"<{len(state.xsave.ymmh_space)}I", frame, at + 576, *state.xsave.ymmh_space)
    struct.pack_into("<I", frame, at + size, _MAGIC2)
