"""What the loader says, and what a library asks for, is read as it stands there."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundle import assemble
from bundle.errors import BundleError

LISTED = """\
\tlinux-vdso.so.1 (0x00007fff1b5fe000)
\tlibnet.so.1 => /root/usr/lib/libnet.so.1 (0x00007f1f0a000000)
\tlibc.so.6 => /root/usr/lib/libc.so.6 (0x00007f1f09e00000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f1f0a200000)
"""


def test_each_library_is_listed_by_its_soname() -> None:
    assert assemble.parse_list(LISTED) == {
        "libnet.so.1": Path("/root/usr/lib/libnet.so.1"),
        "libc.so.6": Path("/root/usr/lib/libc.so.6"),
        "ld-linux-x86-64.so.2": Path("/lib64/ld-linux-x86-64.so.2"),
    }


def test_a_library_that_is_in_no_package_is_named() -> None:
    with pytest.raises(BundleError, match=r"needs libnet\.so\.9") as caught:
        assemble.parse_list(LISTED + "\tlibnet.so.9 => not found\n")
    assert "packages.lock" in caught.value.hint


def test_a_library_for_a_newer_c_library_than_lambdas_is_refused(tmp_path: Path) -> None:
    library = tmp_path / "liblz4.so.1"
    library.write_bytes(b"\x7fELF\0GLIBC_2.2.5\0GLIBC_2.14\0")
    assert assemble.check_glibc(library) == (2, 14)
    library.write_bytes(b"\x7fELF\0GLIBC_2.4\0GLIBC_2.38\0")
    with pytest.raises(BundleError, match=r"needs glibc 2\.38, Lambda has 2\.34"):
        assemble.check_glibc(library)


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_criu_that_is_too_old_is_refused(tmp_path: Path) -> None:
    criu = script(tmp_path / "criu", "echo Version: 3.17.1")
    with pytest.raises(BundleError, match=r"CRIU 3\.17\.1 is too old"):
        assemble.check_version(criu)


def test_a_program_that_is_no_criu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="names no version: hello"):
        assemble.check_version(script(tmp_path / "criu", "echo hello"))
    with pytest.raises(BundleError, match="failed with 3"):
        assemble.check_version(script(tmp_path / "criu", "exit 3"))
