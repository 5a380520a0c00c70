"""Draws what `growth` found: time and resident memory over the size of the snapshot, both from zero."""

from __future__ import annotations

from pathlib import Path

from quickthaw.bench.growth import ARMS, Growth
from quickthaw.bench.plot import FAINT, INK, clean, picture, save

_COLOURS = {"native-lz4": "#2563eb", "native-lazy": "#6b7280", "native-hot": "#d9480f"}
_PANELS = (
    ("first_response_s", 1000.0, "first response, ms"),
    ("max_rss_mb", 1.0, "resident memory at most, MiB"),
)


def draw(growth: Growth, directory: Path) -> tuple[Path, ...]:
    """Write growth.png and growth.svg; nothing where nothing was measured."""
    if not growth.points:
        return ()
    with picture() as pyplot:
        figure, panels = pyplot.subplots(1, len(_PANELS), figsize=(9.6, 4.2), layout="constrained")
        for axes, (key, unit, title) in zip(panels, _PANELS, strict=True):
            axes.set_title(title, loc="left", fontsize=10, color=INK)
            axes.set_xlabel("pages in the snapshot, MB", loc="left")
            for arm in ARMS:
                for point in growth.points:
                    runs = next((one.values(key) for one in point.arms if one.name == arm), [])
                    axes.plot(
                        [point.pages_mb] * len(runs), [value * unit for value in runs], ".",
                        color=_COLOURS[arm], alpha=0.35, markersize=4,
                    )  # fmt: skip
                line = [
                    (point.pages_mb, value * unit)
                    for point in growth.points
                    if (value := point.median(arm, key)) is not None
                ]
                axes.plot(*zip(*line, strict=True), color=_COLOURS[arm], linewidth=1.6)
                axes.annotate(
                    arm.removeprefix("native-"), line[-1], xytext=(6, 0), textcoords="offset points",
                    va="center", color=_COLOURS[arm],
                )  # fmt: skip
            axes.set_ylim(bottom=0)
            axes.set_xlim(left=0)
            axes.grid(color=FAINT, linewidth=0.8)
            clean(axes)
        figure.suptitle(
            f"Medians of {growth.runs} runs, page cache {growth.disk}; {growth.machine['cpus']} CPUs, "
            f"{str(growth.machine['date'])[:10]}",
            x=0.01, ha="left", fontsize=8.5, color="#6b7280",
        )  # fmt: skip
        return tuple(save(figure, directory / "growth"))
