"""Show a bench: the table of arms, what was won, the doubts, and the summary in words.

Rendering only: every figure comes from `record` and `gains`.  What was not
measured is a dash.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from quickthaw.bench import arms, seed
from quickthaw.bench.crowd import CrowdResult
from quickthaw.bench.gains import Gain, fastest, gains, times_faster
from quickthaw.bench.machine import sandbox_tmp
from quickthaw.bench.record import ArmResult, Bench

DASH = "–"
WIDE = 116  # columns of a terminal that has room for what each arm does


def arms_table(bench: Bench, *, wide: bool = True) -> Table:
    """Return one row per arm: time to the first response, its parts, and how often faster than cold.

    Args:
        wide: say also what each arm does, or why it did not.
    """
    table = Table(
        title="First response, ms from the exec of the runtime",
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 2 if wide else 1, 0, 0),
    )
    table.add_column("arm", no_wrap=True)
    for column in ("median", "spread", "p95", "init", "billed", "vs cold", "read MB", "peak MB", "runs"):
        table.add_column(column, justify="right", no_wrap=True)
    if wide:
        table.add_column("", overflow="fold", style="dim")
    best = fastest(bench)
    for arm in bench.arms:
        cells = _row(bench, arm)
        table.add_row(*(cells if wide else cells[:-1]), style="bold" if arm.name == best else "")
    return table


def _row(bench: Bench, arm: ArmResult) -> list[str]:
    if arm.skipped:
        return [arm.name, *[DASH] * 9, escape(arm.skipped)]
    counted = sum(run.ok for run in arm.runs)
    failed = len(arm.runs) - counted
    faster = times_faster(bench, arm.name) if arm.name != arms.COLD.name else None
    read = arm.median("bytes_read")
    return [
        arm.name,
        *(
            _milliseconds(figure)
            for figure in (
                arm.median("first_response_s"),
                arm.spread("first_response_s"),
                arm.p95("first_response_s"),
                arm.median("init_s"),
            )
        ),
        _number(arm.median("billed_ms"), "{:,.0f}"),
        _number(faster, "{:.1f} ×"),
        _number(read if read is None else read / 1e6, "{:.1f}"),
        _number(arm.median("max_rss_mb"), "{:.0f}"),
        f"{counted}" + (f" [red]+{failed} bad[/]" if failed else ""),
        f"[red]{escape(arm.problem or '')}[/]" if failed else _what(arm.name),
    ]


def crowd_table(results: Sequence[CrowdResult]) -> Table:
    """Return one row per arm: how many thaws failed, how long they took, what an environment's memory is."""
    at_once = max((result.at_once for result in results), default=0)
    table = Table(
        title=f"{at_once} environments at once: first response in ms, memory of one environment in MiB",
        title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0),
    )  # fmt: skip
    table.add_column("arm", no_wrap=True)
    for column in ("thaws", "failed", "median", "p95", "RSS", "PSS alone", "PSS of all", "own", "s"):
        table.add_column(column, justify="right", no_wrap=True)
    for result in results:
        times = sorted(result.first_response_s)
        alone, together = result.alone, result.together
        table.add_row(
            result.arm,
            f"{result.thaws:,}",
            f"[red]{len(result.problems)}[/]" if result.problems else "0",
            _milliseconds(statistics.median(times) if times else None),
            _milliseconds(times[int(len(times) * 0.95)] if times else None),
            _number(alone.rss_mb if alone else None, "{:.1f}"),
            _number(alone.pss_mb if alone else None, "{:.1f}"),
            _number(together.pss_mb if together else None, "{:.1f}"),
            _number(together.anonymous_mb if together else None, "{:.1f}"),
            f"{result.took_s:.0f}",
        )
    return table


def _what(name: str) -> str:
    return next((arm.what for arm in arms.ARMS if arm.name == name), "")


def gains_table(bench: Bench) -> Table:
    """Return the billed durations before and after, ours beside the seed's."""
    table = Table(title="Billed duration", title_justify="left", box=None, pad_edge=False)
    table.add_column("change", no_wrap=True)
    for column in ("before", "after", "saved"):
        table.add_column(column, justify="right", no_wrap=True)
    for gain in gains(bench):
        table.add_row(*_gain_row(gain), style="italic" if gain.theirs else "")
    return table


