"""The table says yes, no and why, and leaves nothing out."""

from __future__ import annotations

import io
import re
from typing import Any

from quickthaw.doctor import render
from quickthaw.doctor.examine import Examined
from quickthaw.probe import calls
from rich.console import Console


def finding(group: str = "calls", **fields: Any) -> dict[str, Any]:
    return {"group": group, "ok": None, "value": None, "unit": None, "note": None} | fields


def examined(place: str, engine: str = "native", reason: str | None = None, **found: Any) -> Examined:
    verdict = {"engine": engine, "reason": reason, "notes": ["slower somewhere"] if not reason else []}
    return Examined(place=place, document={"probe": 1, "engine": verdict, "findings": found})


def shown(*places: Examined, width: int = 100) -> str:
    out = io.StringIO()
    render.print_places(places, Console(file=out, width=width, color_system=None, highlight=False))
    return out.getvalue()


def row(text: str, name: str) -> list[str]:
    """The cells of one row."""
    (line,) = [line for line in text.splitlines() if line.split()[:1] == [name]]
    return re.split(r"\s{2,}", line.strip())[1:]


def test_outside_and_inside_stand_side_by_side() -> None:
    text = shown(
        examined("here", ptrace=finding(ok=True)),
        examined("lambda", ptrace=finding(ok=False, note="EPERM: Operation not permitted")),
    )
    assert row(text, "ptrace") == ["yes", "no EPERM"]


def test_what_only_one_place_was_asked_is_a_dash_in_the_other() -> None:
    text = shown(examined("here", kcmp=finding(ok=True)), examined("lambda", rseq=finding(ok=True)))
    assert row(text, "kcmp") == ["yes", "–"]
    assert row(text, "rseq") == ["–", "yes"]


def test_what_is_not_known_is_a_dash_and_never_nought() -> None:
    text = shown(
        examined("here", cpu_share=finding("machine", note="no control group"), zero=finding(value=0))
    )
    assert row(text, "cpu_share") == ["– (no control group)"]
    assert row(text, "zero") == ["0"]


def test_numbers_have_their_units() -> None:
    text = shown(
        examined(
            "here",
            fault=finding(value=1.5e-6, unit="s"),
            disk=finding(value=60e6, unit="bytes/s"),
            memory=finding(value=25.3e9, unit="bytes"),
        )
    )
    assert (row(text, "fault"), row(text, "disk"), row(text, "memory")) == (
        ["1.50 µs"],
        ["60 MB/s"],
        ["25.3 GB"],
    )


def test_each_place_has_its_verdict_with_reason_or_notes() -> None:
    text = shown(examined("here"), examined("lambda", engine="cold", reason="no [restorer]"))
    assert "here: QUICKTHAW_ENGINE=auto comes to native\n  slower somewhere\n" in text
    assert "Lambda-like sandbox: QUICKTHAW_ENGINE=auto comes to cold: no [restorer]\n" in text


def test_a_wide_terminal_says_what_every_question_is_for() -> None:
    assert set(calls.QUESTIONS) <= set(render.MEANING)
    everything: dict[str, Any] = {name: finding(ok=True) for name in calls.QUESTIONS}
    text = shown(examined("here", **everything), width=render.WIDE)
    for name in calls.QUESTIONS:
        assert row(text, name) == ["yes", render.MEANING[name]]
