"""No secret leaves the build machine unseen: not in pages, not in files, not in anything that is printed."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from quickthaw.emulator.run import FunctionSpec, run_environment
from quickthaw.secrets.wanted import user_patterns, wanted
from quickthaw.snapshot import manifest

from tests.conftest import VICTIMS, Freezer

# One secret for each place of a process where one may be left; read from a file, so that the code
# itself holds none of them.
PLACES = {
    "KEPT_TOKEN": "kept = secret('KEPT_TOKEN')",
    "FREED_TOKEN": "secret('FREED_TOKEN') + ''",  # what Python frees is not erased
    "WIDE_TOKEN": "wide = secret('WIDE_TOKEN') + ' \u20ac'",
    "WIDER_TOKEN": "wider = secret('WIDER_TOKEN') + ' \U0001f5dd'",
    "ENCODED_TOKEN": "encoded = base64.b64encode(('user:' + secret('ENCODED_TOKEN')).encode())",
    "TMP_TOKEN": "open('/tmp/notes', 'w').write(secret('TMP_TOKEN'))",
    "UNLINKED_TOKEN": "f = tempfile.TemporaryFile(dir='/tmp');"
    " f.write(secret('UNLINKED_TOKEN').encode()); f.flush()",
    "PIPE_TOKEN": "r, w = os.pipe(); os.write(w, secret('PIPE_TOKEN').encode())",
    "SHARED_TOKEN": "m = mmap.mmap(-1, 4096); m[:40] = secret('SHARED_TOKEN').encode()",
    "EDGE_TOKEN": "e = mmap.mmap(-1, 8192, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS);"
    " e[4076:4116] = secret('EDGE_TOKEN').encode()",
}
VALUES = {name: os.urandom(20).hex() for name in PLACES}
KEY_ID = "AKIA" + "".join("ABCDEFGHJKLMNPQRSTUVWXYZ234567"[byte % 30] for byte in os.urandom(16))

VICTIM = """
import base64, ctypes, json, mmap, os, tempfile
def secret(name):
    text = open("/var/task/vault.json", "rb", buffering=0)
    values = json.loads(text.readall())
    return values[name]
{body}
def handler(event, context):
    return {{}}
"""


def write(directory: Path, body: str, vault: Mapping[str, str]) -> Path:
    directory.mkdir()
    (directory / "app.py").write_text(VICTIM.format(body=body))
    (directory / "vault.json").write_text(json.dumps(vault))
    return directory


def quickthaw(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    base = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-c", "from quickthaw.cli.app import main; main()", *map(str, arguments)],
        env={**base, "AWS_REGION": "us-east-1", "COLUMNS": "200", **environ}, capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def leaky(freeze: Freezer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot with a secret in every place, frozen by somebody in whose environment they all are."""
    place = tmp_path_factory.mktemp("leaky")
    task = write(place / "task", "\n".join([*PLACES.values(), f"key = {KEY_ID!r}"]), VALUES)
    patterns = user_patterns(["euro= \u20ac"], [])
    return freeze(task, place / "snapshot", events=[], wanted=wanted(VALUES, patterns))


def found(snapshot: Path) -> dict[str, dict[str, int]]:
    recorded = manifest.read(str(snapshot)).body["secrets"]["found"]
    return {one["name"]: dict(one["places"]) for one in recorded}


@pytest.mark.parametrize("name", PLACES)
def test_a_secret_is_found_wherever_a_process_left_it(name: str, leaky: Path) -> None:
    assert name in found(leaky)


def test_a_hit_says_where_it_is(leaky: Path) -> None:
    hits = found(leaky)
    assert hits["TMP_TOKEN"].keys() >= {"native/plan"}
    assert any(place.startswith("images/ghost-file") for place in hits["UNLINKED_TOKEN"])
    assert hits["PIPE_TOKEN"].keys() >= {"images/pipes-data.img", "native/plan"}
    assert "shared memory" in hits["SHARED_TOKEN"]
    assert "anonymous memory" in hits["EDGE_TOKEN"]
    assert "aws-access-key-id" in hits


def test_no_value_stands_in_the_manifest(leaky: Path) -> None:
    text = (leaky / "manifest.json").read_text()
    for value in (*VALUES.values(), KEY_ID):
        assert value not in text


def test_verify_and_publish_refuse_by_name_and_show_nothing(leaky: Path) -> None:
    commands: list[list[str | Path]] = [
        ["verify", leaky, "--json"],
        ["verify", leaky],
        ["publish", leaky, "--image-dir", "x", "--dry-run"],
    ]
    for arguments in commands:
        done = quickthaw(*arguments, **VALUES)
        assert done.returncode == 9, done.stderr
        assert "KEPT_TOKEN" in done.stderr and "aws-access-key-id" in done.stderr
        for value in (*VALUES.values(), KEY_ID):
            assert value not in done.stdout + done.stderr


def test_what_the_checkpoint_found_counts_on_a_machine_that_knows_no_values(leaky: Path) -> None:
    done = quickthaw("verify", leaky, "--json")
    assert done.returncode == 9
    problems = {one["what"]: one["problem"] for one in json.loads(done.stdout) if one["problem"]}
    assert "at the checkpoint" in problems["secret KEPT_TOKEN"]
    assert "at the checkpoint" not in problems["secret aws-access-key-id"], "that one needs no value"


