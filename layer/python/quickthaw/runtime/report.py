"""The one log line of every start: what was tried, what it took, and why not, if not.

It is CloudWatch metrics too (embedded metric format), where the function's
name is known.
"""

from __future__ import annotations

import posix
import time

from quickthaw.snapshot import plainjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_FUNCTION = "AWS_LAMBDA_FUNCTION_NAME"


def line(record: dict[str, object], environ: Mapping[str, str]) -> bytes:
    """The line's bytes; the member `quickthaw` marks it, its value is the line's version."""
    members: dict[str, object] = {}
    if _FUNCTION in environ:
        from quickthaw.runtime import metrics  # after the restore: nobody waits for it

        now_ms = int(time.time() * 1000)
        members = metrics.members(record, function=environ[_FUNCTION], timestamp_ms=now_ms)
    return plainjson.dumps({"quickthaw": 1, **record, **members}).encode() + b"\n"


def write(record: dict[str, object], environ: Mapping[str, str]) -> None:
    """Writes the line to standard error in one write(2), so that nothing comes between.

    A log that cannot be written is no reason not to serve requests.
    """
    try:  # noqa: SIM105 - contextlib is an import that the restore path does not have
        posix.write(2, line(record, environ))
    except OSError:
        pass
