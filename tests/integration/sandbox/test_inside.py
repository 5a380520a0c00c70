"""What a process finds inside the sandbox, asked by that process itself."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.sandbox
Inside = Callable[..., tuple[int | None, str]]

STATUS = """
import json
lines = [line.rstrip("\\n") for line in open("/proc/self/status") if ":\\t" in line]
print(json.dumps(dict(line.split(":\\t", 1) for line in lines)))
"""
FILES = """
import json, os
def writable(path):
    try:
        os.close(os.open(path + "/probe", os.O_CREAT | os.O_WRONLY))
        return True
    except OSError as error:
        return error.strerror
tmp = os.statvfs("/tmp")
def is_open(fd):
    try:
        return os.fstat(fd) is not None
    except OSError:
        return False
fds = [fd for fd in range(1024) if is_open(fd)]
print(json.dumps({
    "root": sorted(os.listdir("/")), "dev": sorted(os.listdir("/dev")), "cwd": os.getcwd(),
    "writable": {path: writable(path) for path in ("/", "/var/task", "/opt", "/usr", "/etc", "/dev", "/tmp")},
    "tmp_bytes": tmp.f_frsize * tmp.f_bavail, "tmp_holds": os.listdir("/tmp"),
    "tmp_mode": os.stat("/tmp").st_mode & 0o7777,
    "fds": {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in fds},
    "limit": __import__("resource").getrlimit(__import__("resource").RLIMIT_NOFILE),
    "user": __import__("pwd").getpwuid(os.getuid()).pw_dir,
    "certificates": len(__import__("ssl").create_default_context().get_ca_certs()),
}))
"""


def _json(result: tuple[int | None, str]) -> Any:
    code, output = result
    assert code == 0, output
    return json.loads(output)


def test_the_user_is_lambdas_and_holds_no_capability(inside: Inside) -> None:
    status = _json(inside(STATUS))
    assert status["Uid"].split() == ["993"] * 4
    assert status["Gid"].split() == ["990"] * 4
    assert status["Groups"].strip() == ""
    assert {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {
        "CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapBnd": 0, "CapAmb": 0,
    }  # fmt: skip
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


def test_kind_criu_keeps_one_ambient_capability_and_has_no_filter(inside: Inside) -> None:
    status = _json(inside(STATUS, kind="criu"))
    only = 1 << 40  # CAP_CHECKPOINT_RESTORE
    assert [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == [only] * 4
    assert int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "0"
    assert status["Uid"].split() == ["993"] * 4


def test_kind_freeze_has_neither_capability_nor_filter(inside: Inside) -> None:
    status = _json(inside(STATUS, kind="freeze"))
    assert [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")] == [0] * 5
    assert status["Seccomp"] == "0"


def test_only_tmp_can_be_written(inside: Inside, tmp_path: Path) -> None:
    found = _json(inside(FILES, task=tmp_path))
    assert found["writable"].pop("/tmp") is True
    assert set(found["writable"].values()) == {"Read-only file system"}
    assert 512 << 20 <= found["tmp_bytes"] < 530 << 20
    assert found["tmp_holds"] == ["probe"]
    assert found["tmp_mode"] == 0o1777
    assert found["cwd"] == "/var/task"


def test_the_root_holds_what_lambda_has_and_no_shared_memory(inside: Inside) -> None:
    found = _json(inside(FILES))
    assert {"root", "home", "sys", "run", "srv", "mnt"}.isdisjoint(found["root"])
    assert set(found["dev"]) == {
        "null", "zero", "full", "random", "urandom", "tty", "fd", "stdin", "stdout", "stderr",
    }  # fmt: skip
    assert found["user"] == "/home/sbx_user1051"
    assert found["certificates"] > 0


def test_descriptors_are_the_standard_ones_and_limited_to_1024(inside: Inside) -> None:
    found = _json(inside(FILES))
    open_ones = found["fds"]
    assert open_ones.pop("0") == "/dev/null"
    assert sorted(open_ones) == ["1", "2"]
    assert all(target.startswith("pipe:") for target in open_ones.values())
    assert found["limit"] == [1024, 1024]


def test_layer_snapshot_and_task_lie_where_lambda_puts_them(inside: Inside, tmp_path: Path) -> None:
    for name in ("task", "layer/bin", "layer/snapshot", "snapshot", "runtime"):
        (tmp_path / name).mkdir(parents=True)
    for name in (
        "task/app.py",
        "layer/bin/bootstrap",
        "layer/snapshot/old",
        "snapshot/manifest.json",
        "runtime/ric",
    ):
        (tmp_path / name).write_text(name)
    names = {"task", "layer", "snapshot", "runtime"}
    wanted = ["/var/task/app.py", "/opt/bin/bootstrap", "/opt/snapshot/manifest.json", "/var/runtime/ric"]
    code = f"import json; print(json.dumps([open(path).read() for path in {wanted!r}]))"
    found = _json(inside(code, **{name: tmp_path / name for name in names}))
    assert found == ["task/app.py", "layer/bin/bootstrap", "snapshot/manifest.json", "runtime/ric"]


def test_a_private_task_directory_can_be_entered_but_a_private_file_stays_private(
    inside: Inside, tmp_path: Path
) -> None:
    task = tmp_path / "task"
    task.mkdir(mode=0o700)
    (task / "open.py").write_text("open")
    (task / "package").mkdir()
    (task / "package/module.py").write_text("module")
    (task / "link.py").symlink_to("open.py")
    secret = task / "secret.py"
    secret.write_text("secret")
    secret.chmod(0o600)
    code = """
import json
def read(name):
    try:
        return open(name).read()
    except OSError as error:
        return error.strerror
print(json.dumps([read(name) for name in ("open.py", "package/module.py", "link.py", "secret.py")]))
"""
    assert _json(inside(code, task=task)) == ["open", "module", "open", "Permission denied"]
    assert stat.S_IMODE(os.stat(task).st_mode) == 0o700, "the user's own directory is left as it was"


def test_pids_and_thread_ids_start_above_the_floor(inside: Inside) -> None:
    code = """
import json, os, threading
ids = [os.getpid()]
thread = threading.Thread(target=lambda: ids.append(threading.get_native_id()))
thread.start(); thread.join()
print(json.dumps(ids + [os.getsid(0)]))
"""
    pid, tid, session = _json(inside(code, pid_floor=300))
    assert 300 < pid < 310
    assert pid < tid < 310
    assert session == pid


def test_without_a_floor_the_process_is_the_second_of_its_namespace(inside: Inside) -> None:
    code, output = inside("import os; print(os.getpid(), os.getppid())")
    assert (code, output.split()) == (0, ["2", "1"])


def test_the_exit_code_of_a_process_with_a_floor_is_its_own(inside: Inside) -> None:
    assert inside("import os; os._exit(7)", pid_floor=50)[0] == 7
    assert inside("import os; os.kill(os.getpid(), 11)", pid_floor=50)[0] == 128 + 11
