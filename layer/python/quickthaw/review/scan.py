"""Walks the lines of a log and yields each start with its kind, in constant memory.

Place in the flow: between `sources` (bytes of a file) or `cloudwatch` (log
events) and the `ledger`.

Invariants: a bad line is counted and kept with its line number, never fatal;
what is kept per log is bounded (open starts per stream, problems shown).

How a start gets its kind: a restore duration means SnapStart; a bootstrap line
(the JSON object with the key `quickthaw`) in the same log stream says that the
environment's first invocation was thawed, or why it was not; an init duration,
or an INIT_REPORT that failed before it, means cold; all else is warm.  Where a
line does not name its stream (a plain file), a bootstrap line belongs to the
next REPORT that has an init duration, which is what one environment's log, and
the local emulator, look like.

Two speeds: Lambda's own line in either format is read by one anchored pattern,
everything else goes the long way through `report`.  A test holds both to the
same answer.  Rejected: one `finditer` over each chunk; it loses line numbers
and the order of other lines, and was not faster.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from .report import Malformed, Report, parse_event, parse_init_event, parse_init_text, parse_text

Kind = Literal["cold", "thawed", "restored", "warm"]
KINDS: Final[tuple[Kind, ...]] = ("cold", "thawed", "restored", "warm")

_SHOWN = 20  # problems kept with their text; the rest is only counted
_SHOWN_CHARS = 200
_OPEN_STREAMS = 10_000  # streams with an open start; beyond that the oldest is forgotten
_LONGEST = 8 << 20  # bytes of one line; Lambda's own limit for an event is 1 MiB

_NUM = rb"(\d+(?:\.\d+)?)"
_FAST = re.compile(
    rb"REPORT RequestId: ([0-9A-Za-z-]+)\s+(?:Init Duration: %b ms\s+)?"
    rb"Duration: %b ms\s+Billed Duration: (\d+) ms\s+Memory Size: (\d+) MB\s+Max Memory Used: (\d+) MB\s*"
    rb"(?:Init Duration: %b ms\s*)?$" % (_NUM, _NUM, _NUM)
)
_FAST_EVENT = re.compile(
    rb'\{"time":"[^"\\]+","type":"platform\.report","record":\{"requestId":"([0-9A-Za-z-]+)",(?:"status":"success",)?'
    rb'"metrics":\{"durationMs":%b,"billedDurationMs":(\d+),"memorySizeMB":(\d+),"maxMemoryUsedMB":(\d+)'
    rb'(?:,"initDurationMs":%b)?\}(?:,"tracing":\{[^{}\\]*"value":"Root=([^;"\\]+)[^"\\]*"\})?'
    rb'(?:,"status":"success")?\}\}\s*$' % (_NUM, _NUM)
)
_record = tuple.__new__
# REPORT, but not INIT_REPORT or RESTORE_REPORT, nor a sentence about a report
_REPORT = re.compile(r"(?<!_)REPORT(?=[ \t]+(?:RequestId:|(?:[A-Z][a-z]+ )*Duration:))")
_STREAM = re.compile(r"\d{4}/\d\d/\d\d/[^\s\[\]\"]*\[[^\]\s]+\][0-9a-f]{8,}")
_BOOT_KEY = '"quickthaw"'


class Boot(NamedTuple):
    """The bootstrap's own log line: which engine started this environment, and what it took (seconds)."""

    engine: str
    mode: str | None
    reason: str | None
    times: Mapping[str, float]


class Entry(NamedTuple):
    """One invocation: its record, its kind, and what the bootstrap said of its environment."""

    report: Report
    kind: Kind
    boot: Boot | None = None
    init_rerun: bool = False


@dataclass(frozen=True)
class Problem:
    """A line that looked like a record and was not; `line` counts from 1."""

    line: int
    text: str
    why: str


@dataclass
class _Open:
    """What a stream has said before its first REPORT."""

    boots: deque[Boot] = field(default_factory=lambda: deque(maxlen=1000))
    rerun: bool = False


