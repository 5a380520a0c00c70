"""Reasons to trust the figures less, each with its remedy.

They are part of the result: written into bench.json and printed below the
table, so that a figure does not travel without them.
"""

from __future__ import annotations

from collections.abc import Iterable

from quickthaw.bench.record import ArmResult, Doubt

ENOUGH_RUNS = 7
WIDE = 0.20  # quartile distance over median of first responses, above which medians wander between benches
BUSY = 0.10  # share of the machine that others used
STOLEN = 0.01  # share of the machine that the hypervisor gave away during the bench
OUTLIER = 2.0  # times the median


def doubts(arms: Iterable[ArmResult], *, cpus: int, others: float, stolen: float) -> tuple[Doubt, ...]:
    """Return what a careful reader would ask about.

    Args:
        arms: all arms, skipped ones too.
        cpus: CPUs that this process may use.
        others: the share (0 to 1) of the machine that others used between the runs.
        stolen: the share (0 to 1) stolen by the hypervisor during the bench.
    """
    arms = tuple(arms)
    found = [*_of_machine(cpus, others, stolen), *_of_runs(arms)]
    for reason in dict.fromkeys(arm.skipped for arm in arms if arm.skipped):
        names = ", ".join(arm.name for arm in arms if arm.skipped == reason)
        found.append(Doubt(what=f"not measured: {names}", remedy=reason))
    for arm in arms:
        if arm.problem:
            bad = sum(not run.ok for run in arm.runs)
            found.append(
                Doubt(
                    what=f"{arm.name}: {bad} of {len(arm.runs)} runs do not count: {arm.problem}",
                    remedy="`quickthaw invoke` shows the log of such a run",
                )
            )
    return tuple(found)


def _of_machine(cpus: int, others: float, stolen: float) -> list[Doubt]:
    found = []
    if cpus < 2:
        found.append(
            Doubt(
                what="one CPU: nothing can be decompressed beside the restore", remedy="use two CPUs or more"
            )
        )
    if others > BUSY:
        found.append(
            Doubt(
                what=f"something else used {others:.0%} of this machine",
                remedy="stop what else runs and repeat",
            )
        )
    if stolen > STOLEN:
        found.append(
            Doubt(what=f"the hypervisor took {stolen:.1%} of the CPU time", remedy="repeat on a quieter host")
        )
    return found


def _of_runs(arms: tuple[ArmResult, ...]) -> list[Doubt]:
    found = []
    measured = [arm for arm in arms if arm.values("first_response_s")]
    fewest = min((len(arm.values("first_response_s")) for arm in measured), default=0)
    if measured and fewest < ENOUGH_RUNS:
        found.append(
            Doubt(
                what=f"{fewest} runs of an arm are few for a median",
                remedy=f"use -n {ENOUGH_RUNS} or more (make bench)",
            )
        )
    wide, far = [], []
    for arm in measured:
        median, spread = arm.median("first_response_s"), arm.spread("first_response_s")
        if median and spread and spread / median > WIDE:
            wide.append(f"{arm.name} ({spread / median:.0%})")
        if median and max(arm.values("first_response_s")) > OUTLIER * median:
            far.append(arm.name)
    if wide:
        found.append(
            Doubt(
                what=f"half of the runs lie more than {WIDE:.0%} of the median apart: {', '.join(wide)}",
                remedy="repeat with more runs on a quieter machine",
            )
        )
    if far:
        found.append(
            Doubt(
                what=f"single runs took over twice the median: {', '.join(far)}",
                remedy="look at the raw samples",
            )
        )
    return found
