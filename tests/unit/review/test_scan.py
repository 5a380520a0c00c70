"""Logs as they are found: prefixes, line ends, other output in between, several streams, broken lines."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quickthaw.review.report import Report, parse_text
from quickthaw.review.scan import Entry, Scanner

ID = "8f5c4a2e-1b7d-4d3c-9a6e-0f2b4c6d8e10"
WARM = (
    f"REPORT RequestId: {ID}\tDuration: 8.80 ms\tBilled Duration: 9 ms\tMemory Size: 512 MB\t"
    "Max Memory Used: 91 MB\t"
)
COLD = WARM + "Init Duration: 816.35 ms\t"
EVENT = (
    '{"time":"2026-10-08T07:30:29.470Z","type":"platform.report","record":{"requestId":"'
    + ID
    + '","metrics":'
    '{"durationMs":8.8,"billedDurationMs":9,"memorySizeMB":512,"maxMemoryUsedMB":91,"initDurationMs":816.35},'
    '"status":"success"}}'
)
REPORT = Report(ID, 8.8, 9, 512, 91, 816.35)
STREAM_A = "2026/10/08/[$LATEST]aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
STREAM_B = "2026/10/08/[7]bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
THAWED = '{"quickthaw":1,"engine":"native","mode":null,"reason":null,"total_s":0.031,"wake_s":0.004}'
FELL_BACK = '{"quickthaw":1,"engine":"cold","mode":null,"reason":"this CPU lacks avx512f","lost_s":0.01}'


def scan(*lines: str, end: str = "\n") -> tuple[list[Entry], Scanner]:
    scanner = Scanner()
    data = "".join(line + end for line in lines).encode()
    return list(scanner.chunks([data])), scanner


def only(*lines: str, end: str = "\n") -> Entry:
    (entry,), scanner = scan(*lines, end=end)
    assert scanner.malformed == 0
    return entry


FOUND = {
    "plain": COLD,
    "export to S3": f"2026-10-08T07:30:29.470Z {COLD}",
    "aws logs tail": f"2026-10-08T07:30:29.470000+00:00 {STREAM_A} {COLD}",
    "sam logs": f"{STREAM_A} 2026-10-08T07:30:29.470000 {COLD}",
    "aws logs filter-log-events as text": f"EVENTS\t3761\t1759908629\t{STREAM_A}\t{COLD}\t1759908629470",
    "pretty printed events": '            "message": ' + json.dumps(COLD + "\n") + ",",
    "one event a line": json.dumps({"logStreamName": STREAM_A, "timestamp": 1, "message": COLD + "\n"}),
    "console CSV": f'1759908629470,"{COLD}"',
    "behind output without a line end": f"half a sentence{COLD}",
    "event": EVENT,
    "event with a prefix": f"2026-10-08T07:30:29.470Z {EVENT}",
    "event with blanks": json.dumps(json.loads(EVENT)),
    "event in pretty printed events": '            "message": ' + json.dumps(EVENT + "\n") + ",",
    "event in one event a line": json.dumps({"logStreamName": STREAM_A, "timestamp": 1, "message": EVENT}),
    "event in console CSV": '1759908629470,"' + EVENT.replace('"', '""') + '"',
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("form", FOUND)
def test_the_record_is_found_in_every_export(form: str, end: str) -> None:
    entry = only("START RequestId: x", FOUND[form], "END RequestId: x", end=end)
    assert entry.report == REPORT
    assert entry.kind == "cold"


def test_the_trace_on_the_next_line_of_a_file_is_no_record_of_its_own() -> None:
    entries, scanner = scan(
        WARM, "XRAY TraceId: 1-5759e988-bd862e\tSegmentId: 53995c3f\tSampled: true\t", WARM
    )
    assert [entry.report.duration_ms for entry in entries] == [8.8, 8.8]
    assert scanner.malformed == 0


def test_a_log_event_keeps_its_trace() -> None:
    scanner = Scanner()
    (entry,) = scanner.event(WARM + "\nXRAY TraceId: 1-5759e988-bd862e\tSampled: true\t\n", STREAM_A)
    assert entry.report.trace_id == "1-5759e988-bd862e"


def test_two_reports_on_one_line_are_two_records() -> None:
    entries, _ = scan(WARM + COLD)
    assert [entry.kind for entry in entries] == ["warm", "cold"]


@pytest.mark.parametrize(
    "line",
    [
        "INIT_REPORT Init Duration: 9908.09 ms",
        "RESTORE_REPORT Restore Duration: 493.10 ms",
        "the QUARTERLY REPORT is ready",
        "REPORTING: Duration: 5 ms",
        '{"message": "platform.start"}',
        '{"type":"platform.start","record":{"requestId":"x"}}',
        '{"quickthaw": 2}',
        '{"level":"INFO","message":"we quickthaw things"}',
    ],
)
def test_other_lines_are_neither_records_nor_problems(line: str) -> None:
    entries, scanner = scan(line)
    assert entries == []
    assert scanner.malformed == 0


def test_broken_lines_are_counted_and_shown_with_their_number() -> None:
    broken = [f"REPORT RequestId: {ID}\tDuration: 12", EVENT[:-30], "REPORT Duration: 1.00 ms"]
    entries, scanner = scan(WARM, broken[0], WARM, broken[1], "noise", broken[2], end="\r\n")
    assert len(entries) == 2
    assert scanner.malformed == 3
    assert [problem.line for problem in scanner.problems] == [2, 4, 6]
    assert scanner.problems[0].text == broken[0]


def test_only_the_first_problems_are_kept() -> None:
    _, scanner = scan(*["REPORT Duration: 1.00 ms"] * 1000)
    assert scanner.malformed == 1000
    assert len(scanner.problems) == 20


def test_a_pretty_printed_event_says_how_to_export_it() -> None:
    _, scanner = scan("{", '    "type": "platform.report",', '    "record": {', "}")
    assert scanner.malformed == 1
    assert "one event a line" in scanner.problems[0].why


def test_a_bootstrap_line_makes_the_next_cold_start_a_thaw() -> None:
    entries, _ = scan(THAWED, "START RequestId: x", COLD, WARM, COLD)
    assert [entry.kind for entry in entries] == ["thawed", "warm", "cold"]
    boot = entries[0].boot
    assert boot is not None
    assert boot.engine == "native"
    assert boot.times == {"total_s": 0.031, "wake_s": 0.004}


def test_a_bootstrap_line_that_fell_back_leaves_a_cold_start_with_its_reason() -> None:
    entry = only(FELL_BACK, COLD)
    assert entry.kind == "cold"
    assert entry.boot is not None
    assert entry.boot.reason == "this CPU lacks avx512f"


def test_a_restore_by_the_platform_is_a_kind_of_its_own() -> None:
    assert only(WARM + "Restore Duration: 562.43 ms\tBilled Restore Duration: 118 ms").kind == "restored"


def test_interleaved_streams_do_not_take_each_others_bootstrap_lines() -> None:
    scanner = Scanner()
    events = [(THAWED, STREAM_A), (FELL_BACK, STREAM_B), (COLD, STREAM_B), (COLD, STREAM_A)]
    kinds = [entry.kind for message, stream in events for entry in scanner.event(message, stream)]
    assert kinds == ["cold", "thawed"]


def test_streams_named_in_prefixes_are_kept_apart_too() -> None:
    entries, _ = scan(
        f"2026-10-08T07:30:29 {STREAM_A} {THAWED}",
        f"2026-10-08T07:30:29 {STREAM_B} {COLD}",
        f"2026-10-08T07:30:29 {STREAM_A} {COLD}",
    )
    assert [entry.kind for entry in entries] == ["cold", "thawed"]


@pytest.mark.parametrize(
    "line",
    [
        "INIT_REPORT Init Duration: 10007.33 ms\tPhase: init\tStatus: timeout",
        '{"type":"platform.initReport","record":{"phase":"init","status":"timeout","metrics":{}}}',
    ],
)
def test_an_init_that_is_run_again_makes_a_cold_start_without_init_duration(line: str) -> None:
    entry = only(line, WARM)
    assert entry.kind == "cold"
    assert entry.init_rerun


def test_a_successful_init_report_changes_nothing() -> None:
    line = '{"type":"platform.initReport","record":{"phase":"init","status":"success"}}'
    assert only(line, WARM) == Entry(parse_text(WARM), "warm")


def test_the_function_is_known_where_the_log_says_it() -> None:
    _, scanner = scan('{"type":"platform.initStart","record":{"functionName":"risk","phase":"init"}}')
    assert scanner.functions == {"risk"}


def test_open_streams_are_forgotten_before_they_fill_the_memory() -> None:
    scanner = Scanner()
    for i in range(20_000):
        list(scanner.event(THAWED, f"2026/10/08/[1]{i:032x}"))
    assert len(scanner._open) <= 10_000


@given(cut=st.lists(st.integers(0, 600), max_size=8), end=st.sampled_from(["\n", "\r\n"]))
def test_it_does_not_matter_where_the_pieces_of_a_log_end(cut: list[int], end: str) -> None:
    lines = [THAWED, COLD, "REPORT RequestId: torn\tDuration: 1", EVENT, WARM]
    data = end.join(lines).encode()
    edges = [0, *sorted(min(at, len(data)) for at in cut), len(data)]
    scanner = Scanner()
    entries = list(scanner.chunks(data[a:b] for a, b in zip(edges, edges[1:], strict=False)))
    assert [entry.kind for entry in entries] == ["thawed", "cold", "warm"]
    assert scanner.lines == 5
    assert [problem.line for problem in scanner.problems] == [3]


numbers = st.integers(0, 10**8).map(lambda n: f"{n // 100}.{n % 100:02d}")


@given(duration=numbers, billed=st.integers(0, 10**6), init=st.none() | numbers, late=st.booleans())
def test_the_fast_way_and_the_long_way_read_the_same(
    duration: str, billed: int, init: str | None, late: bool
) -> None:
    start = f"\tInit Duration: {init} ms" if init else ""
    text = (
        f"REPORT RequestId: {ID}{'' if late else start}\tDuration: {duration} ms\t"
        f"Billed Duration: {billed} ms\tMemory Size: 512 MB\tMax Memory Used: 91 MB{start if late else ''}\t"
    )
    metrics = {
        "durationMs": float(duration),
        "billedDurationMs": billed,
        "memorySizeMB": 512,
        "maxMemoryUsedMB": 91,
    }
    if init:
        metrics["initDurationMs"] = float(init)
    event = {"time": "now", "type": "platform.report", "record": {"requestId": ID, "metrics": metrics}}
    scanner = Scanner()
    long_way = [*scanner.event(text, STREAM_A), *scanner.event(json.dumps(event), STREAM_A)]
    assert [*scan(text)[0], *scan(json.dumps(event, separators=(",", ":")))[0]] == long_way
    assert long_way[0].report == long_way[1].report


@given(st.binary(max_size=300))
def test_no_bytes_at_all_break_the_scanner(noise: bytes) -> None:
    scanner = Scanner()
    data = (
        noise
        + b"\n"
        + COLD.encode()
        + b"\nREPORT RequestId: "
        + noise
        + b'\n{"type":"platform.report"'
        + noise
    )
    list(scanner.chunks([data]))
