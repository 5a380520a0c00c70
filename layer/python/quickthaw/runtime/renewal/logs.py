"""Standard streams and logging, as awslambdaric has them when it imports a function.

The runtime makes its streams unbuffered and gives the root logger its handler
*before* it imports the function, and functions rely on it: they format
`root.handlers[0]`, remove it, or call basicConfig(), which then does nothing.
awslambdaric.bootstrap cannot be imported before the wake (it loads the native
client), so stand-ins of the same names and the same behaviour take the places
at the freeze.  After the wake bootstrap sets up logging as always, and what it
made, for the format and level of *this* environment, is put into the
stand-ins: the handler that the function knows becomes the runtime's, and what
the function changed (formatter, level, removal) stays as the function left it.

The telemetry descriptor is the one that the restorer put at its place.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from quickthaw import names

_LOG_FORMAT, _LOG_LEVEL = "AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL"
_TEXT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"


class Unbuffered:
    """A stream that is flushed after each write; becomes awslambdaric's class of this name."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> None:
        """Writes through."""
        self.stream.write(text)
        self.stream.flush()

    def writelines(self, lines: Any) -> None:
        """Writes through."""
        self.stream.writelines(lines)
        self.stream.flush()


class LambdaLoggerHandler(logging.Handler):
    """Writes records to standard output; becomes awslambdaric's handler."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one record."""
        sys.stdout.write(self.format(record))


class LambdaLoggerFilter(logging.Filter):
    """Gives records the fields of an invocation; becomes awslambdaric's class of this name."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every record pass."""
        record.aws_request_id = ""
        record.tenant_id = None
        return True


class StandIns:
    """What stands in for the runtime's.

    Attributes:
        streams: the two standard streams.
        handler: of the root logger.
        filter: the handler's.
        formatter: the one that the handler had first.
        level: of the root logger, before the import.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.streams = (Unbuffered(sys.stdout), Unbuffered(sys.stderr))
        self.handler: logging.Handler = LambdaLoggerHandler()
        self.filter = LambdaLoggerFilter()
        self.formatter = _formatter(environ)
        self.level = logging.getLogger().level


def prepare(environ: Mapping[str, str]) -> StandIns:
    """Puts them in place; call before the function is imported."""
    found = StandIns(environ)
    sys.stdout, sys.stderr = found.streams
    logging.Formatter.converter = time.gmtime
    found.handler.setFormatter(found.formatter)
    found.handler.addFilter(found.filter)
    root = logging.getLogger()
    level = _level(environ)
    if level in logging.getLevelNamesMapping():
        root.setLevel(level)
    found.level = root.level
    root.addHandler(found.handler)
    return found


def _level(environ: Mapping[str, str]) -> str:
    given = environ.get(_LOG_LEVEL, "").upper()
    return "DEBUG" if given == "TRACE" else given


def _formatter(environ: Mapping[str, str]) -> logging.Formatter:
    if environ.get(_LOG_FORMAT, "").upper() == "JSON":
        from awslambdaric.lambda_runtime_log_utils import JsonFormatter

        found: logging.Formatter = JsonFormatter()
        return found
    return logging.Formatter(_TEXT, "%Y-%m-%dT%H:%M:%S")


def renew_telemetry(*, given: bool) -> None:
    """The runtime will find its log descriptor in the environment, if this environment has one."""
    if given:
        os.environ[names.ENV_TELEMETRY] = str(names.TELEMETRY_FD)
    else:
        os.environ.pop(names.ENV_TELEMETRY, None)
        os.close(names.TELEMETRY_FD)


def hand_over(stand_ins: StandIns, bootstrap: Any) -> None:
    """Lets the runtime's `run` put what it makes into the stand-ins' places.

    Args:
        stand_ins: of the freeze.
        bootstrap: the module awslambdaric.bootstrap.
    """
    set_up = getattr(bootstrap, "_setup_logging", None)
    made, kind = getattr(bootstrap, "Unbuffered", None), getattr(bootstrap, "LambdaLoggerFilter", None)
    root = logging.getLogger()
    if set_up is None or made is None or kind is None:
        # A runtime of another build: it will add a handler of its own, so ours goes.
        root.removeHandler(stand_ins.handler)
        return
    for stream in stand_ins.streams:
        stream.__class__ = made
    bootstrap.Unbuffered = lambda stream: stream  # sys.stdout is what the function left there
    level = root.level

    def once(*arguments: Any) -> None:
        before = list(root.handlers)
        set_up(*arguments)
        if level != stand_ins.level:
            root.setLevel(level)  # the function set it; the runtime does so before the import
        for handler in [handler for handler in root.handlers if handler not in before]:
            root.removeHandler(handler)
            _become(stand_ins, handler, kind)

    bootstrap._setup_logging = once


def _become(stand_ins: StandIns, made: logging.Handler, kind: type[logging.Filter]) -> None:
    handler = stand_ins.handler
    if handler.formatter is stand_ins.formatter:
        handler.formatter = made.formatter
    handler.__class__ = type(made)
    handler.log_sink = made.log_sink  # type: ignore[attr-defined]
    stand_ins.filter.__class__ = kind  # type: ignore[assignment]
