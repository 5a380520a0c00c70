"""criu/start: CRIU begins before Python does, with what the bootstrap would have given it, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quickthaw import names
from quickthaw.checkpoint.start import checksum
from quickthaw.runtime import criu_command
from quickthaw.snapshot import manifest

from .conftest import rewrite

# What CRIU was started with, said by a program in its place.
CRIU = r"""#!/bin/sh
{ printf 'arg %%s\n' "$@"; tr '\0' '\n' </proc/$$/environ | sed 's/^/env /'
  for fd in 600 601 602 603 604; do printf 'fd %%s %%s\n' $fd "$(readlink /proc/$$/fd/$fd)"; done
  ls /proc/$$/fd | sed 's/^/open /'
  grep -E 'Cpus_allowed:|SigBlk:|NSpgid:' /proc/$$/status; } >%(said)s.new
mv %(said)s.new %(said)s
"""

# In the bootstrap's place: looks at what was left, waits for CRIU's end, and tidies up.
COMMAND = """
import json, os, shutil, sys
said = os.environ.get("QUICKTHAW_STARTED")
entries = open("/proc/self/environ").read().split("\\0")
found = {"started": said, "argv": sys.argv[1:], "pid": os.getpid()}
found["variables"] = sum(entry.startswith("QUICKTHAW_STARTED=") for entry in entries)
if said:
    pid, lock, thaw, woke, began, mask, root, work = said.split(" ", 7)
    found["root"] = int(root)
    def read(*path):
        try:
            return open(os.path.join(*path), "rb").read()
        except OSError:
            return None
    made = [os.path.relpath(f"{place}/{name}", work) for place, _, inner in os.walk(work) for name in inner]
    found["made"] = {name: os.stat(f"{work}/{name}").st_size for name in made}
    found["equal"] = [name for name in made if read(work, name) == read(sys.argv[1], name)]
    found["modes"] = [oct(os.stat(work).st_mode & 0o777), oct(os.fstat(int(lock)).st_mode & 0o777)]
    found["pipes"] = [os.readlink(f"/proc/self/fd/{fd}") for fd in (thaw, woke)]
    status = [line.split() for line in open("/proc/self/status")]
    found["blocked"] = next(words[1] for words in status if words[0] == "SigBlk:")
    os.waitpid(int(pid), 0)
    found["work"] = work
    shutil.rmtree(work)
print(json.dumps(found))
"""


@pytest.fixture
def snapshot(small: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "snapshot"
    shutil.copytree(small, copy)
    return copy


@pytest.fixture
def criu(tmp_path: Path) -> Path:
    place = tmp_path / "criu"
    place.write_text(CRIU % {"said": tmp_path / "said"})
    place.chmod(0o755)
    return place


def run(layer: Path, snapshot: Path, criu: Path, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What the command found that was started in the end."""
    command = [str(layer / "criu" / "start"), sys.executable, "-c", COMMAND, str(snapshot), "more"]
    given = {
        "PATH": os.defpath, names.ENV_SNAPSHOT: str(snapshot), names.ENV_CRIU: str(criu), **(environ or {})
    }  # fmt: skip
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=True, timeout=30)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["argv"] == [str(snapshot), "more"]
    return found


def assert_nothing(found: dict[str, Any]) -> None:
    assert found["started"] is None
    assert not list(Path("/tmp").glob(f"quickthaw-{found['pid']}-*"))


def test_criu_gets_what_the_bootstrap_would_give_it(
    layer: Path, snapshot: Path, criu: Path, tmp_path: Path
) -> None:
    found = run(layer, snapshot, criu)
    work, said = found["work"], (tmp_path / "said").read_text().splitlines()
    body = manifest.read(str(snapshot))
    images = {f"images/{path.name}" for path in (snapshot / "images").glob("*.img")} - {"images/pages-1.img"}
    cache = {f"cache/{path.name}" for path in (snapshot / "cache").iterdir()}
    copies = images - {"images/pages-1.comp.img"} | cache | {"images/start"}
    assert set(found["equal"]) == copies
    assert found["made"].keys() == copies | {"lock", "images/pages-1.img"}
    assert (found["made"]["lock"], found["made"]["images/pages-1.img"]) == (0, 0)
    assert found["modes"] == ["0o700", "0o600"]
    assert found["root"] == body.pid
    inherited = criu_command.inherited(body.pipes)
    argv = criu_command.restore(
        criu="criu", images=f"{work}/images", work=work, stream=False,
        inherit={body.pipes[fd]: place for fd, place in inherited.items()},
    )  # fmt: skip
    assert [line[4:] for line in said if line.startswith("arg ")] == argv[1:]
    environ = criu_command.environ(cache=f"{work}/cache")
    assert {line[4:] for line in said if line.startswith("env ")} == {f"{k}={v}" for k, v in environ.items()}
    fds = {int(line.split()[1]): line.split()[-1] for line in said if line.startswith("fd ")}
    assert [fds[inherited[names.THAW_FD]], fds[inherited[names.WOKE_FD]]] == found["pipes"]
    assert fds[inherited[names.TELEMETRY_FD]] == "/dev/null"
    low = {int(line.split()[1]) for line in said if line.startswith("open ")} - set(inherited.values())
    assert low <= {0, 1, 2, 10, 11}, "nothing else of ours; 10 and 11 are the shell's"


def test_only_criu_may_be_ended_at_once(layer: Path, snapshot: Path, criu: Path, tmp_path: Path) -> None:
    """What ends a runtime waits until the bootstrap can end CRIU; CRIU is in a group of its own."""
    found = run(layer, snapshot, criu)
    said = (tmp_path / "said").read_text().splitlines()
    assert int(found["blocked"], 16) & 0x4007 == 0x4007
    assert next(line for line in said if line.startswith("SigBlk")).split()[1].strip("0") == ""
    pid = found["started"].split()[0]
    assert next(line for line in said if line.startswith("NSpgid")).split()[1] == pid


