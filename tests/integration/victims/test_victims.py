"""A thawed function is as good as a fresh one: functions with state of one kind each, thawed five times.

tests/victims/functions needs the standard library only, tests/victims/libraries what `make victims`
installs, tests/victims/refused holds what no snapshot gives back.  `victim.py` says how each is judged.

VICTIMS=all (make soak): every layout and every mode on every Python.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
from quickthaw import names
from quickthaw.checkpoint import refuse
from quickthaw.emulator.run import EnvironmentRun
from quickthaw.errors import CannotFreeze, FunctionFailed
from quickthaw.snapshot import manifest

from tests.conftest import Freezer, absent, find_python

from .conftest import EVENTS, Stage
from .victim import Victim, every

pytestmark = [pytest.mark.criu, pytest.mark.sandbox]
THAWS = 5
SOAK = os.environ.get("VICTIMS") == "all"
THAWED = [*every("functions"), *every("libraries")]
REFUSED = every("refused")


def cases() -> list[Any]:
    """Victim, engine, Python, layout; engines next to each other, they share a snapshot."""
    found = []
    for victim in THAWED:
        for version in ("", *(("3.12", "3.13") if SOAK else victim.pythons)):
            for layout in victim.layouts() if SOAK else ("",):
                for engine in victim.engines:
                    label = "-".join(filter(None, [victim.name, engine, version, layout]))
                    found.append(
                        pytest.param(victim, engine, version, layout, id=label, marks=victim.marks(engine))
                    )
    return found


def members(answer: Any, wanted: tuple[str, ...]) -> dict[str, Any]:
    assert isinstance(answer, dict), answer
    return {name: answer[name] for name in wanted}


def check(victim: Victim, run: EnvironmentRun) -> None:
    """The victim found nothing wrong with itself, and every member that it answers is judged."""
    assert run.errors == (), "\n".join(run.log)
    for answer in run.answers:
        assert isinstance(answer, dict)
        assert sorted(answer) == sorted([*victim.same, *victim.fresh])


@pytest.mark.parametrize(("victim", "engine", "version", "layout"), cases())
def test_a_thawed_victim_is_as_good_as_a_fresh_one(
    victim: Victim, engine: str, version: str, layout: str, stage: Stage, python: Path
) -> None:
    interpreter = find_python(version) if version else python
    if interpreter is None:
        absent(f"Python {version} is not on this machine")
        raise AssertionError
    snapshot = stage.snapshot(victim, interpreter, layout=layout)
    body = manifest.read(str(snapshot)).body
    native, lacks = body["native"], body["process"]["criu_lacks"]
    cold_instead = None
    if engine == "criu":
        assert bool(lacks) == bool(victim.criu_cold), lacks
        assert all(re.fullmatch(victim.criu_cold, what) for what in lacks), lacks
        cold_instead = f"CRIU does not give back {lacks[0]}" if lacks else None
    if victim.declined:
        assert re.search(victim.declined, str(native["reason"])), native
    else:
        assert native["reason"] is None
    cold = stage.cold(victim, interpreter)
    check(victim, cold)
    seen = [cold]
    modes = islice(cycle(victim.modes if engine == "criu" else [None]), THAWS)
    with ThreadPoolExecutor(1 if victim.alone else 2) as pool:  # environments of a snapshot live side by side
        runs = list(pool.map(lambda mode: stage.start(victim, interpreter, snapshot, engine, mode), modes))
    for run in runs:
        expected_start = ("cold", cold_instead) if cold_instead else (engine, None)
        assert (run.engine, run.reason) == expected_start, "\n".join(run.log)
        check(victim, run)
        for answer, expected in zip(run.answers, cold.answers, strict=True):
            assert members(answer, victim.same) == members(expected, victim.same)
        seen.append(run)
    for name in victim.fresh:
        for number in range(len(EVENTS)):
            values = [json.dumps(members(run.answers[number], (name,))) for run in seen]
            assert len(set(values)) == len(values), f"{name} is not fresh: {values}"


@pytest.mark.parametrize(
    "victim",
    [pytest.param(victim, id=victim.name, marks=victim.marks("checkpoint")) for victim in REFUSED],
)
def test_what_no_snapshot_gives_back_is_refused_by_name(
    victim: Victim, freeze: Freezer, tmp_path: Path
) -> None:
    try:
        freeze(victim.path.parent, tmp_path / "snapshot", handler=f"{victim.name}.handler", events=[])
    except CannotFreeze as refusal:
        said = str(refusal)
    except FunctionFailed as failed:
        found = re.search(r"this kernel has no .*", str(failed))
        if not found:
            raise
        pytest.skip(found.group())
    else:
        pytest.fail("it was frozen")
    assert re.search(victim.refused, said), said
    assert not (tmp_path / "snapshot").exists()


HELD = "import os, sys; held = os.openpty(); print('held', flush=True); sys.stdin.read()"


def test_terminals_of_which_the_sandbox_has_none_are_named() -> None:
    process = subprocess.Popen([sys.executable, "-c", HELD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        found = [one.what for one in refuse.refusals(process.pid)]
        process.stdin.close()
    for device in ("/dev/ptmx", r"/dev/pts/\d+"):
        assert any(re.search(rf"descriptor \d+: the device {device}", what) for what in found), found


def test_the_victims_cover_the_kinds_of_state_and_every_layout() -> None:
    assert len(THAWED) >= 40
    for victim in [*THAWED, *REFUSED]:
        assert re.fullmatch(r"[A-Z][^.]+\.", victim.sentence), f"{victim.path}: one sentence"
    for victim in THAWED:
        assert victim.same or victim.fresh, f"{victim.path} answers nothing"
        assert set(victim.modes) <= set(names.MODES)
    assert {victim.first_layout for victim in THAWED} == {"lz4", "lazy", "hot"}
    assert len(EVENTS) == 2