class Scanner:
    """Reads one log; `lines`, `problems` and `malformed` tell about it afterwards.

    Attributes:
        lines: lines, or log events, seen so far.
        malformed: how many of them looked like a record and could not be read.
        problems: the first few of those.
        functions: function names that the log itself mentions.
    """

    def __init__(self) -> None:
        self.lines = 0
        self.malformed = 0
        self.problems: list[Problem] = []
        self.functions: set[str] = set()
        self._open: OrderedDict[str | None, _Open] = OrderedDict()
        self._last: Entry | None = None

    def chunks(self, chunks: Iterable[bytes]) -> Iterator[Entry]:
        """Reads a log from pieces of any size; a line may be spread over several of them."""
        self._open.pop(None, None)  # a new file: nothing is open in it
        rest = b""
        for chunk in chunks:
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            yield from self._lines(lines)
            if len(rest) > _LONGEST:
                yield from self._lines([rest])
                rest = b""
        if rest:
            yield from self._lines([rest])

    def event(self, message: str, stream: str) -> Iterator[Entry]:
        """Reads one log event, whose stream CloudWatch names; the message may hold line ends."""
        self.lines += 1
        yield from self._slow(message, stream)

    def _lines(self, lines: list[bytes]) -> Iterator[Entry]:
        for line in lines:
            self.lines += 1
            trace = None
            at = line.find(b"REPORT")
            if at >= 0:
                match = _FAST.match(line, at)
                if match is None or (at and line[at - 1] == 95):  # 95: the underscore of INIT_REPORT
                    yield from self._slow(line.decode("utf-8", "replace"), None)
                    continue
                id_, init, duration, billed, size, used, late_init = match.groups()
                init = init or late_init
            elif b"platform." in line or b"quickthaw" in line:
                at = line.find(b"{")
                match = _FAST_EVENT.match(line, max(at, 0))
                if match is None:
                    yield from self._slow(line.decode("utf-8", "replace"), None)
                    continue
                id_, duration, billed, size, used, init, trace = match.groups()
            else:
                continue
            # tuple.__new__ leaves out the named tuple's own, which is written in Python: a tenth of the time
            trace_id = None if trace is None else trace.decode("utf-8", "replace")
            start = None if init is None else float(init)
            numbers = float(duration), float(billed), float(size), float(used), start
            report = _record(Report, (id_.decode("ascii"), *numbers, None, None, None, None, trace_id))
            if self._open:
                yield self._entry(report, _stream(line[:at].decode("utf-8", "replace")) if at else None)
            else:  # nothing was said before it, so there is nothing to look up
                yield _record(Entry, (report, "warm" if start is None else "cold", None, False))

    def _slow(self, text: str, stream: str | None) -> Iterator[Entry]:
        """One line or one event in any of the other forms."""
        try:
            if (
                '"platform.' in text
                or _BOOT_KEY in text
                or '"message"' in text
                or '\\"' in text
                or '""' in text
            ):
                done, entries = self._json(text, stream)
                yield from entries
                if done:
                    return
            yield from self._text(text, stream)
        except Malformed as problem:
            self.malformed += 1
            if len(self.problems) < _SHOWN:
                self.problems.append(Problem(self.lines, text.strip()[:_SHOWN_CHARS], str(problem)))

    def _text(self, text: str, stream: str | None) -> Iterator[Entry]:
        if "\\t" in text or "\\n" in text:  # a message inside pretty-printed JSON
            text = text.replace("\\t", "\t").replace("\\n", "\n")
        starts = [match.start() for match in _REPORT.finditer(text)]
        if not starts:
            at = text.find("INIT_REPORT ")
            if at >= 0:
                self._init(parse_init_text(text[at:]).status, _stream(text[:at]) or stream)
            return
        stream = stream or _stream(text[: starts[0]])
        for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
            yield self._entry(parse_text(text[start:end]), stream)

    def _json(self, text: str, stream: str | None) -> tuple[bool, list[Entry]]:
        """Tries `text` as JSON, perhaps behind a prefix, perhaps quoted; False if nothing in it matters."""
        start = text.find("{")
        if start < 0:
            if '"platform.report"' in text:
                raise Malformed("a platform.report event over several lines; export one event a line")
            return False, []
        stream = stream or _stream(text[:start])
        for candidate in (text[start:], text[start:].replace('\\"', '"'), text[start:].replace('""', '"')):
            try:
                value, _ = json.JSONDecoder().raw_decode(candidate)
            except ValueError:
                continue
            if isinstance(value, dict):
                return self._object(value, stream)
        if "platform.report" in text:
            raise Malformed("platform.report that is no JSON")
        return False, []

    def _object(self, value: Mapping[str, object], stream: str | None) -> tuple[bool, list[Entry]]:
        kind = value.get("type")
        if kind == "platform.report":
            return True, [self._entry(parse_event(value), stream)]
        if kind == "platform.initReport":
            self._init(parse_init_event(value).status, stream)
            return True, []
        if kind == "platform.initStart":
            record = value.get("record")
            name = record.get("functionName") if isinstance(record, Mapping) else None
            if isinstance(name, str):
                self.functions.add(name)
            return True, []
        if value.get("quickthaw") == 1 and isinstance(value.get("engine"), str):
            self._boot(value, stream)
            return True, []
        message = value.get("message")  # an exported log event, one to a line
        if isinstance(message, str) and ("logStreamName" in value or "timestamp" in value):
            name = value.get("logStreamName")
            return True, list(self._slow(message, name if isinstance(name, str) else stream))
        return isinstance(kind, str) and kind.startswith("platform."), []

    def _boot(self, value: Mapping[str, object], stream: str | None) -> None:
        times = {
            key: float(number)
            for key, number in value.items()
            if key.endswith("_s") and isinstance(number, int | float) and not isinstance(number, bool)
        }
        mode, reason = value.get("mode"), value.get("reason")
        boot = Boot(
            str(value["engine"]),
            mode if isinstance(mode, str) else None,
            reason if isinstance(reason, str) else None,
            times,
        )
        self._of(stream).boots.append(boot)

    def _init(self, status: str | None, stream: str | None) -> None:
        if status is not None:  # a failed init is run again inside the first invocation
            self._of(stream).rerun = True

    def _of(self, stream: str | None) -> _Open:
        if stream not in self._open:
            if len(self._open) >= _OPEN_STREAMS:
                self._open.popitem(last=False)
            self._open[stream] = _Open()
        return self._open[stream]

    def _entry(self, report: Report, stream: str | None) -> Entry:
        known = self._open.get(stream)
        boot, rerun = None, False
        if known is not None:
            rerun, known.rerun = known.rerun, False
            if known.boots and (stream is not None or report.init_ms is not None):
                boot = known.boots.popleft()
            if not known.boots:
                del self._open[stream]
        kind: Kind
        if report.restore_ms is not None:
            kind = "restored"
        elif boot is not None and boot.engine != "cold":
            kind = "thawed"
        elif report.init_ms is not None or rerun or boot is not None:
            kind = "cold"
        else:
            kind = "warm"
        return Entry(report, kind, boot, rerun)


def _stream(prefix: str) -> str | None:
    found = _STREAM.search(prefix)
    return found[0] if found else None
