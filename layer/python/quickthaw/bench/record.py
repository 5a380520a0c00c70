"""What a bench found, as typed records and as bench.json (schema 1).

Every reader (table, plots, README figures, tests) reads these records; `load`
gives them back from a file.  Seconds throughout, but for Lambda's own billed
milliseconds.  What was not measured is None, and null in the file.

bench.json holds no path and no name of the machine, so that it can be
published with the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from quickthaw.bench import files

SCHEMA = 1
FILE = "bench.json"
KEYS = ("init_s", "first_response_s", "billed_ms", "bytes_read", "max_rss_mb")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One environment, from the start of its process to its last answer.

    Attributes:
        init_s: to the first GET /invocation/next.
        first_response_s: to the arrival of the first response.
        billed_ms: init and first request, as Lambda bills them.
        bytes_read: of the snapshot, as the bootstrap tells; None for a cold start.
        max_rss_mb: high-water mark, MiB.
        ok: the arm did what it promises, and all answers are the cold start's.
        problem: what is wrong, when not ok.
        sequence: place among all runs of the bench, from 0.
        details: the bootstrap's own timings, seconds.
    """

    init_s: float | None
    first_response_s: float | None
    billed_ms: int | None
    bytes_read: int | None
    max_rss_mb: float | None
    ok: bool
    problem: str | None
    sequence: int
    details: Mapping[str, float] = field(default_factory=dict)


def quartile_distance(values: Sequence[float]) -> float | None:
    """Return the distance between the quartiles, None of less than two values."""
    if len(values) < 2:
        return None
    low, _, high = quantiles(values, n=4, method="inclusive")
    return high - low


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """All runs of one arm; `skipped` says why there are none."""

    name: str
    runs: tuple[Sample, ...] = ()
    skipped: str | None = None

    def values(self, key: str) -> list[float]:
        """Return what was measured for ``key`` in the runs that count, in their order."""
        found = (getattr(run, key) for run in self.runs if run.ok)
        return [value for value in found if value is not None]

    def median(self, key: str) -> float | None:
        """Return the middle value, None without one."""
        values = self.values(key)
        return median(values) if values else None

    def detail(self, key: str) -> float | None:
        """Return the middle value of one of the bootstrap's own timings, seconds, None without one."""
        values = [run.details[key] for run in self.runs if run.ok and key in run.details]
        return median(values) if values else None

    def p95(self, key: str) -> float | None:
        """Return the 95th percentile (linear between neighbours); with few runs close to the maximum."""
        values = self.values(key)
        return quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else None

    def spread(self, key: str) -> float | None:
        """Return the distance between the quartiles, half of all runs lie within."""
        return quartile_distance(self.values(key))

    @property
    def ok(self) -> bool:
        """Whether every run counts."""
        return all(run.ok for run in self.runs)

    @property
    def problem(self) -> str | None:
        """The first run's problem that has one."""
        return next((run.problem for run in self.runs if not run.ok), None)


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A reason to trust the figures less, and what to do about it."""

    what: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One bench: where, what, and all its runs."""

    machine: Mapping[str, Any]
    workload: Mapping[str, Any]
    arms: tuple[ArmResult, ...]
    doubts: tuple[Doubt, ...] = ()

    def arm(self, name: str) -> ArmResult | None:
        """Return the arm of this name, None where it is not part of this bench."""
        return next((arm for arm in self.arms if arm.name == name), None)

    def median(self, name: str, key: str) -> float | None:
        """Return an arm's median, None where there is none."""
        arm = self.arm(name)
        return arm.median(key) if arm else None

    @property
    def ok(self) -> bool:
        """Whether every run of every arm counts."""
        return all(arm.ok for arm in self.arms)


def as_json(bench: Bench) -> dict[str, Any]:
    """Return what goes into bench.json."""
    return {
        "schema": SCHEMA,
        "machine": dict(bench.machine),
        "workload": dict(bench.workload),
        "arms": {arm.name: _arm_as_json(arm) for arm in bench.arms},
        "doubts": [asdict(doubt) for doubt in bench.doubts],
    }


def _arm_as_json(arm: ArmResult) -> dict[str, Any]:
    return {
        "runs": [asdict(run) for run in arm.runs],
        "median": {**{key: arm.median(key) for key in KEYS}, "ok": arm.ok},
        "p95": {key: arm.p95(key) for key in KEYS},
        "spread": {key: arm.spread(key) for key in KEYS},
        "skipped": arm.skipped,
    }


def write(bench: Bench, directory: Path) -> Path:
    """Write bench.json, whole or not at all."""
    return files.write(directory / FILE, as_json(bench))


def load(path: Path) -> Bench:
    """Read a bench.json.

    Raises:
        UsageError: it is none, or of another schema.
    """
    with files.reading(path, SCHEMA, command="quickthaw bench") as body:
        arms = tuple(_arm_from_json(name, arm) for name, arm in body["arms"].items())
        doubts = tuple(Doubt(**doubt) for doubt in body.get("doubts", ()))
        return Bench(machine=body["machine"], workload=body["workload"], arms=arms, doubts=doubts)


def _arm_from_json(name: str, body: Mapping[str, Any]) -> ArmResult:
    known = {one.name for one in fields(Sample)}
    runs: Sequence[Mapping[str, Any]] = body["runs"]
    samples = tuple(Sample(**{key: value for key, value in run.items() if key in known}) for run in runs)
    return ArmResult(name=name, runs=samples, skipped=body.get("skipped"))
