"""The bundle that `make setup` built runs from anywhere, without the machine's libraries."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from bundle import assemble
from bundle.errors import BundleError
from bundle.lock import read
from bundle.packages import Package

RECIPE = Path(__file__).parents[3] / "layer/criu"


@pytest.fixture
def criu(layer: Path) -> Path:
    return layer / "criu"


def version_of(command: list[str], **more: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, **{"env": {}, **more})  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return str(done.stdout).splitlines()[0]


def test_a_copy_runs_from_any_directory_by_any_kind_of_path(criu: Path, tmp_path: Path) -> None:
    expected = version_of([str(criu / "criu"), "--version"])
    assert expected.startswith("Version: 4.")
    copy = tmp_path / "a path with spaces" / "criu"
    shutil.copytree(criu, copy)
    (tmp_path / "link").symlink_to(copy / "criu")
    assert version_of([str(copy / "criu"), "--version"]) == expected
    assert version_of(["./criu", "--version"], cwd=copy) == expected
    assert version_of([str(tmp_path / "link"), "--version"]) == expected
    assert version_of(["criu", "--version"], env={"PATH": str(copy)}) == expected


def test_the_loader_starts_it_too_without_the_launcher(criu: Path) -> None:
    prefix = [str(criu / "lib" / assemble.LOADER), "--inhibit-cache", "--library-path", str(criu / "lib")]
    assert version_of([*prefix, str(criu / "criu.bin"), "--version"]).startswith("Version: 4.")


def test_nothing_outside_the_bundle_is_needed_not_even_proc(
    criu: Path, tmp_path: Path, needs_root: None
) -> None:
    shutil.copytree(criu, tmp_path / "opt/criu")
    done = subprocess.run(
        ["/usr/sbin/chroot", str(tmp_path), "/opt/criu/criu", "--version"],
        env={},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("Version: 4."), done.stderr


def test_every_library_is_found_inside_the_bundle(criu: Path) -> None:
    libraries = assemble.needed(
        criu / "criu.bin", loader=criu / "lib" / assemble.LOADER, library_path=criu / "lib"
    )
    assert len(libraries) > 10
    assert {path.parent for path in libraries.values()} == {criu / "lib"}


def test_a_librarys_preloading_meant_for_the_function_does_not_reach_criu(criu: Path, tmp_path: Path) -> None:
    source = tmp_path / "shout.c"
    source.write_text("#include <unistd.h>\n__attribute__((constructor)) static void f(void) { _exit(9); }\n")
    preload = tmp_path / "shout.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", preload, source], check=True)
    environ = {
        "LD_PRELOAD": str(preload),
        "LD_LIBRARY_PATH": "/usr/lib/x86_64-linux-gnu",
        "PATH": os.environ["PATH"],
    }
    assert subprocess.run(["true"], env=environ).returncode == 9
    assert version_of([str(criu / "criu"), "--version"], env=environ).startswith("Version: 4.")


def test_a_launcher_without_its_loader_says_so(criu: Path, tmp_path: Path) -> None:
    shutil.copy(criu / "criu", tmp_path / "criu")
    done = subprocess.run([str(tmp_path / "criu")], capture_output=True, text=True)
    assert done.returncode == 127
    assert done.stderr == f"criu launcher: cannot execute {tmp_path}/lib/{assemble.LOADER}\n"


def test_arguments_and_the_exit_code_pass_through_the_launcher(criu: Path) -> None:
    done = subprocess.run([str(criu / "criu"), "dump", "-t", "x y"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "x y" in done.stdout + done.stderr


def test_licences_of_every_package_travel_along(criu: Path) -> None:
    licences = criu / "licenses"
    locked = read(RECIPE / "packages.lock").pins
    sources = (licences / "SOURCES").read_text()
    for pin in locked:
        assert (licences / f"{pin.package}.copyright").stat().st_size > 100
        assert f"{pin.package} " in sources
    for text in ("GPL-2", "GPL-3", "LGPL-2.1"):
        assert "GNU" in (licences / text).read_text()


def program(directory: Path, says: str) -> Path:
    source = directory / "criu.c"
    source.write_text(f'#include <stdio.h>\nint main(void) {{ puts("{says}"); return 0; }}\n')
    subprocess.run(["cc", "-o", directory / "own-criu", source], check=True)
    return directory / "own-criu"


def lz4_package(layer: Path) -> list[Package]:
    debs = layer.parent / "cache/debs"
    pin = next(pin for pin in read(RECIPE / "packages.lock").pins if pin.package == "liblz4-1")
    return [Package(pin=pin, path=debs / pin.filename, tested=True)]


def test_another_criu_is_bundled_with_the_libraries_that_it_uses_here(
    layer: Path, tmp_path: Path, needs_root: None
) -> None:
    assemble.from_program(program(tmp_path, "Version: 4.3"), lz4_package(layer), tmp_path / "out")
    done = subprocess.run(
        ["/usr/sbin/chroot", str(tmp_path / "out"), "/criu/criu", "--version"],
        env={},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "Version: 4.3\n", done.stderr
    assert (tmp_path / "out/lib/liblz4.so.1").is_file()


def test_another_criu_that_is_too_old_leaves_the_bundle_as_it_was(layer: Path, tmp_path: Path) -> None:
    (tmp_path / "out/criu").mkdir(parents=True)
    (tmp_path / "out/criu/criu").write_text("before")
    with pytest.raises(BundleError, match="too old"):
        assemble.from_program(program(tmp_path, "Version: 3.19"), lz4_package(layer), tmp_path / "out")
    assert (tmp_path / "out/criu/criu").read_text() == "before"
