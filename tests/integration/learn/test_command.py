"""`quickthaw learn`: the layout becomes hot, what was known stays, and a failure changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from quickthaw import names
from quickthaw.emulator.run import FunctionSpec, run_environment

SMALL = Path(__file__).parents[2] / "victims" / "small"

pytestmark = pytest.mark.criu


def learn(snapshot: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("quickthaw")), "learn", str(snapshot), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def lazy(freeze: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot that nothing was learned about."""
    return freeze(SMALL, tmp_path_factory.mktemp("lazy") / "snapshot", layout="lazy")


@pytest.fixture
def event(tmp_path: Path) -> Callable[..., str]:
    def write(**fields: object) -> str:
        path = tmp_path / f"event-{len(list(tmp_path.iterdir()))}.json"
        path.write_text(json.dumps(fields))
        return str(path)

    return write


def files(snapshot: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(snapshot)): path.read_bytes() for path in snapshot.rglob("*") if path.is_file()
    }


def test_an_event_that_is_not_answered_changes_nothing(lazy: Path, event: Callable[..., str]) -> None:
    before = files(lazy)
    done = learn(lazy, "--event", event(numbers=["not", "a", "number"]))
    assert done.returncode == 6, done.stderr
    assert "learn from events that it answers" in done.stderr
    assert files(lazy) == before


def test_there_must_be_an_event(lazy: Path) -> None:
    assert learn(lazy).returncode == 2


def test_learning_makes_the_layout_hot_and_a_thaw_answers(
    lazy: Path, event: Callable[..., str], layer: Path, python: Path
) -> None:
    assert not (lazy / names.NATIVE / "hot").exists()
    done = learn(
        lazy, "--event", event(numbers=[1]), "--event", event(numbers=[2], getenv=["PATH"]), "--json"
    )
    assert done.returncode == 0, done.stderr
    learned = json.loads(done.stdout)
    assert learned["events"] == 2
    assert learned["plan"]["layout"] == "hot"
    assert 0 < learned["pages"] == learned["new_pages"]
    assert (lazy / names.NATIVE / "hot").exists()

    spec = FunctionSpec(
        task=SMALL, handler="app.handler", python=python, layer=layer, snapshot=lazy, engine="native"
    )
    run = run_environment(spec, [b'{"numbers": [4, 5]}'])
    assert (run.engine, run.errors) == ("native", ()), run.reason
    (answer,) = run.answers
    assert isinstance(answer, dict)
    assert answer["sum"] == 100_009

    again = learn(lazy, "--event", event(numbers=list(range(5000))))
    assert again.returncode == 0, again.stderr
    assert "learned from 1 event" in again.stdout
    kept = learn(lazy, "--event", event(numbers=[1]), "--json")
    assert json.loads(kept.stdout)["pages"] >= learned["pages"]
