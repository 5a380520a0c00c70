"""Draw a bench: every run of every arm, and what was saved of the bill.

Two pictures, each as PNG and SVG.  ``first-response``: a dot per run and a
tick at the median on a logarithmic axis, because cold starts and thaws lie
two orders of magnitude apart.  ``billed``: what remains of the bill, in
percent of what it was before, on a linear axis from zero, because these are
lengths to compare; the seed's own figure stands beside ours.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quickthaw.bench.gains import gains, times_faster
from quickthaw.bench.record import ArmResult, Bench
from quickthaw.bench.table import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"cold": "#6b7280", "criu": "#2563eb", "native": "#d9480f", "seed": "#9ca3af"}
INK, FAINT = "#1f2937", "#e5e7eb"
_DPI = 160
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "quickthaw",  # the same figures give the same file
    "svg.fonttype": "none",
}


def draw(bench: Bench, directory: Path) -> tuple[Path, ...]:
    """Write the pictures into ``directory`` and return their paths; none where nothing was measured."""
    measured = [arm for arm in bench.arms if arm.values("first_response_s")]
    if not measured:
        return ()
    with picture():
        written = [
            *save(_first_response(bench, measured), directory / "first-response"),
            *save(_billed(bench), directory / "billed"),
        ]
    return tuple(written)


@contextmanager
def picture() -> Iterator[Any]:
    """Matplotlib's pyplot in our style."""
    pyplot = _pyplot()
    with pyplot.rc_context(_STYLE):
        yield pyplot


def _pyplot() -> Any:
    """Matplotlib; deferred, because every command would wait 0.7 s for its import."""
    import matplotlib

    matplotlib.use("Agg")  # before pyplot: no display is needed or asked for
    from matplotlib import pyplot

    return pyplot


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as PNG and SVG, the same bytes for the same figures."""
    paths = [stem.with_suffix(".png"), stem.with_suffix(".svg")]
    figure.savefig(paths[0], dpi=_DPI)
    figure.savefig(paths[1], metadata={"Date": None})
    _pyplot().close(figure)
    return paths


def _first_response(bench: Bench, measured: list[ArmResult]) -> Figure:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # deferred: see _pyplot

    figure: Figure
    figure, axes = _pyplot().subplots(figsize=(8.4, 1.5 + 0.46 * len(measured)), layout="constrained")
    chance = random.Random(1)
    for row, arm in enumerate(measured):
        values = [seconds * 1000 for seconds in arm.values("first_response_s")]
        colour = COLOURS[arm.name.partition("-")[0]]
        jitter = [row + chance.uniform(-0.2, 0.2) for _ in values]
        axes.scatter(values, jitter, s=20, color=colour, alpha=0.45, linewidths=0, zorder=3)
        median = (arm.median("first_response_s") or 0) * 1000
        axes.plot(
            [median, median],
            [row - 0.34, row + 0.34],
            color=colour,
            linewidth=2.6,
            zorder=4,
            solid_capstyle="butt",
        )
        axes.annotate(
            _label(bench, arm.name, median),
            (max(values), row), xytext=(9, 0), textcoords="offset points", va="center", fontsize=9.5,
        )  # fmt: skip
    everything = [seconds * 1000 for arm in measured for seconds in arm.values("first_response_s")]
    axes.set_xscale("log")
    axes.set_xlim(min(everything) / 1.35, max(everything) * 2.6)  # room for the slowest arm's label
    axes.set_yticks(range(len(measured)), [arm.name for arm in measured])
    axes.set_ylim(len(measured) - 0.4, -0.6)
    axes.set_xlabel("time from the exec of the runtime to the first response, ms (logarithmic)")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    _title(axes, "First response: every run, tick at the median", _subtitle(bench))
    clean(axes, grid="x")
    return figure


def _label(bench: Bench, name: str, median: float) -> str:
    text = f"{median:,.0f} ms" if median >= 99.5 else f"{median:.1f} ms"
    faster = times_faster(bench, name)
    return text if name == "cold" or faster is None else f"{text}  ({faster:.1f}× faster)"


def _billed(bench: Bench) -> Figure:
    shown = gains(bench)
    figure: Figure
    figure, axes = _pyplot().subplots(figsize=(8.4, 1.5 + 0.52 * len(shown)), layout="constrained")
    for row, gain in enumerate(shown):
        kind = "seed" if gain.theirs else gain.label.rpartition(" ")[2].partition("-")[0]
        left = 100 * (1 - gain.won)
        axes.barh(row, 100, height=0.6, color=FAINT, zorder=2)
        axes.barh(row, left, height=0.6, color=COLOURS[kind], zorder=3)
        axes.annotate(
            f"{gain.before_ms:,.0f} → {gain.after_ms:,.0f} ms,  {percent(gain.won)} saved",
            (max(100.0, left), row), xytext=(8, 0), textcoords="offset points", va="center", fontsize=9.5,
        )  # fmt: skip
    axes.set_yticks(range(len(shown)), [gain.label for gain in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 165)
    axes.set_xticks(range(0, 101, 20), [f"{share} %" for share in range(0, 101, 20)])
    axes.set_xlabel("billed duration after the change, in percent of before", loc="left")
    _title(axes, "What is left of the bill", _subtitle(bench))
    clean(axes, grid=None)
    axes.spines["bottom"].set_bounds(0, 100)
    return figure


def _title(axes: Axes, title: str, subtitle: str) -> None:
    axes.set_title(title, loc="left", fontsize=12.5, fontweight="bold", pad=24)
    axes.annotate(
        subtitle,
        (0, 1),
        xytext=(0, 8),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=8.5,
        color="#6b7280",
    )


def _subtitle(bench: Bench) -> str:
    pages = sum(one["content_size"] for one in bench.workload["pages"].values()) / 1e6
    workload, machine = bench.workload, bench.machine
    return (
        f"{workload['handler']}, {pages:.0f} MB of pages; medians of {workload['runs']} runs, "
        f"page cache {workload['disk']}; {machine['cpus']} CPUs, {str(machine['date'])[:10]}"
    )


def clean(axes: Axes, *, grid: str | None = None) -> None:
    """Take away what carries no figure."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(which="both", length=0)
    if grid == "x":
        axes.grid(axis="x", which="major", color=FAINT, linewidth=0.8, zorder=0)
