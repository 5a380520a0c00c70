"""Starting, watching and ending sandboxes, seen from the host."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from quickthaw.errors import ToolFailed, Unavailable, UsageError
from quickthaw.sandbox import scratch
from quickthaw.sandbox.cgroup import limits
from quickthaw.sandbox.layout import layout
from quickthaw.sandbox.process import SandboxProcess, start
from quickthaw.sandbox.spec import Bind, SandboxSpec

Inside = Callable[..., tuple[int | None, str]]
KINDS = [pytest.param("lambda", marks=pytest.mark.sandbox), "none"]

# A victim and its daemon, which left session and parent; says "ready" when both are there, then both wait.
FAMILY = """
import os, signal
middle = os.fork()
if middle == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.pause()
os.waitpid(middle, 0)
print("ready", flush=True)
signal.pause()
"""


class Started:
    """A running victim and its output."""

    def __init__(self, process: SandboxProcess, output: int) -> None:
        self.process = process
        self._output = os.fdopen(output, "rb", buffering=0)

    def line(self) -> str:
        assert select.select([self._output], [], [], 10)[0], "the victim says nothing"
        return self._output.readline().decode().strip()


@pytest.fixture
def begin(python: Path) -> Iterator[Callable[..., Started]]:
    with ExitStack() as stack:

        def run(code: str, *, pass_fds: dict[int, int] | None = None, **fields: Any) -> Started:
            spec = SandboxSpec(**{"python": python, **fields})
            read, write = os.pipe()
            where = layout(spec)
            environ = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": where.lang_lib}
            argv = [where.python, "-c", code]
            process = stack.enter_context(
                start(spec, argv, environ, stdout=write, stderr=write, pass_fds=pass_fds)
            )
            os.close(write)
            started = Started(process, read)
            stack.callback(started._output.close)
            return started

        yield run


def _await_gone(pids: Sequence[int]) -> None:
    """Fail unless these processes of the host end within ten seconds."""
    for pid in pids:
        try:
            end = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            assert select.select([end], [], [], 10)[0], f"process {pid} lives on"
        finally:
            os.close(end)


@pytest.mark.parametrize("kind", KINDS)
def test_killing_a_sandbox_ends_daemons_that_left_their_session(
    begin: Callable[..., Started], kind: str
) -> None:
    victim = begin(FAMILY, kind=kind)
    assert victim.line() == "ready"
    pids = victim.process.processes()
    assert victim.process.pid in pids
    assert len(pids) == 2
    victim.process.kill()
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    assert victim.process.wait() == 128 + signal.SIGKILL
    assert victim.process.processes() == ()


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_of_the_function_ends_what_it_left_behind(begin: Callable[..., Started], kind: str) -> None:
    victim = begin(FAMILY, kind=kind)
    assert victim.line() == "ready"
    pids = victim.process.processes()
    os.kill(victim.process.pid, signal.SIGTERM)
    assert victim.process.wait(10) == 128 + signal.SIGTERM
    _await_gone(pids)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sandbox_dies_with_the_program_that_started_it(kind: str) -> None:
    starter = f"""
import os, signal, sys
from pathlib import Path
from quickthaw.sandbox.layout import layout
from quickthaw.sandbox.process import start
from quickthaw.sandbox.spec import SandboxSpec
spec = SandboxSpec(python=Path(sys.executable), kind={kind!r})
read, write = os.pipe()
where = layout(spec)
environ = {{"LD_LIBRARY_PATH": where.lang_lib}}
process = start(spec, [where.python, "-c", {FAMILY!r}], environ, stdout=write, stderr=write)
os.read(read, 6)
print(*process.processes(), flush=True)
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        pids = [int(word) for word in child.stdout.readline().split()]
        child.kill()
    assert len(pids) == 2
    _await_gone(pids)


@pytest.mark.sandbox
def test_a_sandbox_outlives_the_thread_that_started_it(begin: Callable[..., Started]) -> None:
    from threading import Thread

    started: list[Started] = []
    thread = Thread(
        target=lambda: started.append(begin("print('ready', flush=True); import signal; signal.pause()"))
    )
    thread.start()
    thread.join()
    assert started[0].line() == "ready"
    assert started[0].process.wait(0.2) is None


@pytest.mark.sandbox
@pytest.mark.skipif(not Path("/dev/loop-control").exists(), reason="this machine has no loop devices")
def test_tmp_is_a_block_device_where_there_can_be_one() -> None:
    assert scratch.kind() == "ext4"


