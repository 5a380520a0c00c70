"""What weakens a comparison, and what to do about it.

Place in the flow: the last step of `compare`.  Each doubt has a stable `kind`
for programs, a sentence for people, and a remedy that can be carried out.
None of them changes a figure.
"""

from __future__ import annotations

from .compare import STARTS, Comparison, Doubt, Group
from .ledger import Account, Ledger

ENOUGH = 30  # starts per side; below that the percentile bootstrap is too sure of itself
_NOISY = 0.25  # standard deviation over mean
_LONG_TAIL = 5.0  # maximum over median


def doubts(
    result: Comparison, *, old: Account, new: Account, all_old: Ledger, all_new: Ledger
) -> tuple[Doubt, ...]:
    """Looks for every known weakness.

    Args:
        result: the comparison without its doubts.
        old, new: what was compared.
        all_old, all_new: the whole logs.
    """
    found: list[Doubt] = []
    sides = (("old", result.old, old, all_old), ("new", result.new, new, all_new))
    for side, group, account, ledger in sides:
        found += _of_one(side, group, account, ledger)
    found += _of_both(result, old, new)
    return tuple(found)


def _of_one(side: str, group: Group, account: Account, ledger: Ledger) -> list[Doubt]:
    found = []
    n = account.billed.n
    if n == 0:
        found.append(
            Doubt(
                "nothing-to-compare",
                f"{side}: no record with a billed duration in {group.lines:,} lines.",
                "Give a log that holds REPORT lines or platform.report events.",
            )
        )
    elif n < ENOUGH:
        found.append(
            Doubt(
                "too-few-runs",
                f"{side}: {n} starts; intervals from fewer than {ENOUGH} are too narrow.",
                f"Collect at least {ENOUGH} cold starts per side, e.g. with `quickthaw invoke -n {ENOUGH}`.",
            )
        )
    warm = ledger.accounts["warm"].n
    if warm and "warm" in group.compared and len(group.compared) > 1:
        found.append(
            Doubt(
                "warm-starts-mixed-in",
                f"{side}: {warm:,} of {ledger.n:,} invocations are warm and are part of the comparison.",
                "Compare starts only (--only starts), with cold starts in both logs.",
            )
        )
    elif warm and "warm" not in group.compared:
        found.append(
            Doubt(
                "warm-starts-mixed-in",
                f"{side}: {warm:,} of {ledger.n:,} invocations are warm; they are left out.",
                "Nothing to do if starts are meant; --only all compares every invocation.",
            )
        )
    elif warm:
        found.append(
            Doubt(
                "no-cold-starts",
                f"{side}: all {warm:,} compared invocations are warm, a snapshot does not change those.",
                "Give a log with cold starts: lines with Init Duration, Restore Duration or a bootstrap "
                "line.",
            )
        )
    if len(group.memory_mb) > 1:
        sizes = ", ".join(f"{size:g}" for size in group.memory_mb)
        found.append(
            Doubt(
                "several-memory-sizes",
                f"{side}: memory sizes {sizes} MB are mixed; CPU share goes with memory.",
                "Compare one memory size at a time.",
            )
        )
    if len(group.functions) > 1:
        found.append(
            Doubt(
                "several-functions",
                f"{side}: the log holds {len(group.functions)} functions: {', '.join(group.functions[:5])}.",
                "Compare one function at a time.",
            )
        )
    if ledger.malformed:
        at = ", ".join(str(problem.line) for problem in group.problems[:5])
        found.append(
            Doubt(
                "malformed-lines",
                f"{side}: records that could not be read: {ledger.malformed:,} (line {at}).",
                "Look at these lines; a log cut off at its end or wrapped at a column does this.",
            )
        )
    if account.failed:
        found.append(
            Doubt(
                "failures",
                f"{side}: {account.failed:,} of {account.n:,} invocations failed or timed out; their time "
                "is not that of the work.",
                "Find out why they failed; compare logs without failures.",
            )
        )
    if account.rerun:
        found.append(
            Doubt(
                "init-rerun",
                f"{side}: {account.rerun:,} starts ran their init twice (it failed or took over 10 s) and "
                "paid twice.",
                "Bring init below 10 s or fix its error first; these starts dominate the mean.",
            )
        )
    lost = sum(ledger.fallbacks.values())
    if lost:
        reason, times = next(iter(group.fallbacks.items()))
        found.append(
            Doubt(
                "fallbacks",
                f"{side}: {lost:,} environments should have been thawed and started cold; most often: "
                f"{reason} ({times:,}).",
                "Run `quickthaw doctor` and `quickthaw verify` where they ran; --only thawed leaves them "
                "out.",
            )
        )
    thawed = ledger.engines.get("native", 0) + ledger.engines.get("criu", 0)
    if thawed and not ledger.accounts["thawed"].n:
        found.append(
            Doubt(
                "thaws-not-told-apart",
                f"{side}: {thawed:,} environments were thawed, but their starts are counted as cold.",
                "Read the raw lines: leave --aggregate out, and give a log that keeps both lines of a start.",
            )
        )
    if account.emulated and account.emulated * 2 > account.n:
        found.append(
            Doubt(
                "emulator",
                f"{side}: init below 1 ms and all memory used: the lines of the runtime interface "
                "emulator, not Lambda's bill.",
                "Take logs from Lambda; the emulator starts the runtime inside the first invocation, so "
                "only sums compare.",
            )
        )
    summary = group.billed_ms
    if summary and summary.deviation is not None and summary.deviation > _NOISY * summary.mean and n >= 5:
        found.append(
            Doubt(
                "noisy",
                f"{side}: the spread ({summary.deviation:.0f} ms) is "
                f"{summary.deviation / summary.mean:.0%} of the mean.",
                "Look at the plot for a second hump (first starts after a deploy, other code paths) and "
                "compare like with like.",
            )
        )
    elif summary and n >= 5 and summary.maximum > _LONG_TAIL * summary.median:
        found.append(
            Doubt(
                "outliers",
                f"{side}: the slowest start ({summary.maximum:.0f} ms) is over {_LONG_TAIL:.0f} times the "
                "median.",
                "Read the median beside the mean, or drop the first starts after a deploy.",
            )
        )
    if summary and summary.resolution and summary.resolution >= 10:
        found.append(
            Doubt(
                "coarse",
                f"{side}: too many distinct values; median and percentiles are exact to "
                f"{summary.resolution:g} ms only.",
                "Compare a shorter period.",
            )
        )
    return found