def test_secrets_that_are_allowed_by_name_are_published(leaky: Path) -> None:
    names = [*PLACES, "aws-access-key-id", "euro"]
    allowed = [word for name in names for word in ("--allow-secret", name)]
    done = quickthaw("publish", leaky, "--image-dir", "x", "--dry-run", *allowed[:-2], **VALUES)
    assert done.returncode == 9 and "euro" in done.stderr and "KEPT_TOKEN" not in done.stderr
    done = quickthaw("publish", leaky, "--image-dir", "x", "--dry-run", *allowed, **VALUES)
    assert done.returncode == 0, done.stderr
    done = quickthaw("verify", leaky, "--json", *allowed)
    assert done.returncode == 0, done.stderr
    assert any(one["what"].startswith("secret KEPT_TOKEN, allowed") for one in json.loads(done.stdout))


def test_a_pattern_of_the_user_is_looked_for(small: Path, tmp_path: Path) -> None:
    (tmp_path / "patterns").write_text("absent=no[-]such[-]text\nimported=def handl[e]r|awslambdar[i]c\n")
    done = quickthaw("verify", small, "--secrets", tmp_path / "patterns")
    assert done.returncode == 9
    assert "imported: in" in done.stderr and "absent" not in done.stderr


def test_what_every_build_machine_has_in_its_environment_is_no_hit(small: Path) -> None:
    done = quickthaw(
        "verify", small, "--json",
        LANG="en_US.UTF-8", TERM="xterm-256color", USER="root", LOGNAME="root", SHELL="/bin/bash",
        TZ=":UTC", AWS_DEFAULT_REGION="us-east-1", GITHUB_ACTIONS="true", GITHUB_SHA=os.urandom(20).hex(),
        SSH_AUTH_SOCK="/tmp/ssh-x/agent.1", XDG_SESSION_TYPE="wayland", TOKENIZERS_PARALLELISM="false",
        GITHUB_TOKEN="ghs_" + os.urandom(18).hex(), DB_PASSWORD=os.urandom(9).hex(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert any(
        one["what"].startswith("secrets: 2 values of the environment") for one in json.loads(done.stdout)
    )


def test_a_damaged_snapshot_is_called_damaged_first(leaky: Path, tmp_path: Path) -> None:
    subprocess.run(["cp", "-a", str(leaky), str(tmp_path / "snapshot")], check=True)
    with (tmp_path / "snapshot" / "native" / "plan").open("r+b") as file:
        file.seek(2000)
        file.write(b"damage")
    done = quickthaw("verify", tmp_path / "snapshot")
    assert done.returncode == 4 and "native/plan" in done.stderr


SNOOP = """
import glob, os
seen = []
for path in [*glob.glob('/proc/[0-9]*/environ'), *glob.glob('/proc/[0-9]*/cmdline'), '/proc/self/environ']:
    try:
        seen.append(open(path, 'rb').read())
    except OSError:
        pass
seen += [name.encode() + value.encode() for name, value in os.environ.items()]
assert len(seen) > 10
assert not any(b'can' + b'ary' in text for text in seen), seen
"""


def test_nothing_of_the_callers_environment_reaches_the_function_or_its_snapshot(
    layer: Path, needs_root: None, tmp_path: Path
) -> None:
    task = write(tmp_path / "task", SNOOP, {})
    # The canary is no word of the victim's own code, and no variable but PATH goes into the sandbox at all.
    word = "can" + "ary"
    environ = {
        name: f"{word}-{os.urandom(9).hex()}"
        for name in ("SOME_TOKEN", "AWS_SECRET_ACCESS_KEY", "LD_X", "PYTHONX")
    }
    given = os.urandom(12).hex()
    out = tmp_path / "snapshot"
    done = quickthaw(
        "checkpoint", "--task", task, "--handler", "app.handler", "--out", out, "--layer", layer,
        "--env", f"GIVEN_TOKEN={given}", "--secret", f"canary={word}-[0-9a-f]{{18}}", "--json", **environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    hits = found(out)
    assert hits.keys() == {"GIVEN_TOKEN"}, "only what --env gave the function itself"
    assert "stack" in hits["GIVEN_TOKEN"]
    texts = [done.stdout, done.stderr, (out / "manifest.json").read_text()]
    texts += [(out / "native" / "plan").read_bytes().decode("latin-1")]
    for text in texts:
        assert given not in text
        assert not any(value in text for value in environ.values())
    assert json.loads(done.stdout)["secrets"][0]["name"] == "GIVEN_TOKEN"


def test_a_snapshot_is_ours_alone_while_it_is_made_and_readable_when_it_is_whole(
    layer: Path, python: Path, needs_root: None, tmp_path: Path
) -> None:
    out = tmp_path / "made" / "snapshot"
    seen: list[int] = []
    command = [
        sys.executable, "-c",
        "import os; os.umask(0o077); from quickthaw.cli.app import main; main()",
        "checkpoint", "--task", str(VICTIMS / "small"), "--handler", "app.handler", "--out", str(out),
        "--layer", str(layer), "--keep-uncompressed",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                seen.append(stat.S_IMODE((out.parent / ".snapshot.new").stat().st_mode))
            except FileNotFoundError:
                continue
    assert process.returncode == 0
    # The last thing before the rename is to open it; whoever looks in that moment may see the result.
    assert seen and seen[0] == 0o700 and set(seen) <= {0o700, 0o755}
    for path in (out, *out.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path
    out.parent.chmod(0o755)
    for engine, mode in (("native", None), ("criu", "grow")):
        run = _thaw(out, python, layer, engine, mode)
        assert run.errors == () and run.engine == engine, run.log


def _thaw(out: Path, python: Path, layer: Path, engine: str, mode: str | None) -> Any:
    spec = FunctionSpec(
        task=VICTIMS / "small", handler="app.handler", python=python, layer=layer, snapshot=out,
        engine=engine, mode=mode,
    )  # fmt: skip
    return run_environment(spec, [b'{"numbers": [1]}'])
