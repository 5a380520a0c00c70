"""The README's figures, written from the bench files that lie in the repository.

`make bench`, `make growth` and `make sam` measure, copy their records and pictures
beside the demo, and call this module, which replaces the part of the README between
the two marks.  Nobody types a figure by hand; a test says that the README
holds what this module makes of the files.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from quickthaw.bench import demo, growth, record, table
from quickthaw.bench.costs import record as costs
from quickthaw.bench.costs.record import Costs
from quickthaw.bench.gains import gains, times_faster
from quickthaw.bench.machine import sandbox_tmp
from quickthaw.bench.record import Bench
from quickthaw.errors import UsageError
from quickthaw.publish.limits import UNZIPPED_BYTES, megabytes

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
WARM, SLOW = "warm", "slow"  # directories below handler/demo/bench; the Makefile says how each is measured
PLACE = "handler/demo/bench"
SIZES = "sizes.json"  # of `quickthaw.publish.built`
_CHECKED = ("criu-plain", "criu-grow")  # with one who does nothing else meanwhile, and with one who does
_OURS, _SNAPSHOTS = "QuickthawLayer", "SnapshotLayer"  # template.yaml
_PICTURE, _GROWTH_PICTURE = "first-response.png", "growth.png"


def main() -> None:
    """Write the README's figures anew; says on standard output from what."""
    put_into(demo.root() / "README.md", text(demo.root()))
    sys.stdout.write(f"README.md: figures of {PLACE}\n")


def text(root: Path) -> str:
    """The figures as Markdown.

    Args:
        root: of the repository; the published records lie below its PLACE.

    Raises:
        UsageError: there is no bench of the warm page cache.
    """
    place = root / PLACE
    warm = record.load(place / WARM / record.FILE)
    parts = [
        _heading(warm),
        _arms(warm),
        *_doubts(warm),
        f"![each run of each arm]({PLACE}/{WARM}/{_PICTURE})",
        _gains(warm),
    ]
    parts += ["Where the native engine's time goes, medians:", _phases(warm), *_checks(warm)]
    if (place / SLOW / record.FILE).exists():
        slow = record.load(place / SLOW / record.FILE)
        parts += [
            f"The same, page cache cold, files read at {slow.workload['disk']}, {_runs(slow)}:",
            _arms(slow),
            *_doubts(slow),
        ]
    if (place / growth.FILE).exists():
        parts += [_growth(json.loads((place / growth.FILE).read_text()))]
        parts += [f"![time and memory by size]({PLACE}/{_GROWTH_PICTURE})"]
    if (place / costs.FILE).exists():
        found = costs.load(place / costs.FILE)
        parts += [_costs(found), *_doubts(found)]
    if (place / SIZES).exists():
        parts += [_sizes(json.loads((place / SIZES).read_text()))]
    return "\n\n".join(parts)


def put_into(readme: Path, figures: str) -> None:
    """Replace what stands between the marks.

    Raises:
        UsageError: the README has no such marks.
    """
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UsageError(f"{readme} has no place for figures", hint=f"write {BEGIN} and {END} into it")
    readme.write_text(f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}", encoding="utf-8")


def _heading(bench: Bench) -> str:
    machine, workload = bench.machine, bench.workload
    pages = sum(part["content_size"] for part in workload["pages"].values()) / 1e6
    return (
        f"Local figures, not Lambda's: a pandas, SciPy and boto3 function with {pages:.0f} MB of pages, in "
        f"the sandbox without privileges (the criu arms with `CAP_CHECKPOINT_RESTORE`; "
        f"/tmp on {sandbox_tmp(machine)}), page cache warm; "
        f"{machine['cpus']} CPUs ({machine['cpu']}), kernel {machine['kernel']}, "
        f"Python {workload['python']}, {str(machine['date'])[:10]}, {_runs(bench)}. "
        "Times run from the exec of the runtime to the first correct response, to an event that nothing "
        "was learned from."
    )


