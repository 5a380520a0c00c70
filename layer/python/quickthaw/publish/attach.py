"""Give a function another layer version, wait until it is active, and go back if it does not become so.

The change is one call, guarded by the revision that was read: whoever changes
the function meanwhile wins, and we report it.  Going back puts the very list
of layers there that was read.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from quickthaw import names
from quickthaw.errors import QuickthawError, ToolFailed, UsageError
from quickthaw.publish.aws import explained
from quickthaw.publish.limits import LAYERS
from quickthaw.publish.package import Package

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


class StillAttached(ToolFailed):
    """Neither forward nor back: the function may have the new layer version, so it must stay."""


ACTIVE_S = 300.0  # AWS's own waiter gives up after as long
POLL_S = 1.0


def check(client: LambdaClient, function: str, package: Package, layer_name: str) -> dict[str, Any]:
    """Reads a function and refuses what could not be thawed on it.

    Returns:
        Its configuration.

    Raises:
        UsageError: another runtime, architecture or handler, no room for a layer, or an update under way.
    """
    with explained(f"function {function}"):
        found: dict[str, Any] = dict(client.get_function_configuration(FunctionName=function))
    differences = [
        f"{what} {has}, the snapshot {wants}"
        for what, has, wants in (
            ("runs", found.get("Runtime"), package.python),
            ("is for", (found.get("Architectures") or ["x86_64"])[0], package.architecture),
            ("calls", found.get("Handler"), package.handler),
        )
        if has != wants
    ]
    if differences:
        raise UsageError(
            f"function {function} {', '.join(differences)}: it would start cold",
            hint="Make a snapshot of what the function is.",
        )
    if len(with_layer(found, f"{layer_name}:0")) > LAYERS:
        raise UsageError(
            f"function {function} has {LAYERS} layers already", hint="Remove one, or use an image."
        )
    if found.get("LastUpdateStatus", "Successful") == "InProgress":
        raise UsageError(f"function {function} is being updated", hint="Wait until it is active.")
    return found


def doubts(configuration: dict[str, Any]) -> tuple[str, ...]:
    """What keeps this function from being thawed even with the snapshot there."""
    wrapper = configuration.get("Environment", {}).get("Variables", {}).get("AWS_LAMBDA_EXEC_WRAPPER")
    if wrapper == names.BOOTSTRAP_PATH:
        return ()
    return (
        f"AWS_LAMBDA_EXEC_WRAPPER is {wrapper or 'not set'}: the function starts cold until it is "
        f"{names.BOOTSTRAP_PATH} and the quickthaw layer is attached",
    )


def with_layer(configuration: dict[str, Any], arn: str) -> list[str]:
    """The function's layers with this one, in the place of an older version if there is one."""
    series = arn.rpartition(":")[0].rpartition(":")[2]
    old = [str(layer["Arn"]) for layer in configuration.get("Layers", [])]
    new = [arn if one.rpartition(":")[0].rpartition(":")[2] == series else one for one in old]
    return new if arn in new else [*old, arn]


def attach(
    client: LambdaClient,
    function: str,
    configuration: dict[str, Any],
    arn: str,
    *,
    active_s: float = ACTIVE_S,
) -> None:
    """Puts a layer version on a function and waits until it is active.

    Args:
        configuration: of the function, as `check` returned it.
        active_s: how long that may take.

    Raises:
        ToolFailed, Unavailable: it did not become active; its former layers are back, or the text says not.
    """
    before = [str(layer["Arn"]) for layer in configuration.get("Layers", [])]
    with explained(f"function {function}"):
        try:
            guard = {"RevisionId": configuration["RevisionId"]} if "RevisionId" in configuration else {}
            client.update_function_configuration(
                FunctionName=function, Layers=with_layer(configuration, arn), **guard
            )
            _wait(client, function, active_s)
        except BaseException as error:
            _put_back(client, function, before, arn, error)
            raise


def _wait(client: LambdaClient, function: str, active_s: float) -> None:
    deadline = time.monotonic() + active_s
    while True:
        now = client.get_function_configuration(FunctionName=function)
        status = now.get("LastUpdateStatus", "Successful")
        if status == "Successful":
            return
        if status == "Failed":
            reason = now.get("LastUpdateStatusReason", "Lambda gives no reason")
            raise ToolFailed(
                f"function {function} did not become active: {reason}", hint="Its former layers are back."
            )
        if time.monotonic() > deadline:
            raise ToolFailed(
                f"function {function} is not active after {active_s:.0f} s",
                hint="Its former layers are back.",
            )
        time.sleep(POLL_S)


def _put_back(
    client: LambdaClient, function: str, before: Sequence[str], arn: str, error: BaseException
) -> None:
    """Restores the layers, where ours is among the present ones; what others changed is left alone."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        now = client.get_function_configuration(FunctionName=function)
        if arn in [layer.get("Arn") for layer in now.get("Layers", [])]:
            client.update_function_configuration(FunctionName=function, Layers=list(before))
    except (ClientError, BotoCoreError, QuickthawError) as second:
        raise StillAttached(
            f"function {function}: {error}; going back failed too: {second}",
            hint=f"Put these layers on it yourself: {' '.join(before) or 'none'}; then delete {arn}.",
        ) from error
