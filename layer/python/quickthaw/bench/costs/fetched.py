"""A snapshot that comes from a bucket, beside the same one in a layer and the cold start, interleaved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from quickthaw.bench.arms import COLD, choose
from quickthaw.bench.costs import record
from quickthaw.bench.costs.bucket import NAME, Network, bucket
from quickthaw.bench.run import Order, function_spec, function_task, why_not
from quickthaw.emulator.run import run_environment
from quickthaw.errors import FunctionFailed
from quickthaw.names import ENV_SNAPSHOT, S3
from quickthaw.snapshot import manifest

NETWORK = Network(round_trip_s=0.015, connection_bytes_per_s=60e6, bytes_per_s=100e6)
(_NATIVE,) = choose(("native-lz4",))
STARTS = {record.COLD: COLD, record.LAYER: _NATIVE, record.FETCHED: _NATIVE}
_ENDPOINT = "AWS_ENDPOINT_URL_S3"


def measure(
    order: Order, *, network: Network = NETWORK, on_start: Callable[[], None] = lambda: None
) -> dict[str, list[float]]:
    """Return the samples of `STARTS`: init durations.

    Args:
        order: of a bench whose native layouts hold lz4, the only one that can be fetched.
        network: between the function and the bucket.
        on_start: called after each start.

    Raises:
        FunctionFailed: a start fell back, failed or answered differently.
    """
    snapshot = order.layouts.snapshots["lz4"]
    task, handler = function_task(snapshot, order.task), manifest.read(str(snapshot)).handler
    found: dict[str, list[float]] = {what: [] for what in STARTS}
    with bucket(snapshot.parent, network) as url:
        reference: Sequence[object] = ()
        for number in range(order.runs + 1):
            for what, arm in STARTS.items():
                spec = function_spec(order, arm, task=task, handler=handler)
                if what == record.FETCHED:
                    env = {**spec.env, ENV_SNAPSHOT: f"{S3}{NAME}/{snapshot.name}", _ENDPOINT: url}
                    spec = replace(spec, snapshot=None, env=env)
                run = run_environment(spec, [text for _, text in order.events])
                reference = reference or run.answers
                problem = why_not(arm, run, reference)
                if problem is not None:
                    raise FunctionFailed(f"{what}: {problem}", hint="`quickthaw invoke` shows its log")
                assert run.init_s is not None  # else there were a problem
                if number:  # the first start of each warms the page cache
                    found[what].append(run.init_s)
                on_start()
    return found
