"""All questions, and the document that they give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from quickthaw import __version__, names
from quickthaw.probe import calls, engines, machine, process, speed
from quickthaw.probe.finding import Finding

FORMAT = 1


def survey(*, layer: Path | None = None, disk: Path | None = None) -> dict[str, Any]:
    """Ask everything; takes about a second.

    Args:
        layer: what holds restorer and CRIU; None for /opt, if it holds them.
        disk: a file or directory to measure reads of; None for the snapshot, else the layer,
            else Python's library.

    Returns:
        {"probe": 1, "quickthaw": version, "engine": {"engine", "reason", "notes"},
        "findings": {name: {"group", "ok", "value", "unit", "note"}}}
    """
    if layer is None and (Path(names.LAYER_PATH) / "criu").exists():
        layer = Path(names.LAYER_PATH)
    found = {finding.name: finding for finding in _findings(layer, disk or _sample(layer))}
    return {
        "probe": FORMAT,
        "quickthaw": __version__,
        "engine": asdict(engines.verdict(found)),
        "findings": {name: _without_name(finding) for name, finding in found.items()},
    }


def _findings(layer: Path | None, disk: Path) -> Iterator[Finding]:
    yield from process.findings()
    yield from calls.findings()
    yield from machine.findings()
    yield from speed.findings(disk)
    yield from engines.findings(layer)


def _sample(layer: Path | None) -> Path:
    snapshot = Path(names.SNAPSHOT_PATH)
    if snapshot.is_dir():
        return snapshot
    return layer or Path(__file__).parent


def _without_name(finding: Finding) -> dict[str, Any]:
    fields = asdict(finding)
    del fields["name"]
    return fields
