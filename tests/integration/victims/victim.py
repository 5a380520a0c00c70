"""What a victim says about itself, read from its file without running it.

A victim is one file with a `handler`, and holds state of one kind from its
import on.  Constants at its top level, all literals, say how it is judged:

SAME      members of its answers that every start must give alike, cold or thawed
FRESH     members that no two starts may have in common
LAYOUT    of the native engine's pages; `lz4` and `lazy` take turns where it is not given
MODES     of the criu engine, one for each thaw; all five where it is not given
ENGINES   that give it back; `native` and `criu` where it is not given
PYTHONS   that it is frozen on by `make test`, besides the one of .venv; `make soak` takes all
REFUSED   what the checkpoint must say instead of freezing it, a regular expression
CRIU_COLD what the checkpoint must say of the criu engine where only native gives it back, a regular
          expression: started by criu it is a cold start with that reason and a cold start's answers
DECLINED  what the plan must say where only CRIU gives it back, a regular expression
ALONE     True for one whose thaws may not live side by side, because they use the same port
BROKEN    what is not as it must be, or {engine: what}: expected to fail, and a failure if it does not
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from quickthaw import names

VICTIMS = Path(__file__).resolve().parents[2] / "victims"
_OURS = ("path", "number", "sentence")  # not said by the file


@dataclass(frozen=True, kw_only=True)
class Victim:
    """One victim; `number` is its place among those of its room."""

    path: Path
    number: int
    sentence: str
    same: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    layout: str = ""
    modes: tuple[str, ...] = names.MODES
    engines: tuple[str, ...] = ("native", "criu")
    pythons: tuple[str, ...] = ()
    refused: str = ""
    declined: str = ""
    criu_cold: str = ""
    alone: bool = False
    broken: str | Mapping[str, str] = ""

    @property
    def name(self) -> str:
        """The module's."""
        return self.path.stem

    @property
    def room(self) -> str:
        """functions, libraries or refused."""
        return self.path.parent.name

    def marks(self, engine: str) -> list[pytest.MarkDecorator]:
        """For a test of it with that engine."""
        reason = self.broken if isinstance(self.broken, str) else self.broken.get(engine)
        return [pytest.mark.xfail(reason=reason, strict=True)] if reason else []

    def layouts(self) -> tuple[str, ...]:
        """All that it can be frozen in; `hot` takes a warm-up event, which must not show in its answers."""
        return ("lz4", "lazy", "hot") if self.layout == "hot" else ("lz4", "lazy")

    @property
    def first_layout(self) -> str:
        """What it is frozen in by `make test`."""
        return self.layout or ("lz4", "lazy")[self.number % 2]


def read(path: Path, number: int) -> Victim:
    """Reads the declarations of one file."""
    tree = ast.parse(path.read_text(), str(path))
    known = {name.upper(): name for name in Victim.__dataclass_fields__ if name not in _OURS}
    said: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = known.get(node.targets[0].id)
            if name:
                said[name] = ast.literal_eval(node.value)
    return Victim(path=path, number=number, sentence=ast.get_docstring(tree) or "", **said)


def every(room: str) -> list[Victim]:
    """All victims of a room, by name."""
    paths = sorted(path for path in (VICTIMS / room).glob("*.py") if path.stem != "__init__")
    return [read(path, number) for number, path in enumerate(paths)]
