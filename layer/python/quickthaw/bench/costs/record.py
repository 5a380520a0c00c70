"""What `costs` found, as a typed record and as costs.json (schema 1): every sample, in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from quickthaw.bench import files
from quickthaw.bench.record import Doubt, quartile_distance

SCHEMA = 1
FILE = "costs.json"

# What samples are of.
VERIFY, SECRETS = "verify", "secrets"
DECLINED, DECLINED_BY_BOTH = "declined", "declined by both engines"
COLD, LAYER, FETCHED = "init, cold", "init, layer", "init, fetched"


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What was measured.

    Attributes:
        machine: as in bench.json.
        workload: the snapshots, the network, and how often what was measured.
        samples: seconds by what they are of; those of `DECLINED` are differences.
        doubts: as of a bench.
    """

    machine: Mapping[str, Any]
    workload: Mapping[str, Any]
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()

    def median(self, what: str) -> float:
        """The middle sample, seconds."""
        return median(self.samples[what])

    def spread(self, what: str) -> float | None:
        """Distance between the quartiles, seconds; None of one sample."""
        return quartile_distance(self.samples[what])


def write(costs: Costs, directory: Path) -> Path:
    """Write costs.json, whole or not at all."""
    medians = {what: costs.median(what) for what in costs.samples}
    return files.write(directory / FILE, {"schema": SCHEMA, **asdict(costs), "median": medians})


def load(path: Path) -> Costs:
    """Read a costs.json.

    Raises:
        UsageError: it is none, or of another schema.
    """
    with files.reading(path, SCHEMA, command="quickthaw costs") as body:
        found = tuple(Doubt(**doubt) for doubt in body["doubts"])
        return Costs(
            machine=body["machine"], workload=body["workload"], samples=body["samples"], doubts=found
        )