def _gain_row(gain: Gain) -> list[str]:
    return [gain.label, f"{gain.before_ms:.1f} ms", f"{gain.after_ms:.1f} ms", percent(gain.won)]


def footnotes(bench: Bench) -> list[str]:
    """Return what has to be known to read the table, one sentence each."""
    workload, machine = bench.workload, bench.machine
    order = "interleaved runs" if workload["interleaved"] else "runs in a row"
    notes = [
        f"{machine['cpus']} CPUs ({machine['cpu']}), kernel {machine['kernel']}, "
        f"Python {workload['python']}, CRIU {workload['criu']}; page cache {workload['disk']}; "
        f"medians of {workload['runs']} {order}.",
        "spread: distance between the quartiles; init: to the first GET next; read: from the disk.",
    ]
    if workload["sandbox"] == "lambda":
        notes.append(
            f"Sandbox as on Lambda (uid 993, no capability, no_new_privs, seccomp, /tmp on "
            f"{sandbox_tmp(machine)}); the criu arms have "
            "CAP_CHECKPOINT_RESTORE and no filter on top, without which CRIU cannot restore."
        )
    else:
        notes.append("No sandbox: plain processes of the caller's user.")
    return notes


def report(bench: Bench, *, wide: bool = True) -> RenderableType:
    """Return everything that a bench prints at its end, but the summary."""
    parts: list[RenderableType] = [arms_table(bench, wide=wide), Text()]
    parts += [Text(note, style="dim") for note in footnotes(bench)]
    parts += [Text(), gains_table(bench)]
    if bench.doubts:
        parts += [Text(), Text("Doubts", style="bold yellow")]
        parts += [Text(f"  {doubt.what} – {doubt.remedy}") for doubt in bench.doubts]
    return Group(*parts)


def summary(bench: Bench) -> list[str]:
    """Return what was won, in at most two sentences; without a cold start, how many thaws worked."""
    best = fastest(bench)
    if best is None:
        return []
    faster = times_faster(bench, best)
    if faster is None:
        runs = [run for arm in bench.arms for run in arm.runs]
        good = sum(run.ok for run in runs)
        return [f"{good} of {len(runs)} thaws answered as a cold start answers."]
    cold, thaw = bench.median("cold", "first_response_s"), bench.median(best, "first_response_s")
    before, after = bench.median("cold", "billed_ms"), bench.median(best, "billed_ms")
    lines = [
        f"{best} answers after {milliseconds(thaw)} where a cold start takes {milliseconds(cold)}: "
        f"{faster:.1f} times faster."
    ]
    if before and after:
        won = Gain(label="", before_ms=before, after_ms=after).won
        lines.append(
            f"Billed per start: {before:,.0f} ms before, {after:.0f} ms now, {percent(won)} saved; "
            f"{seed.SOURCE} saved {percent(seed.GAIN)} ({seed.OLD_MEAN_MS:.1f} to {seed.NEW_MEAN_MS:.1f} ms)."
        )
    return lines


def show(bench: Bench, console: Console) -> None:
    """Print the whole result, the summary last."""
    console.print(report(bench, wide=console.width >= WIDE))
    console.print()
    for line in summary(bench):
        console.print(
            f"\n[bold green]{escape(line)}[/]" if line.startswith("Billed") is False else escape(line)
        )


def milliseconds(seconds: float | None) -> str:
    """Return seconds as milliseconds with their unit, a dash for None; tenths below 100 ms."""
    return DASH if seconds is None else f"{_milliseconds(seconds)} ms"


def _milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return DASH
    return f"{seconds * 1000:.1f}" if seconds < 0.0995 else f"{seconds * 1000:,.0f}"


def percent(share: float) -> str:
    """Return a share (0 to 1) as percent with one decimal."""
    return f"{share * 100:.1f} %"


def _number(value: float | None, form: str) -> str:
    return DASH if value is None else form.format(value)
