"""What the import changed in the environment, applied to another one."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator

import pytest
from quickthaw.errors import Declined
from quickthaw.runtime.renewal import environment, watch


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    """The environment and sys.path are put back, with C's view of them."""
    before, path = dict(os.environ), list(sys.path)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)
    sys.path[:] = path


def after(started: dict[str, str], now: dict[str, str], *entries: str) -> dict[str, str]:
    """What is in os.environ when a function that made `now` of `started` wakes with these entries."""
    environment.renew(environment.Changes(started, now), entries)
    return dict(os.environ)


def c_value(name: str) -> bytes | None:
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_char_p
    found: bytes | None = libc.getenv(os.fsencode(name))
    return found


@pytest.mark.parametrize(
    ("before", "after_import", "new", "expected"),
    [
        ("a", "a:more", "b", "b:more"),
        ("a", "more:a", "b", "more:b"),
        ("a", "x:a:y", "b:c", "x:b:c:y"),
        ("a:b", "x:a:b", "c", "x:c"),
        ("", "more", "b", "more"),
        ("1", "10", "2", "10"),
        ("a", "ab:c", "b", "ab:c"),
        ("a", "other", "b", "other"),
        ("a", "a:more", "", "more"),
        ("a", "a", "b", "b"),
    ],
)
def test_a_list_that_grew_grows_again_and_all_else_is_set(
    before: str, after_import: str, new: str, expected: str
) -> None:
    assert after({"X": before}, {"X": after_import}, f"X={new}")["X"] == expected
    assert c_value("X") == expected.encode()


def test_what_the_import_removed_is_removed_and_what_vanished_too() -> None:
    os.environ.update(GONE="1", REMOVED="1")
    found = after({"REMOVED": "1", "GONE": "1"}, {"GONE": "1"}, "REMOVED=2", "KEPT=1")
    assert found == {"KEPT": "1"}
    assert c_value("GONE") is c_value("REMOVED") is None


def test_a_variable_set_by_import_that_the_environment_has_now_is_not_guessed() -> None:
    assert after({}, {"X": "1"})["X"] == "1"
    assert after({}, {"X": "1"}, "X=1")["X"] == "1"
    with pytest.raises(Declined, match="freeze with --env X="):
        after({}, {"X": "1"}, "X=2")


def test_a_default_gives_way_to_the_environment() -> None:
    started = dict(os.environ)
    environment.begin()
    try:
        os.environ.setdefault("SOME_DEFAULT", "import")
        os.environ.setdefault("OTHER_DEFAULT", "import")
    finally:
        watch.end()
    changes = environment.remember(started)
    environment.renew(changes, ["SOME_DEFAULT=environment"])
    assert os.environ["SOME_DEFAULT"] == "environment"
    assert os.environ["OTHER_DEFAULT"] == "import"


def test_the_interpreters_own_locale_gives_way_as_well() -> None:
    assert after({}, {"LC_CTYPE": "C.UTF-8"}, "LC_CTYPE=de_DE")["LC_CTYPE"] == "de_DE"


def test_odd_entries_are_taken_as_the_interpreter_takes_them() -> None:
    found = environment.variables(["A=1", "A=2", "=nameless", "bare", "B=a=b", "C=", "D=\udcff"])
    assert found == {"A": "1", "B": "a=b", "C": "", "D": "\udcff"}
    after({}, {}, "A=1", "=x", "D=\udcff")
    assert c_value("D") == b"\xff"


def test_a_longer_pythonpath_is_searched_before_the_frozen_one() -> None:
    started = {"PYTHONPATH": "/var/runtime:/opt/python"}
    sys.path[:] = ["/var/task", "/var/runtime", "/opt/python", "/usr/lib"]
    after(started, started, "PYTHONPATH=/new:/var/runtime")
    assert sys.path == ["/var/task", "/new", "/var/runtime", "/opt/python", "/usr/lib"]
