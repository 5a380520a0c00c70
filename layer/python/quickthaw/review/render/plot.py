"""The two distributions as a picture, PNG or SVG by the file's ending, with matplotlib.

Above, the empirical distribution functions: where the curves are apart, by how
many ms, for which share of starts.  Below, every start as a mark (or its
density where there are too many), the median and the middle half.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UsageError
from ..compare import Comparison
from ..tally import Tally
from .wording import compared, sides, verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"old": "#8c8c8c", "new": "#0b7285"}
_MARKS = 500  # starts drawn one by one


def plot(result: Comparison, path: Path) -> None:
    """Writes the picture.

    Raises:
        UsageError: an ending that is neither .png nor .svg, or nothing to draw.
    """
    if path.suffix.lower() not in (".png", ".svg"):
        raise UsageError(f"cannot plot to {path}", hint="Name a file that ends in .png or .svg.")
    if not result.billed_ms:
        raise UsageError(
            "nothing to plot: a side has no billed duration", hint="See the doubts of the table."
        )
    # matplotlib takes half a second to import and needs no display with this backend
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(8, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.4))
    for row, (side, group) in enumerate(sides(result)):
        tally = group.distribution
        label = f"{side}: {compared(group)}, n = {tally.n:,}"
        _steps(top, tally, COLOURS[side], label)
        _strip(bottom, tally, -row, COLOURS[side])
    low, high = _range(result)
    if high / max(low, 1) > 20:
        top.set_xscale("log")
        top.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        top.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        top.xaxis.set_minor_formatter(NullFormatter())
        top.set_xlim(max(low, 1) / 1.15, high * 1.15)
    else:
        margin = (high - low) * 0.04 or 1
        top.set_xlim(low - margin, high + margin)
    top.set_ylabel("share of starts")
    top.set_ylim(0, 1.02)
    top.grid(alpha=0.3, linewidth=0.6)
    figure.suptitle(verdict(result), fontsize=10, x=0.01, ha="left")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    bottom.set_yticks([0, -1], ["old", "new"])
    bottom.set_ylim(-1.6, 0.5)
    bottom.set_xlabel("billed duration, ms")
    bottom.grid(axis="x", alpha=0.3, linewidth=0.6)
    for axes in (top, bottom):
        axes.spines[["top", "right"]].set_visible(False)
    try:
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error}", hint="Check the directory.") from error


def _steps(axes: Axes, tally: Tally, colour: str, label: str) -> None:
    values, cumulative = tally.ordered()
    # the last corner lies beyond every axis, so that the curve stays at 1 up to the edge
    xs = [values[0], *values, 1e9]
    ys = [0.0, *[count / tally.n for count in cumulative], 1.0]
    axes.step(xs, ys, where="post", color=colour, linewidth=1.8, label=label)
    axes.axvline(tally.quantile(0.5), color=colour, linewidth=0.9, linestyle=":")


def _strip(axes: Axes, tally: Tally, y: float, colour: str) -> None:
    counts = tally.counts()
    most = max(count for _, count in counts)
    xs, ys, sizes = [], [], []
    for value, count in counts if len(counts) <= _MARKS else _binned(counts):
        shown = min(count, 7)  # a value that occurred often is stacked, up to a point
        for i in range(shown if most <= 7 else 1):
            xs.append(value)
            ys.append(y - 0.36 + i * 0.055)
            sizes.append(14 if most <= 7 else 6 + 60 * count / most)
    axes.scatter(xs, ys, s=sizes, color=colour, alpha=0.55, linewidths=0)
    axes.plot(
        [tally.quantile(0.25), tally.quantile(0.75)], [y + 0.12] * 2, color=colour, linewidth=7, alpha=0.5
    )
    axes.plot([tally.quantile(0.5)], [y + 0.12], marker="|", color=colour, markersize=16, markeredgewidth=2.5)


def _binned(counts: list[tuple[float, int]]) -> list[tuple[float, int]]:
    low, high = counts[0][0], counts[-1][0]
    width = (high - low) / _MARKS
    bins = [0] * (_MARKS + 1)
    for value, count in counts:
        bins[int((value - low) / width)] += count
    return [(low + (i + 0.5) * width, count) for i, count in enumerate(bins) if count]


def _range(result: Comparison) -> tuple[float, float]:
    tallies = [result.old.distribution, result.new.distribution]
    return min(t.minimum for t in tallies), max(t.maximum for t in tallies)
