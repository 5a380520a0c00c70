"""May this snapshot leave the machine: what was found, what of it somebody took upon themselves.

Two searches count.  The one of the checkpoint knew the environment that the
function was frozen from, and left the names of what it found in the manifest;
the one of `verify` and `publish` knows the environment that those are started
from, on whatever machine, days later.  A secret in either stops a snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quickthaw.errors import SecretFound
from quickthaw.secrets import memory
from quickthaw.secrets.leak import Leak
from quickthaw.secrets.wanted import Wanted
from quickthaw.snapshot import manifest


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a search came to.

    Attributes:
        found: what stands against publishing.
        allowed: what was found too, and was taken upon themselves by name.
        searched: what was looked for, in words.
    """

    found: tuple[Leak, ...]
    allowed: tuple[Leak, ...]
    searched: str

    def enforce(self, what: str) -> None:
        """Refuses.

        Args:
            what: is not done: "build/snapshot is not published".

        Raises:
            SecretFound: something was found; all of it is named, none of it shown.
        """
        if self.found:
            lines = "\n".join(f"  {leak.name}: in {leak}" for leak in self.found)
            raise SecretFound(
                f"{what}, its memory holds secrets:\n{lines}",
                hint="Fetch them in an after-restore hook or in the handler, or freeze with a placeholder "
                "(checkpoint --env NAME=none: a thaw sets the real one), and make the snapshot again. "
                "Or take it upon yourself: " + " ".join(f"--allow-secret {leak.name}" for leak in self.found),
            )


def examine(
    snapshot: Path,
    wanted: Wanted,
    *,
    allow: Collection[str] = (),
    on_progress: Callable[[float], None] = lambda _done: None,
) -> Verdict:
    """Searches a whole snapshot, and reads what its checkpoint found.

    Args:
        snapshot: the directory, its files verified.
        wanted: what to look for.
        allow: names of variables and patterns that may be in it.
        on_progress: called with the share that is done.

    Raises:
        BadSnapshot: it is damaged.
    """
    leaks = {leak.name: leak for leak in found_in(snapshot, wanted, on_progress=on_progress)}
    for leak in recorded(manifest.read(str(snapshot)).body):
        leaks.setdefault(leak.name, leak)
    ordered = [leaks[name] for name in sorted(leaks)]
    return Verdict(
        found=tuple(leak for leak in ordered if leak.name not in allow),
        allowed=tuple(leak for leak in ordered if leak.name in allow),
        searched=str(wanted),
    )


def found_in(
    snapshot: Path, wanted: Wanted, *, on_progress: Callable[[float], None] = lambda _done: None
) -> tuple[Leak, ...]:
    """Searches a snapshot directory, which need not have a manifest yet; Raises as `examine`."""
    from quickthaw.secrets.search import search  # NumPy

    total, done = memory.size(snapshot), 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        on_progress(min(1.0, done / total) if total else 1.0)

    return search(memory.streams(snapshot), wanted, on_bytes=count)


def as_json(wanted: Wanted, leaks: Collection[Leak]) -> dict[str, Any]:
    """The manifest's `secrets`: names and numbers."""
    return {
        "values": len(wanted.values),
        "patterns": [pattern.name for pattern in wanted.patterns],
        "found": [{"name": leak.name, "places": [list(place) for place in leak.places]} for leak in leaks],
    }


def recorded(body: dict[str, Any]) -> tuple[Leak, ...]:
    """What the checkpoint found, out of a manifest's body."""
    return tuple(
        Leak(
            name=str(one["name"]),
            places=tuple((f"{place}, at the checkpoint", int(count)) for place, count in one["places"]),
        )
        for one in (body.get("secrets") or {"found": []})["found"]
    )