def test_of_two_processors_criu_has_one(layer: Path, snapshot: Path, criu: Path, tmp_path: Path) -> None:
    given = os.sched_getaffinity(0)
    for count in (1, 2, 3):
        if len(given) < count:
            continue
        os.sched_setaffinity(0, set(sorted(given)[:count]))
        try:
            run(layer, snapshot, criu)
        finally:
            os.sched_setaffinity(0, given)
        said = (tmp_path / "said").read_text().splitlines()
        mask = next(line for line in said if line.startswith("Cpus_allowed")).split()[1].replace(",", "")
        assert int(mask, 16).bit_count() == (1 if count == 2 else count)


def test_the_cache_of_another_kernel_stays_where_it_is(
    layer: Path, snapshot: Path, criu: Path, tmp_path: Path
) -> None:
    rewrite(snapshot, {f"k {os.uname().release}": "k 9.9.9"})
    found = run(layer, snapshot, criu)
    assert not [name for name in found["made"] if name.startswith("cache")]
    assert "XDG_RUNTIME_DIR" not in (tmp_path / "said").read_text()


@pytest.mark.parametrize(
    "environ",
    [
        {names.ENV_MODE: "sync"},
        {names.ENV_MODE: "grown"},
        {names.ENV_SNAPSHOT: "s3://bucket/prefix"},
        {names.ENV_SNAPSHOT: "/nowhere"},
        {names.ENV_CRIU: "/nowhere/criu"},
        {"AWS_LAMBDA_MAX_CONCURRENCY": "2"},
    ],
    ids=lambda environ: "-".join(environ.values()),
)
def test_nothing_is_started_where_the_bootstrap_would_not(
    environ: dict[str, str], layer: Path, snapshot: Path, criu: Path
) -> None:
    assert_nothing(run(layer, snapshot, criu, environ))


@pytest.mark.parametrize("name", ["quickthaw-1-left", ".quickthaw-criu-0123456789abcdef-1"])
def test_nothing_is_started_beside_what_another_start_may_have_left(
    name: str, layer: Path, snapshot: Path, criu: Path
) -> None:
    """Whether it failed, and whether it is to be swept, only the bootstrap can tell."""
    left = Path("/tmp") / name
    left.mkdir()
    try:
        assert_nothing(run(layer, snapshot, criu))
    finally:
        left.rmdir()
    assert run(layer, snapshot, criu)["started"]


def test_a_variable_of_that_name_that_was_there_is_replaced(layer: Path, snapshot: Path, criu: Path) -> None:
    found = run(layer, snapshot, criu, {names.ENV_STARTED: "1 2 3"})
    assert found["started"].endswith(found["work"])
    assert found["variables"] == 1


def test_a_bootstrap_without_a_path_is_looked_for_and_what_began_ends_with_it(
    layer: Path, snapshot: Path, criu: Path, tmp_path: Path
) -> None:
    """As execvp(3): in an OS-only runtime the Python is `python3`."""
    given = {names.ENV_SNAPSHOT: str(snapshot), names.ENV_CRIU: "/bin/sleep"}
    start = str(layer / "criu" / "start")
    for path, code in (("/nowhere:/bin", 0), (":", 127), (str(tmp_path), 127)):
        command = [start, "sh", "-c", "rm -r ${QUICKTHAW_STARTED##* }"]
        environ = {**given, "PATH": path}
        process = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=10, cwd="/")
        assert process.returncode == code, process.stderr
        assert ("cannot find" in process.stderr) == bool(code)
        assert not list(Path("/tmp").glob("quickthaw-[0-9]*"))


def test_a_missing_image_ends_it_before_it_begins(layer: Path, snapshot: Path, criu: Path) -> None:
    images = sorted((snapshot / "images").glob("*.img"))
    for image in (images[0], *[path for path in images if not path.name.startswith("pages-")][-1:]):
        kept = image.read_bytes()
        image.unlink()
        assert_nothing(run(layer, snapshot, criu))
        image.write_bytes(kept)
    assert run(layer, snapshot, criu)["started"]


def starts(layer: Path, snapshot: Path, criu: str, content: bytes) -> str:
    """The variable that a command has in the end."""
    place = snapshot / names.IMAGES / names.START
    place.write_bytes(content)
    done = subprocess.run(
        [layer / "criu" / "start", "/bin/sh", "-c", "echo ${QUICKTHAW_STARTED-none}"],
        env={names.ENV_SNAPSHOT: str(snapshot), names.ENV_CRIU: criu},
        capture_output=True, text=True, check=True, timeout=10,
    )  # fmt: skip
    return done.stdout.strip()


def test_one_flipped_bit_anywhere_and_nothing_is_started(layer: Path, snapshot: Path) -> None:
    good = (snapshot / names.IMAGES / names.START).read_bytes()
    for at in range(len(good)):
        flipped = good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :]
        assert starts(layer, snapshot, "/bin/true", flipped) == "none", at
    for cut in (0, 1, 8, 9, 10, len(good) // 2, len(good) - 1):
        assert starts(layer, snapshot, "/bin/true", good[:cut]) == "none", cut


LINES = st.lists(
    st.tuples(st.sampled_from("cnpaekKE?"), st.text("abz 0159%=", max_size=30)).map(" ".join), max_size=60
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES)
def test_the_command_starts_whatever_stands_there(layer: Path, snapshot: Path, lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines).encode()
    said = starts(layer, snapshot, "/bin/true", f"{checksum(text):08x}\n".encode() + text)
    if said != "none":
        shutil.rmtree(said.split(" ", 7)[-1])