def _runs(bench: Bench) -> str:
    return f"medians of {bench.workload['runs']} interleaved runs"


def _arms(bench: Bench) -> str:
    reads = bench.workload["disk"] != WARM  # else nothing is read, in no arm
    heads = ["start", "first response", "quartile distance", "than cold", "billed", "peak memory"]
    heads += ["read"] if reads else []
    lines = [f"| {' | '.join(heads)} |", f"|---{'|--:' * (len(heads) - 1)}|"]
    for arm in bench.arms:
        if arm.skipped:
            continue
        faster = times_faster(bench, arm.name) if arm.name != "cold" else None
        read, peak, billed = (arm.median(key) for key in ("bytes_read", "max_rss_mb", "billed_ms"))
        cells = [
            f"`{arm.name}`",
            table.milliseconds(arm.median("first_response_s")),
            table.milliseconds(arm.spread("first_response_s")),
            table.DASH if faster is None else f"{faster:.1f} × faster",
            table.DASH if billed is None else f"{billed:,.0f} ms",
            table.DASH if peak is None else f"{peak:.0f} MB",
        ]
        if reads:
            cells.append(table.DASH if read is None else f"{read / 1e6:.1f} MB")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _doubts(found: Bench | Costs) -> list[str]:
    """What speaks against the figures, where something does."""
    return [f"Doubts: {'; '.join(doubt.what for doubt in found.doubts)}."] if found.doubts else []


_PHASES = (
    ("check_s", "checks"),
    ("map_s", "mapping"),
    ("decompress_s", "filling"),
    ("wake_s", "wake"),
)


