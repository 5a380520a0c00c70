"""x86-64 machine code that stands between the interpreter and libc (for `clock`, `processor` and `rings`).

System V calling convention: arguments in rdi, rsi, rdx, the result in eax.  Every
piece calls the original with an aligned stack (or jumps to it) and touches no
register that it has to preserve.  Jumps are short and over what follows, so each is put
together from its inside out, and its length is taken from what it jumps over.
"""

from __future__ import annotations

from collections.abc import Sequence

RETURN = b"\xc3"
# linux/time.h: MONOTONIC, MONOTONIC_RAW, MONOTONIC_COARSE, BOOTTIME, BOOTTIME_ALARM
_MASK = sum(1 << number for number in (1, 4, 6, 7, 9))


_EACH_THREAD = 40  # bytes: an entry of `processor_clock`, then the thread's pointer
_NANOSECONDS, _MICROSECONDS = 1_000_000_000, 1_000_000

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
    call = _call(original)
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
        code = test + jump + _short(len(code)) + code
    return code


def _short(distance: int) -> bytes:
    return distance.to_bytes(1, "little", signed=True)


def processor_clock(original: int, process: int, threads: int) -> bytes:
    """clock_gettime whose processor time has what an entry says added to it.

    An entry is four words: seconds and nanoseconds to add, seconds and nanoseconds of the last result.

    Args:
        original: the function's address.
        process: address of the process's entry.
        threads: address of the threads' entries, each followed by the thread's pointer, the last by 0.
    """
    look = (
        b"\x48\x83\xc2" + bytes([_EACH_THREAD])  # add rdx, 40
        + b"\x48\x8b\x4a\x20"  # mov rcx, [rdx+32]
    )  # fmt: skip
    unlike = b"\x64\x48\x3b\x0c\x25\x00\x00\x00\x00"  # cmp rcx, fs:[0]
    add = _add(_NANOSECONDS)
    end = b"\x48\x85\xc9\x74" + _short(len(unlike) + 2 + len(add))  # test rcx, rcx; jz return
    again = -(len(look) + len(end) + len(unlike) + 2)
    search = _load_rdx(threads - _EACH_THREAD) + look + end + unlike + b"\x75" + _short(again)
    entry = _load_rdx(process) + b"\x83\xff\x02\x74" + _short(len(search)) + search  # cmp edi, 2; je add
    body = (
        b"\x57\x56\x50" + _call(original) + b"\x59\x5e\x5f"  # push rdi, rsi, rax; ...; pop rcx, rsi, rdi
        + _guarded(((b"\x85\xc0", b"\x75"),), entry + add)  # test eax, eax; jnz
        + RETURN
    )  # fmt: skip
    # cmp edi, 2; jb: another clock; cmp edi, 3; ja: another clock
    return _guarded(((b"\x83\xff\x02", b"\x72"), (b"\x83\xff\x03", _IF_ABOVE)), body) + _jump(original)


def usage(original: int, user: int, system: int) -> bytes:
    """getrusage with time added to the process's; entries as above, in microseconds."""
    add = _load_rdx(user) + _add(_MICROSECONDS)
    add += b"\x48\x83\xc6\x10" + _load_rdx(system) + _add(_MICROSECONDS)  # add rsi, 16
    body = (
        b"\x56" + _call(original) + b"\x5e"  # push rsi; ...; pop rsi
        + _guarded(((b"\x85\xc0", b"\x75"),), add)  # test eax, eax; jnz
        + RETURN
    )  # fmt: skip
    return _guarded(((b"\x85\xff", _IF_ZERO),), _jump(original)) + body  # test edi, edi: RUSAGE_SELF


def times(original: int, entry: int) -> bytes:
    """times with ticks added: an entry is those for user, system and elapsed time, then the last results."""
    add = (
        b"\x48\x8b\x0f\x48\x03\x0a\x48\x89\x0f"  # mov rcx, [rdi]; add rcx, [rdx]; mov [rdi], rcx
        + b"\x48\x89\x4a\x18"  # mov [rdx+24], rcx
        + b"\x48\x8b\x4f\x08\x48\x03\x4a\x08\x48\x89\x4f\x08"  # the same at [rdi+8], [rdx+8]
        + b"\x48\x89\x4a\x20"  # mov [rdx+32], rcx
        + b"\x48\x03\x42\x10\x48\x89\x42\x28"  # add rax, [rdx+16]; mov [rdx+40], rax
    )
    failed = ((b"\x48\x83\xf8\xff", _IF_ZERO),)  # cmp rax, -1
    return b"\x57" + _call(original) + b"\x5f" + _load_rdx(entry) + _guarded(failed, add) + RETURN


def refusing(original: int, number: int) -> bytes:
    """syscall that gives -1 for one system call."""
    refused = b"\x48\xc7\xc0\xff\xff\xff\xff" + RETURN  # mov rax, -1
    # cmp edi, number; jne
    return _guarded(((b"\x81\xff" + number.to_bytes(4, "little"), b"\x75"),), refused) + _jump(original)


def _add(unit: int) -> bytes:
    """Adds what the entry at rdx says to the time at rsi, which has `unit` parts to a second."""
    carry = b"\x48\x81\xe9" + unit.to_bytes(4, "little") + b"\x49\xff\xc0"  # sub rcx, unit; inc r8
    return (
        b"\x4c\x8b\x06\x4c\x03\x02"  # mov r8, [rsi]; add r8, [rdx]
        + b"\x48\x8b\x4e\x08\x48\x03\x4a\x08"  # mov rcx, [rsi+8]; add rcx, [rdx+8]
        + _guarded(((b"\x48\x81\xf9" + unit.to_bytes(4, "little"), b"\x72"),), carry)  # cmp rcx, unit; jb
        + b"\x4c\x89\x06\x48\x89\x4e\x08"  # mov [rsi], r8; mov [rsi+8], rcx
        + b"\x4c\x89\x42\x10\x48\x89\x4a\x18"  # mov [rdx+16], r8; mov [rdx+24], rcx
    )


def _call(original: int) -> bytes:
    return b"\x48\xb8" + original.to_bytes(8, "little") + b"\xff\xd0"  # mov rax, original; call rax


def _jump(original: int) -> bytes:
    return b"\x48\xb8" + original.to_bytes(8, "little") + b"\xff\xe0"  # mov rax, original; jmp rax


def _load_rdx(value: int) -> bytes:
    return b"\x48\xba" + value.to_bytes(8, "little")