def _of_both(result: Comparison, old: Account, new: Account) -> list[Doubt]:
    found = []
    a, b = result.old, result.new
    if a.memory_mb and b.memory_mb and a.memory_mb != b.memory_mb:
        found.append(
            Doubt(
                "different-memory-sizes",
                f"memory differs: {_sizes(a)} MB against {_sizes(b)} MB; so do CPU share and price per ms.",
                "Give both sides the same memory, or decide on dollars instead of milliseconds.",
            )
        )
    if a.functions and b.functions and set(a.functions) != set(b.functions):
        found.append(
            Doubt(
                "different-functions",
                f"different functions: {', '.join(a.functions[:3])} against {', '.join(b.functions[:3])}.",
                "Fine when one is the thawed copy of the other; else compare versions of one function.",
            )
        )
    mean = result.billed_ms.get("mean")
    if mean and mean.absolute_interval and mean.absolute_interval.low <= 0 <= mean.absolute_interval.high:
        low, high = mean.absolute_interval.low, mean.absolute_interval.high
        found.append(
            Doubt(
                "overlapping-intervals",
                f"the difference of the means may be anything from {low:+.1f} to {high:+.1f} ms.",
                f"Collect about {_needed(old, new):,} starts per side to see a difference of this size, if "
                "there is one.",
            )
        )
    if (old.init_off_bill > old.init_on_bill) != (new.init_off_bill > new.init_on_bill) and (
        old.init_off_bill + old.init_on_bill and new.init_off_bill + new.init_on_bill
    ):
        found.append(
            Doubt(
                "init-billed-on-one-side",
                "INIT is on the bill of one side only (Lambda bills it on managed runtimes since "
                "2025-08-01).",
                "Read the dollars, which treat both alike, not the billed milliseconds.",
            )
        )
    bases = [
        f"{side} is priced {group.cost.basis}"
        for side, group in (("old", a), ("new", b))
        if group.cost.basis != "as logged"
    ]
    if bases:
        found.append(
            Doubt(
                "repriced",
                f"on {result.prices.day} INIT was {'billed' if result.prices.init_billed else 'free'}, "
                f"unlike in the log: {', '.join(bases)}.",
                "Give --date with a day of the log's own time to price it as it was.",
            )
        )
    for side, group in (("old", a), ("new", b)):
        if (
            "restored" in group.compared
            and group.cost.restore_usd_per_million is None
            and old.priced
            and new.priced
        ):
            found.append(
                Doubt(
                    "snapstart-price-unknown",
                    f"{side}: no SnapStart price for {result.prices.region} in the table; its restore and "
                    "cache charges are missing.",
                    "Use --region us-east-1 for a reference figure, or add the region to prices.json.",
                )
            )
    if (
        set(a.compared) & set(STARTS)
        and set(b.compared) & set(STARTS)
        and a.boot_s
        and b.boot_s
        and a.name != b.name
    ):
        found.append(
            Doubt(
                "both-thawed",
                "both sides hold thawed starts; this compares two snapshots, not thaw against cold.",
                "Take a log from before the snapshot as OLD, or use --old-only cold.",
            )
        )
    return found


def _sizes(group: Group) -> str:
    return ", ".join(f"{size:g}" for size in group.memory_mb)


def _needed(old: Account, new: Account) -> int:
    """Starts per side for 80 % power at 5 % two-sided, by the usual normal formula: 7.85 (s1^2+s2^2)/d^2."""
    a, b = old.billed.deviation or 0.0, new.billed.deviation or 0.0
    difference = abs(new.billed.mean - old.billed.mean)
    if difference < 0.5:  # below what Lambda bills by
        difference = 0.5
    return max(ENOUGH, min(1_000_000, round(7.85 * (a * a + b * b) / difference**2)))
