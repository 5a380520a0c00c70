"""AWS's own Runtime Interface Emulator serves a thawed function: a client that is not ours.

The program comes with aws-sam-cli. It starts the runtime at the first
invocation, as a child; the native engine minds neither.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from quickthaw.emulator.site import runtime_site
from quickthaw.sandbox.layout import layout
from quickthaw.sandbox.process import SandboxProcess, start
from quickthaw.sandbox.spec import Bind, SandboxSpec

from tests.conftest import ROOT, VICTIMS

DEADLINE_S = 30.0
PATH = "/2015-03-31/functions/function/invocations"


@pytest.fixture(scope="session")
def rie(sam_bin: Path) -> Path:
    """The emulator's program."""
    found = list(sam_bin.parent.glob("lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64"))
    assert found, "aws-sam-cli brings no aws-lambda-rie-x86_64 any more"
    return found[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def invoke(port: int, event: bytes) -> Any:
    """Posts an event as soon as the emulator listens."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        try:
            connection.request("POST", PATH, event)
            return json.loads(connection.getresponse().read())
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "the emulator does not listen"
        finally:
            connection.close()


def serve(
    rie: Path, spec: SandboxSpec, port: int, out: int, *, os_only: bool = False, **more: str
) -> SandboxProcess:
    """Starts the emulator inside the sandbox, on the command line that Lambda would start.

    Without one it looks for a bootstrap as an OS-only runtime does: /opt/bootstrap is the only one here.
    """
    where = layout(spec)
    argv = ["/tmp/rie", "--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    argv += ["--runtime-api-address", f"127.0.0.1:{free_port()}"]
    if not os_only:
        argv += ["/opt/bin/bootstrap", where.python, "-m", "awslambdaric", "app.handler"]
    environ = {
        "PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": where.lang_lib, "PYTHONPATH": where.runtime,
        "LAMBDA_TASK_ROOT": where.task, "AWS_LAMBDA_FUNCTION_NAME": "function", "LANG": "en_US.UTF-8",
        "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "ASIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "none", "AWS_SESSION_TOKEN": "none", **more,
    }  # fmt: skip
    return start(spec, argv, environ, stdout=out, stderr=out)


def specification(rie: Path, *, python: Path, task: Path, layer: Path, snapshot: Path) -> SandboxSpec:
    return SandboxSpec(
        python=python, task=task, layer=layer, snapshot=snapshot, runtime=runtime_site(python),
        binds=(Bind(rie, "/tmp/rie"),),
    )  # fmt: skip


def test_it_serves_a_small_function_from_its_snapshot(
    rie: Path, small: Path, layer: Path, python: Path, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "log"
    spec = specification(rie, python=python, task=VICTIMS / "small", layer=layer, snapshot=small)
    with log.open("wb") as file, serve(rie, spec, port, file.fileno()):
        answers = [invoke(port, b'{"numbers": [4, 5]}') for _ in range(3)]
    assert [answer["sum"] for answer in answers] == [100_009] * 3
    assert answers[0]["hooks"] == ["second before", "first before", "first after", "second after"]
    assert '"engine":"native"' in log.read_text()


def test_it_serves_the_demo_that_sam_built(
    rie: Path, built: Path, runtime_python: Path, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "log"
    spec = specification(
        rie, python=runtime_python, task=built / "DemoThawed", layer=built / "QuickthawLayer",
        snapshot=built / "SnapshotLayer" / "snapshot",
    )  # fmt: skip
    with log.open("wb") as file, serve(rie, spec, port, file.fileno()):
        answer = invoke(port, (ROOT / "events" / "risk.json").read_bytes())
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["value"] > 0
    assert '"engine":"native"' in log.read_text()


@pytest.mark.parametrize("engine", ["native", "off"])
def test_it_finds_our_bootstrap_where_a_runtime_has_none(
    engine: str, rie: Path, small: Path, layer: Path, python: Path, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "log"
    spec = specification(rie, python=python, task=VICTIMS / "small", layer=layer, snapshot=small)
    more = {"_HANDLER": "app.handler", "QUICKTHAW_ENGINE": engine, "QUICKTHAW_PYTHON": layout(spec).python}
    with log.open("wb") as file, serve(rie, spec, port, file.fileno(), os_only=True, **more):
        answer = invoke(port, b'{"numbers": [4, 5]}')
    assert (answer["sum"], bool(answer["hooks"])) == (100_009, engine == "native")
    assert f'"engine":"{engine.replace("off", "cold")}"' in log.read_text()


def test_with_the_engine_off_it_serves_a_cold_start(
    rie: Path, small: Path, layer: Path, python: Path, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "log"
    spec = specification(rie, python=python, task=VICTIMS / "small", layer=layer, snapshot=small)
    with log.open("wb") as file, serve(rie, spec, port, file.fileno(), QUICKTHAW_ENGINE="off"):
        answer = invoke(port, b'{"numbers": [4, 5]}')
    assert (answer["sum"], answer["hooks"]) == (100_009, [])
    assert '"engine":"cold"' in log.read_text() and os.path.getsize(log) > 0
