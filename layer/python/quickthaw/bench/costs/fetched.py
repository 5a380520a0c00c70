"""A snapshot that comes from a bucket, beside the same one in a layer and the cold start, interleaved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from quickthaw.bench.arms import COLD, Arm
from quickthaw.bench.costs.bucket import NAME, Network, bucket
from quickthaw.bench.run import Order, function_spec, function_task, why_not
from quickthaw.emulator.run import run_environment
from quickthaw.errors import FunctionFailed
from quickthaw.names import ENV_SNAPSHOT, S3
from quickthaw.snapshot import manifest

NETWORK = Network(round_trip_s=0.015, connection_bytes_per_s=60e6, bytes_per_s=100e6)
LAYER = Arm(name="layer", engine="native", mode="lz4", what="the snapshot in a layer")
FETCHED = Arm(name="fetched", engine="native", mode="lz4", what="the snapshot from a bucket")
STARTS = (COLD, LAYER, FETCHED)
LEFT = "decoded_after"
ENDPOINT = "AWS_ENDPOINT_URL_S3"


def measure(
    order: Order, *, network: Network = NETWORK, on_start: Callable[[], None] = lambda: None
) -> Mapping[str, Sequence[float]]:
    """Init durations in seconds of each start by its name, and the fetch's own figure.

    Args:
        order: of a bench whose native layouts hold lz4, the only one that can be fetched.
        network: between the function and the bucket.
        on_start: called after each start.

    Returns:
        `STARTS` by name; as `LEFT`, how long after its last byte a fetched snapshot was decoded.

    Raises:
        FunctionFailed: a start fell back, failed or answered differently.
    """
    snapshot = order.layouts.snapshots["lz4"]
    task, handler = function_task(snapshot, order.task), manifest.read(str(snapshot)).handler
    found: dict[str, list[float]] = {name: [] for name in (*(arm.name for arm in STARTS), LEFT)}
    with bucket(snapshot.parent, network) as url:
        reference: Sequence[object] = ()
        for number in range(order.runs + 1):
            for arm in STARTS:
                spec = function_spec(order, COLD if arm is COLD else LAYER, task=task, handler=handler)
                if arm is FETCHED:
                    env = {**spec.env, ENV_SNAPSHOT: f"{S3}{NAME}/{snapshot.name}", ENDPOINT: url}
                    spec = replace(spec, snapshot=None, env=env)
                run = run_environment(spec, [text for _, text in order.events])
                reference = reference or run.answers
                problem = why_not(arm, run, reference)
                if problem is not None or run.init_s is None:
                    raise FunctionFailed(f"{arm.what}: {problem}", hint="`quickthaw invoke` shows its log")
                if number:  # the first start of each warms the page cache
                    found[arm.name].append(run.init_s)
                    if arm is FETCHED:
                        found[LEFT].append(_left_s(run.thaw or {}))
                on_start()
    return found


def _left_s(line: Mapping[str, object]) -> float:
    """From the last byte to the last page, by the thaw's own log line."""
    restored, finished, fetched = (float(str(line[key])) for key in ("restore_s", "finish_s", "fetch_s"))
    return restored - finished - fetched
