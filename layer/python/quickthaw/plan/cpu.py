"""Which CPU features a plan demands, as bits that the restorer compares with ``cpuid``.

Names are those of ``flags`` in /proc/cpuinfo; bit positions are of the Intel
SDM, volume 2A (CPUID) and AMD APM volume 3, appendix E.  A feature that no
library chooses code for at start (``lm``, ``nx`` ...) is not listed, and
asking for it changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_BITS: dict[str, tuple[str, int]] = {
    **{
        name: ("leaf1_ecx", bit)
        for name, bit in {
            "pni": 0,
            "pclmulqdq": 1,
            "ssse3": 9,
            "fma": 12,
            "cx16": 13,
            "sse4_1": 19,
            "sse4_2": 20,
            "movbe": 22,
            "popcnt": 23,
            "aes": 25,
            "xsave": 26,
            "avx": 28,
            "f16c": 29,
            "rdrand": 30,
        }.items()
    },
    **{
        name: ("leaf1_edx", bit)
        for name, bit in {"cx8": 8, "cmov": 15, "fxsr": 24, "sse": 25, "sse2": 26}.items()
    },
    **{
        name: ("leaf7_ebx", bit)
        for name, bit in {
            "fsgsbase": 0,
            "bmi1": 3,
            "avx2": 5,
            "bmi2": 8,
            "erms": 9,
            "rtm": 11,
            "avx512f": 16,
            "avx512dq": 17,
            "rdseed": 18,
            "adx": 19,
            "avx512ifma": 21,
            "clflushopt": 23,
            "clwb": 24,
            "avx512cd": 28,
            "sha_ni": 29,
            "avx512bw": 30,
            "avx512vl": 31,
        }.items()
    },
    **{
        name: ("leaf7_ecx", bit)
        for name, bit in {
            "avx512vbmi": 1,
            "avx512_vbmi2": 6,
            "gfni": 8,
            "vaes": 9,
            "vpclmulqdq": 10,
            "avx512_vnni": 11,
            "avx512_bitalg": 12,
            "avx512_vpopcntdq": 14,
            "rdpid": 22,
        }.items()
    },
    **{
        name: ("leaf7_edx", bit)
        for name, bit in {"fsrm": 4, "avx512_vp2intersect": 8, "amx_bf16": 22, "avx512_fp16": 23}.items()
    },
    **{name: ("leaf7_1_eax", bit) for name, bit in {"avx_vnni": 4, "avx512_bf16": 5}.items()},
    **{
        name: ("extended1_ecx", bit)
        for name, bit in {
            "lahf_lm": 0,
            "abm": 5,
            "sse4a": 6,
            "3dnowprefetch": 8,
            "xop": 11,
            "fma4": 16,
        }.items()
    },
    **{name: ("extended1_edx", bit) for name, bit in {"rdtscp": 27}.items()},
}
_XCR0_AVX = 0b111  # x87, SSE, AVX state enabled by the kernel
_XCR0_AVX512 = 0b1110_0111


def needed(flags: Iterable[str], live: int = 0) -> dict[str, int]:
    """The words of ``struct plan_cpu``.

    Args:
        flags: of /proc/cpuinfo.
        live: XCR0 bits of registers that threads were stopped with.
    """
    words = {"xcr0": live} if live else {}
    for flag in flags:
        if flag not in _BITS:
            continue
        word, bit = _BITS[flag]
        words[word] = words.get(word, 0) | 1 << bit
        if flag.startswith("avx512"):
            words["xcr0"] = words.get("xcr0", 0) | _XCR0_AVX512
        elif flag.startswith(("avx", "fma", "f16c")):
            words["xcr0"] = words.get("xcr0", 0) | _XCR0_AVX
    return words


def of_this_machine() -> frozenset[str]:
    """The flags of this machine's first CPU."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()
