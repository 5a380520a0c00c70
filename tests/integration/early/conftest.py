"""Snapshots whose `start` says something else."""

from __future__ import annotations

from pathlib import Path

from quickthaw import names
from quickthaw.checkpoint.start import checksum


def rewrite(snapshot: Path, change: dict[str, str]) -> None:
    """Another text with a right checksum.

    Args:
        change: what to replace, and by what.
    """
    place = snapshot / names.IMAGES / names.START
    text = place.read_text().partition("\n")[2]
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    place.write_text(f"{checksum(text.encode()):08x}\n{text}")