@pytest.mark.sandbox
def test_nothing_is_left_of_its_tmp_whatever_is_killed(python: Path, tmp_path: Path) -> None:
    """A block device of its own, as on Lambda, is gone from this machine with the program that made it."""
    if scratch.kind() != "ext4":
        pytest.skip("this machine has no loop devices: /tmp is a tmpfs")
    write_much = (
        "import signal; open('/tmp/much', 'wb').write(bytes(64 << 20));"
        " print('ready', flush=True); signal.pause()"
    )
    starter = f"""
import os, signal, sys
from pathlib import Path
from quickthaw.sandbox.layout import layout
from quickthaw.sandbox.process import start
from quickthaw.sandbox.spec import SandboxSpec
spec = SandboxSpec(python=Path(sys.executable))
read, write = os.pipe()
environ = {{"LD_LIBRARY_PATH": layout(spec).lang_lib}}
argv = [layout(spec).python, "-c", {write_much!r}]
process = start(spec, argv, environ, stdout=write, stderr=write)
print(os.read(read, 100).decode(), end="", flush=True)
signal.pause()
"""
    with subprocess.Popen(
        [sys.executable, "-c", starter],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        loops = _loops(tmp_path)
        assert len(loops) == 1
        assert list(tmp_path.iterdir()) == []
        child.kill()
    deadline_s = time.monotonic() + 10
    while _loops(tmp_path) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert _loops(tmp_path) == []


def _loops(directory: Path) -> list[Path]:
    """The loop devices over files of a directory, deleted ones too (sysfs, block/loopN/loop/backing_file)."""
    found = []
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):
            if file.read_text().startswith(f"{directory}/"):
                found.append(file)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_passed_descriptors_arrive_at_their_inner_numbers(begin: Callable[..., Started], kind: str) -> None:
    read, write = os.pipe()
    other, far = os.pipe()
    os.write(far, b"other")
    code = "import os; os.write(1000, os.read(1001, 5)); print(sorted(map(int, os.listdir('/proc/self/fd'))))"
    victim = begin(code, kind=kind, pass_fds={1000: write, 1001: other})
    assert os.read(read, 5) == b"other"
    assert victim.line() == "[0, 1, 2, 3, 1000, 1001]", "3 is the listing itself"
    for fd in (read, write, other, far):
        os.close(fd)


@pytest.mark.parametrize("kind", KINDS)
def test_the_start_time_is_taken_right_before_the_exec(begin: Callable[..., Started], kind: str) -> None:
    before = time.monotonic()
    victim = begin("import time; print(time.monotonic())", kind=kind)
    after = time.monotonic()
    assert before < victim.process.started_s < after
    assert victim.process.started_s < float(victim.line())
    assert victim.process.started_s - victim.process.setup_s == pytest.approx(before, abs=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_command_that_does_not_exist_is_told_with_its_reason(python: Path, kind: str) -> None:
    with pytest.raises(ToolFailed, match="FileNotFoundError"):
        start(SandboxSpec(python=python, kind=kind), ["/nowhere/at/all"], {}, stdout=1, stderr=2)  # type: ignore[arg-type]


def test_a_path_that_does_not_exist_is_a_usage_error(python: Path) -> None:
    with pytest.raises(UsageError, match="task: /nowhere does not exist"):
        SandboxSpec(python=python, task=Path("/nowhere"))


def test_something_that_is_no_python_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="is no Python that runs"):
        layout(SandboxSpec(python=Path("/bin/true")))


@pytest.mark.sandbox
def test_before_exec_is_called_with_the_pid_that_will_run(
    begin: Callable[..., Started], python: Path
) -> None:
    seen: list[int] = []
    where = layout(SandboxSpec(python=python))
    with start(
        SandboxSpec(python=python), [where.python, "-c", ""], {"LD_LIBRARY_PATH": where.lang_lib}, stdout=1,
        stderr=2, before_exec=seen.append,
    ) as process:  # fmt: skip
        assert seen == [process.pid]