def _phases(bench: Bench) -> str:
    """The parts of the first response; what the log line does not time is the rest of init."""
    heads = ["", *(words for _, words in _PHASES), "exec, descriptors, runtime client", "request over HTTP"]
    lines = [f"| {' | '.join(heads)} |", f"|---{'|--:' * (len(heads) - 1)}|"]
    for arm in bench.arms:
        if not arm.name.startswith("native") or not arm.runs:
            continue
        parts = [arm.detail(key) or 0.0 for key, _ in _PHASES]
        init, first = arm.median("init_s") or 0.0, arm.median("first_response_s") or 0.0
        cells = [table.milliseconds(part) for part in (*parts, init - sum(parts), first - init)]
        lines.append(f"| `{arm.name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _gains(bench: Bench) -> str:
    lines = ["| change | billed before | billed after | saved |", "|---|--:|--:|--:|"]
    lines += [
        f"| {gain.label} | {gain.before_ms:,.1f} ms | {gain.after_ms:,.1f} ms | {table.percent(gain.won)} |"
        for gain in gains(bench)
    ]
    return "\n".join(lines)


def _growth(found: dict[str, Any]) -> str:
    lines = [
        f"A function that holds more and more memory, page cache {found['disk']}, medians of {found['runs']} "
        f"interleaved runs, {str(found['machine']['date'])[:10]}: first response, and peak memory.",
        "",
        f"| pages | {' | '.join(f'`{arm}`' for arm in growth.ARMS)} |",
        f"|--:|{'--:|' * len(growth.ARMS)}",
    ]
    for point in found["points"]:
        cells = []
        for arm in growth.ARMS:
            median = point["arms"][arm]["median"]
            cells.append(f"{table.milliseconds(median['first_response_s'])}, {median['max_rss_mb']:.0f} MB")
        lines.append(f"| {point['pages_mb']:.0f} MB | {' | '.join(cells)} |")
    return "\n".join(lines)


def _checks(bench: Bench) -> list[str]:
    """What the table of phases cannot say: checks beside something else, and those of CRIU's arms."""
    compared = _by_arm(bench, "compare_s", lambda name: name.startswith("native"))
    checked = _by_arm(bench, "check_s", lambda name: name in _CHECKED)
    sentences = []
    if compared:
        sentences.append(
            f"Beside the mapping, every mapped file and your own sources are compared: {compared}."
        )
    if checked:
        sentences.append(
            f"The criu engine checks and compares in {checked}; in mode `grow` CRIU restores and "
            "pages are decoded meanwhile."
        )
    return [" ".join(sentences)] if sentences else []


def _by_arm(bench: Bench, key: str, wanted: Callable[[str], bool]) -> str:
    """The wanted arms' medians in words; empty where none has any."""
    times = {arm.name: arm.detail(key) for arm in bench.arms if wanted(arm.name)}
    return ", ".join(
        f"{table.milliseconds(time)} (`{name}`)" for name, time in times.items() if time is not None
    )


def _costs(found: Costs) -> str:
    """Costs besides the thaws."""
    work = found.workload
    line = (
        f"{work['fetched_bytes'] / 1e6:.1f} MB of pages, {work['round_trip_s'] * 1000:.0f} ms away, at most "
        f"{work['connection_bytes_per_s'] / 1e6:.0f} MB/s for each connection and "
        f"{work['bytes_per_s'] / 1e6:.0f} MB/s for all, which is "
        f"{table.milliseconds(work['fetched_bytes'] / work['bytes_per_s'])} of it; without TLS"
    )
    rows = [
        (
            "`verify`, without secrets",
            f"all checksums of {work['snapshot_bytes'] / 1e6:.0f} MB (uncompressed pages among them), "
            "all pages decoded, processor, every mapped file",
            costs.VERIFY,
        ),
        ("`checkpoint`, `verify`, `publish`", "secrets, in every page and file", costs.SECRETS),
        ("a start without a snapshot", "the wrapper, where CRIU is not permitted", costs.DECLINED),
        ("", "the wrapper and its bootstrap, where CRIU is permitted", costs.DECLINED_BY_BOTH),
        ("init, snapshot from a bucket", line, costs.FETCHED),
        ("init, the same in a layer", "layout `lz4`", costs.LAYER),
        ("init, cold", "", costs.COLD),
    ]
    lines = [
        "### What else it costs",
        "",
        f"Local figures, too, {str(found.machine['date'])[:10]}, medians of {work['runs']} runs "
        f"({len(found.samples[costs.VERIFY])} of the first two):",
        "",
        "| when | what | median | quartile distance |",
        "|---|---|--:|--:|",
    ]
    for when, what, samples in rows:
        figures = (found.median(samples), found.spread(samples))
        lines.append(f"| {when} | {what} | {' | '.join(map(_seconds, figures))} |")
    return "\n".join(lines)


def _seconds(seconds: float | None) -> str:
    return f"{seconds:.1f} s" if seconds is not None and seconds >= 1 else table.milliseconds(seconds)


def _sizes(loads: Sequence[Mapping[str, Any]]) -> str:
    """What SAM builds of the functions that are thawed, against Lambda's limits."""
    lines = [
        "### Sizes",
        "",
        "What `make sam` builds of the demo (layout `lz4`), unzipped, and zipped. 1 MB is 1,048,576 bytes",
        "here, as in Lambda's limits:",
        "",
        f"| function | its code | quickthaw | snapshot | of {megabytes(UNZIPPED_BYTES)} unzipped |",
        "|---|--:|--:|--:|--:|",
    ]
    for load in loads:
        parts = {part["name"]: part for part in load["parts"]}
        if _SNAPSHOTS in parts:
            code, _, build = str(load["function"]).partition(" ")
            cells = [
                f"{megabytes(parts[name]['unzipped'])}, {megabytes(parts[name]['zipped'])}"
                for name in (code, _OURS, _SNAPSHOTS)
            ]
            share = load["unzipped"] / load["unzipped_limit"]
            lines.append(f"| {code} {build} | {' | '.join(cells)} | {share:.0%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
