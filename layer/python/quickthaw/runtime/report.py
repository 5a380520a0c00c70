"""The one log line of every start: what was tried, what it took, and why not, if not."""

from __future__ import annotations

import posix

from quickthaw.snapshot import plainjson


def line(record: dict[str, object]) -> bytes:
    """The line's bytes; the member `quickthaw` marks it, its value is the line's version."""
    return plainjson.dumps({"quickthaw": 1, **record}).encode() + b"\n"


def write(record: dict[str, object]) -> None:
    """Writes the line to standard error in one write(2), so that nothing comes between.

    A log that cannot be written is no reason not to serve requests.
    """
    try:  # noqa: SIM105 - contextlib is an import that the restore path does not have
        posix.write(2, line(record))
    except OSError:
        pass
