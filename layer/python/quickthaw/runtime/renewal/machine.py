"""x86-64 machine code that stands between the interpreter and libc's clock (for `clock`).

System V calling convention: arguments in rdi, rsi, rdx, the result in eax.  Every
piece calls the original with an aligned stack and touches no register that it
has to preserve.  Jumps are short and over what follows, so each is put
together from its inside out, and its length is taken from what it jumps over.
"""

from __future__ import annotations

from collections.abc import Sequence

RETURN = b"\xc3"
# linux/time.h: MONOTONIC, MONOTONIC_RAW, MONOTONIC_COARSE, BOOTTIME, BOOTTIME_ALARM
_MASK = sum(1 << number for number in (1, 4, 6, 7, 9))


_LOAD_MASK = b"\xb8" + _MASK.to_bytes(4, "little")  # mov eax, mask
_IF_ABOVE, _IF_NO_CARRY, _IF_ZERO = b"\x77", b"\x73", b"\x74"  # short jumps, over what is guarded

# What must hold for the moment in [rdx] to be one of a corrected clock; ids above 31 are of CPU clocks.
_GUARDS = {
    "clock_nanosleep": (
        (b"\x83\xff\x1f", _IF_ABOVE),  # cmp edi, 31
        (_LOAD_MASK + b"\x0f\xa3\xf8", _IF_NO_CARRY),  # bt eax, edi
        (b"\x40\xf6\xc6\x01", _IF_ZERO),  # test sil, TIMER_ABSTIME
    ),
    "sem_clockwait": (
        (b"\x83\xfe\x1f", _IF_ABOVE),  # cmp esi, 31
        (_LOAD_MASK + b"\x0f\xa3\xf0", _IF_NO_CARRY),  # bt eax, esi
    ),
    "pthread_cond_timedwait": (),
}


def stand_in(name: str, original: int, behind_s: int) -> bytes:
    """Code that calls a function for the interpreter and corrects the time on the way.

    Args:
        name: clock_gettime, whose result is corrected, or a function that waits until a moment.
        original: the function's address.
        behind_s: how far the kernel's clock is behind, seconds.
    """
    call = b"\x48\xb8" + original.to_bytes(8, "little") + b"\xff\xd0"  # mov rax, original; call rax
    seconds = behind_s.to_bytes(8, "little")
    if name == "clock_gettime":
        return _reading(call, seconds)
    earlier = (
        b"\x4c\x8b\x02\x4c\x8b\x4a\x08"  # mov r8, [rdx]; mov r9, [rdx+8]
        + (b"\x48\xb8" + seconds + b"\x49\x29\xc0")  # mov rax, seconds; sub r8, rax
        + b"\x79\x06\x45\x31\xc0\x45\x31\xc9"  # jns over: xor r8d, r8d; xor r9d, r9d
        + b"\x4c\x89\x04\x24\x4c\x89\x4c\x24\x08\x48\x89\xe2"  # mov [rsp], r8; mov [rsp+8], r9; mov rdx, rsp
    )
    change = _guarded(_GUARDS[name], earlier)
    return b"\x48\x83\xec\x18" + change + call + b"\x48\x83\xc4\x18\xc3"  # sub rsp, 24 ... add rsp, 24; ret


def _reading(call: bytes, seconds: bytes) -> bytes:
    guards = (
        (b"\x85\xc0", b"\x75"),  # test eax, eax; jnz: the call failed
        (b"\x83\xfb\x1f", _IF_ABOVE),  # cmp ebx, 31
        (b"\xb9" + _MASK.to_bytes(4, "little") + b"\x0f\xa3\xd9", _IF_NO_CARRY),  # mov ecx, mask; bt ecx, ebx
    )
    later = b"\x48\xba" + seconds + b"\x49\x01\x14\x24"  # mov rdx, seconds; add [r12], rdx
    head = b"\x53\x41\x54\x50\x89\xfb\x49\x89\xf4"  # push rbx, r12, rax; mov ebx, edi; mov r12, rsi
    return head + call + _guarded(guards, later) + b"\x5a\x41\x5c\x5b\xc3"  # pop rdx, r12, rbx; ret


def _guarded(guards: Sequence[tuple[bytes, bytes]], code: bytes) -> bytes:
    """Code that is jumped over unless every guard lets it be run."""
    for test, jump in reversed(guards):
        code = test + jump + bytes([len(code)]) + code
    return code
