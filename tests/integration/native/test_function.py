"""From checkpoint to answer with the runtime client in between, and learning on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from quickthaw import names
from quickthaw.emulator.run import FunctionSpec, run_environment
from quickthaw.learn import learn
from quickthaw.plan import hot

from tests.conftest import EVENT, VICTIMS, Freezer

pytestmark = [pytest.mark.criu, pytest.mark.sandbox]
OTHER = '{"numbers": [10, 20]}'


@pytest.fixture(scope="module")
def held(freeze: Freezer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of a function that holds a loop, sockets, shared memory and files in /tmp."""
    return freeze(VICTIMS / "holding", tmp_path_factory.mktemp("held") / "snapshot")


@pytest.fixture
def spec(python: Path, layer: Path) -> FunctionSpec:
    """The function as a cold start."""
    return FunctionSpec(task=VICTIMS / "holding", handler="app.handler", python=python, layer=layer)


def test_a_thawed_function_answers_as_a_cold_one(held: Path, spec: FunctionSpec) -> None:
    events = [EVENT.encode(), OTHER.encode()]
    cold = run_environment(spec, events)
    thawed = run_environment(replace(spec, snapshot=held, engine="native"), events)
    assert (thawed.engine, thawed.mode, thawed.reason) == ("native", "hot", None)
    assert thawed.answers == cold.answers
    assert cold.answers[0] == {
        "loop": 12,
        "unread": "unread",
        "shared": "bytes",
        "scratch": "scratch",
        "model": "weights",
        "mapped": "weights",
        "listed": ["model"],
    }


def test_learning_adds_to_what_was_known_and_keeps_what_images_do_not_tell(
    held: Path, spec: FunctionSpec
) -> None:
    before = hot.read(held / names.NATIVE / "hot")
    learned = learn(held, spec, [OTHER.encode()])
    after = hot.read(held / names.NATIVE / "hot")
    assert after.pages >= before.pages
    assert after.written >= before.written
    assert after.written <= after.pages
    assert (learned.pages, learned.new_pages) == (len(after.pages), len(after.pages - before.pages))
    assert learned.plan.layout == "hot"
    thawed = run_environment(replace(spec, snapshot=held, engine="native"), [EVENT.encode()])
    assert (thawed.engine, thawed.ok) == ("native", True)


def test_the_hot_set_is_a_fraction_of_the_image(held: Path) -> None:
    found = hot.read(held / names.NATIVE / "hot")
    assert 100 < len(found.pages) < 20_000
    assert 0 < len(found.written) < len(found.pages)
