"""Takes one function out of a static library's object file, as assembler source.

Debian's liblz4.a holds all of LZ4's block functions in one 54 KB section, of
which the restorer needs one of 1.9 KB; the linker can only take a section
whole.  This copies the function's bytes and the constants they refer to, and
keeps their relocations, so the linker still resolves them.  Anything in the
object file that this does not understand ends the build.

Usage: extract.py LIBRARY MEMBER FUNCTION > function.S
"""

import re
import subprocess
import sys

# offset, info, kind, value of the symbol, symbol, sign, addend
RELOCATION = re.compile(r"([0-9a-f]{16})\s+\w+\s+(R_X86_64_\w+)\s+[0-9a-f]+\s+(\S+) ([+-]) ([0-9a-f]+)$")


def tool(*command: str) -> str:
    """Output of a binutils program."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def section_bytes(path: str, name: str) -> bytes:
    """Contents of a section, through `readelf -x`."""
    data = b""
    for line in tool("readelf", "-x", name, path).splitlines():
        found = re.match(r"\s+0x[0-9a-f]{8} ((?:[0-9a-f]{2,8} ?){1,4})", line[:48])
        if found:
            data += bytes.fromhex(found.group(1).replace(" ", ""))
    return data


def main(library: str, member: str, function: str) -> None:
    """Print the assembler source."""
    subprocess.run(["ar", "x", "--output=.", library, member], check=True)
    symbols = map(str.split, tool("readelf", "-sW", member).splitlines())
    symbol = next(words for words in symbols if words[7:8] == [function])
    start, size = int(symbol[1], 16), int(symbol[2])
    code = section_bytes(member, ".text")[start : start + size]
    constants = section_bytes(member, ".rodata")
    print(f"/* {function} of {member}, made by extract.py */")
    print(f'.section .text.{function},"ax",@progbits\n.p2align 6\n.globl {function}\n{function}:')
    print("0: .byte " + ",".join(map(str, code)))
    for line in tool("readelf", "-rW", member).splitlines():
        found = RELOCATION.match(line)
        if not found or not start <= int(found[1], 16) < start + size:
            continue
        kind, name, addend = found[2], found[3], int(found[4] + found[5], 16)
        if kind not in ("R_X86_64_PC32", "R_X86_64_PLT32"):
            sys.exit(f"{function}: unknown relocation {kind} against {name}")
        if name.startswith("."):
            if name != ".rodata":
                sys.exit(f"{function}: constants in {name}")
            name = "lz4_constants"
        print(f".reloc 0b+{int(found[1], 16) - start}, {kind}, {name}{addend:+d}")
    print('.section .rodata.lz4,"a",@progbits\n.p2align 5\nlz4_constants:')
    print(".byte " + ",".join(map(str, constants)))
    print('.section .note.GNU-stack,"",@progbits')


if __name__ == "__main__":
    main(*sys.argv[1:])
