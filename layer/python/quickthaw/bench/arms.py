"""The arms of a comparison: each one way to start the same function.

First step of a bench: names become arms, and arms that cannot run on this
snapshot are named with the reason before anything is measured.  What an arm
promises (engine and mode) is checked after each run against what the
bootstrap says it did; a run that fell back to a cold start is a failure of
its arm, never a slow sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quickthaw import names
from quickthaw.bench.layouts import Layouts
from quickthaw.errors import UsageError
from quickthaw.snapshot.manifest import Manifest


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to start the function.

    Attributes:
        name: as in bench.json and on the command line.
        engine: what must start it: "cold", "criu" or "native".
        mode: the engine's mode; None for a cold start.
        what: for the table, in a few words.
    """

    name: str
    engine: str
    mode: str | None
    what: str


COLD = Arm(name="cold", engine="cold", mode=None, what="imports everything again")

ARMS = (
    COLD,
    Arm(name="criu-plain", engine="criu", mode="plain", what="uncompressed pages"),
    Arm(name="criu-sync", engine="criu", mode="sync", what="decompress, then restore"),
    Arm(name="criu-async", engine="criu", mode="async", what="decompress beside it, CRIU waits"),
    Arm(name="criu-grow", engine="criu", mode="grow", what="CRIU reads the growing file"),
    Arm(name="criu-stream", engine="criu", mode="stream", what="pages through a pipe"),
    Arm(name="native-lz4", engine="native", mode="lz4", what="no privilege, all pages at once"),
    Arm(name="native-lazy", engine="native", mode="lazy", what="no privilege, pages on first touch"),
    Arm(name="native-hot", engine="native", mode="hot", what="no privilege, hot pages first"),
)  # fmt: skip


def choose(wanted: Sequence[str]) -> tuple[Arm, ...]:
    """Return the arms of these names in the table's order, all of them when none is named.

    Raises:
        UsageError: there is no such arm.
    """
    known = {arm.name for arm in ARMS}
    unknown = sorted(set(wanted) - known)
    if unknown:
        raise UsageError(
            f"no such arm: {', '.join(unknown)}", hint=f"The arms are {', '.join(arm.name for arm in ARMS)}."
        )
    return tuple(arm for arm in ARMS if not wanted or arm.name in wanted)


def layouts_of(arms: Sequence[Arm]) -> tuple[str, ...]:
    """Return the native layouts that these arms thaw."""
    return tuple(arm.mode for arm in arms if arm.engine == "native" and arm.mode is not None)


def missing(arm: Arm, snapshot: Path, manifest: Manifest, layouts: Layouts) -> str | None:
    """Return why this snapshot has nothing for the arm, or None where it has.

    Only what the snapshot holds is asked; whether this machine permits the
    thaw shows in the first run.

    Args:
        layouts: the native layouts that can be had, and why not the others.
    """
    if arm.engine == "criu":
        return _missing_for_criu(arm, snapshot, manifest)
    if arm.engine == "native" and arm.mode not in layouts.snapshots:
        return layouts.missing.get(str(arm.mode), "the snapshot has no native layout")
    return None


def _missing_for_criu(arm: Arm, snapshot: Path, manifest: Manifest) -> str | None:
    compressed = any(pages["file"] is not None for pages in manifest.pages.values())
    if arm.mode != "plain":
        return None if compressed else "the snapshot's pages are not compressed"
    raw = [snapshot / names.IMAGES / f"pages-{number}.img" for number in manifest.pages]
    if all(path.is_file() for path in raw):
        return None
    return "the snapshot keeps no uncompressed pages (checkpoint --keep-uncompressed)"