@pytest.mark.sandbox
def test_a_command_beside_the_function_shares_its_namespaces_and_user(
    begin: Callable[..., Started], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir(mode=0o777)
    work.chmod(0o777)
    victim = begin(
        "print('ready', flush=True); import signal; signal.pause()", kind="freeze", pid_floor=300,
        binds=(Bind(work, "/tmp/place", writable=True),),
    )  # fmt: skip
    assert victim.line() == "ready"
    script = (
        "readlink /proc/self/ns/mnt /proc/self/ns/pid; readlink /proc/$1/ns/mnt /proc/$1/ns/pid;"
        " id -u; grep CapEff /proc/self/status; echo done > /tmp/place/made; exit 5"
    )
    done = victim.process.run_inside(
        ["/bin/sh", "-c", script, "sh", str(victim.process.inner_pid)], env={"PATH": "/usr/bin:/bin"},
        caps=frozenset({"CAP_SYS_PTRACE", "CAP_CHECKPOINT_RESTORE"}),
    )  # fmt: skip
    mnt, pid, victims_mnt, victims_pid, uid, _, caps = done.stdout.split()
    assert done.returncode == 5, done.stderr
    assert (mnt, pid) == (victims_mnt, victims_pid)
    assert uid == b"993"
    assert int(caps, 16) == 1 << 19 | 1 << 40
    assert (work / "made").read_text() == "done\n"
    assert (work / "made").stat().st_uid == 993


@pytest.mark.sandbox
def test_a_command_beside_the_function_ends_with_its_time(begin: Callable[..., Started]) -> None:
    victim = begin("print('ready', flush=True); import signal; signal.pause()")
    assert victim.line() == "ready"
    with pytest.raises(subprocess.TimeoutExpired):
        victim.process.run_inside(["/bin/sleep", "60"], timeout=0.5)
    deadline = time.monotonic() + 10
    while len(victim.process.processes()) > 1:
        assert time.monotonic() < deadline, "the command lives on"
    assert victim.process.wait(0) is None, "the function does not end with it"


@pytest.mark.parametrize("kind", KINDS)
def test_peak_memory_is_the_high_water_mark_of_all_processes(
    begin: Callable[..., Started], kind: str
) -> None:
    code = """
import os, signal
if os.fork() == 0:
    block = bytearray(64 << 20); del block
    print("ready", flush=True)
    signal.pause()
block = bytearray(32 << 20)
signal.pause()
"""
    victim = begin(code, kind=kind)
    assert victim.line() == "ready"
    deadline = time.monotonic() + 10
    while (peak := victim.process.peak_rss_bytes() or 0) < 96 << 20:
        assert time.monotonic() < deadline, f"only {peak} bytes seen"
    assert peak < 200 << 20


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_read_counts_what_came_from_the_disk(
    begin: Callable[..., Started], kind: str, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.write_bytes(os.urandom(8 << 20))
    data.chmod(0o644)
    with data.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if os.major(os.stat(data).st_dev) == 0:
        pytest.skip("the temporary directory is on no disk")
    path = data if kind == "none" else "/var/task/data"
    victim = begin(
        f"print(len(open({str(path)!r}, 'rb').read()), flush=True); import signal; signal.pause()", kind=kind,
        task=tmp_path,
    )  # fmt: skip
    assert victim.line() == str(8 << 20)
    assert 8 << 20 <= (victim.process.bytes_read() or 0) < 64 << 20


@pytest.mark.sandbox
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_each_supported_python_runs_inside(inside: Inside, version: str) -> None:
    found = _python(version)
    if found is None:
        pytest.skip(f"there is no Python {version} here")
    code = "import sys, ssl, ctypes, sqlite3; print('%d.%d' % sys.version_info[:2], sys.prefix)"
    exit_code, output = inside(code, python=found)
    assert exit_code == 0, output
    assert output.split()[0] == version
    assert output.split()[1] in ("/usr", "/usr/local", "/var/lang")


def _python(version: str) -> Path | None:
    name = f"python{version}"
    homes = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/{name}"))
    found = homes[0] if homes else shutil.which(name)
    return Path(found) if found else None


def _limited(**fields: Any) -> None:
    try:
        made = limits(SandboxSpec(python=Path(sys.executable), **fields))
    except Unavailable as error:
        pytest.skip(str(error))
    assert made is not None
    made.remove()


@pytest.mark.sandbox
def test_the_cpu_share_follows_from_memory_once_the_burst_is_over(begin: Callable[..., Started]) -> None:
    _limited(cpu_limit=True)
    code = """
import time
def share(seconds):
    wall, cpu = time.monotonic(), time.process_time()
    while time.monotonic() - wall < seconds:
        pass
    return (time.process_time() - cpu) / seconds
print("ready", flush=True)
input = open(1000).readline()
print(share(0.6))
"""
    read, write = os.pipe()
    victim = begin(code, cpu_limit=True, memory_mb=442, pass_fds={1000: read})
    assert victim.line() == "ready"
    victim.process.end_burst()
    os.write(write, b"\n")
    share = float(victim.line())
    os.close(read)
    os.close(write)
    assert 0.1 < share < 0.4, "a quarter of a vCPU"


@pytest.mark.sandbox
def test_a_function_beyond_its_memory_is_killed(inside: Inside) -> None:
    _limited(memory_limit=True)
    hungry = "block = bytearray(300 << 20); print(len(block))"
    assert inside(hungry, memory_limit=True, memory_mb=128)[0] == 128 + signal.SIGKILL
    assert inside(hungry, memory_limit=True, memory_mb=512) == (0, f"{300 << 20}\n")


@pytest.mark.sandbox
def test_reads_are_throttled_to_the_disks_speed(inside: Inside, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(os.urandom(16 << 20))
    data.chmod(0o644)
    with data.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    _limited(disk_bytes_per_s=16 << 20, task=tmp_path)
    code = """
import time
begin = time.monotonic()
size = len(open("/var/task/data", "rb").read())
print(size / (time.monotonic() - begin))
"""
    exit_code, output = inside(code, task=tmp_path, disk_bytes_per_s=16 << 20)
    assert exit_code == 0, output
    assert float(output) < 24 << 20


@pytest.mark.sandbox
def test_control_groups_are_removed_with_the_sandbox(begin: Callable[..., Started]) -> None:
    _limited(cpu_limit=True)
    victim = begin("import signal; signal.pause()", cpu_limit=True)
    lines = Path(f"/proc/{victim.process.pid}/cgroup").read_text().splitlines()
    names = [line.split(":")[1:] for line in lines if "quickthaw" in line]
    groups = [Path("/sys/fs/cgroup", controller, group.lstrip("/")) for controller, group in names]
    assert groups
    victim.process.kill()
    assert not any(group.exists() for group in groups)
