"""Give a function its snapshot, wait until it is active, and go back if it does not become so.

A layer version, or the name of what it is to fetch from S3.  The change is one
call, guarded by the revision that was read: whoever changes the function
meanwhile wins, and we report it.  Going back puts the very list of layers, or
the very variables, there that were read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quickthaw import names
from quickthaw.errors import QuickthawError, ToolFailed, UsageError
from quickthaw.publish.aws import explained
from quickthaw.publish.limits import LAYERS
from quickthaw.publish.package import Package

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


class StillAttached(ToolFailed):
    """Neither forward nor back: the function may have the new snapshot, so it must stay."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is changed of a function's configuration, and how it was.

    Attributes:
        setting: name in the configuration and in the call, as Layers.
        new: its value afterwards.
        undo: the value that goes back, of the configuration as it is then; None where ours is not in it.
        by_hand: what to do where going back fails.
    """

    setting: str
    new: Any
    undo: Callable[[dict[str, Any]], Any]
    by_hand: str


ACTIVE_S = 300.0  # AWS's own waiter gives up after as long
POLL_S = 1.0


def check(client: LambdaClient, function: str, package: Package, layer_name: str | None) -> dict[str, Any]:
    """Reads a function and refuses what could not be thawed on it.

    Args:
        layer_name: the layer that it is to get; None where it fetches the snapshot.

    Returns:
        Its configuration.

    Raises:
        UsageError: another runtime, architecture or handler, no room for a layer, variables that cannot be
            read, or an update under way.
    """
    with explained(f"function {function}"):
        found: dict[str, Any] = dict(client.get_function_configuration(FunctionName=function))
    runtime = package.python if _os_only(found) else found.get("Runtime")  # it brings its own Python
    differences = [
        f"{what} {has}, the snapshot {wants}"
        for what, has, wants in (
            ("runs", runtime, package.python),
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
    if layer_name is None and "Error" in found.get("Environment", {}):
        raise UsageError(
            f"the variables of function {function} cannot be read: "
            f"{found['Environment']['Error'].get('Message')}",
            hint="Allow kms:Decrypt with the key of the function.",
        )
    if layer_name is not None and len(with_layer(found, f"{layer_name}:0")) > LAYERS:
        raise UsageError(
            f"function {function} has {LAYERS} layers already", hint="Remove one, or use an image."
        )
    if found.get("LastUpdateStatus", "Successful") == "InProgress":
        raise UsageError(f"function {function} is being updated", hint="Wait until it is active.")
    return found


def doubts(configuration: dict[str, Any], *, fetches: bool) -> tuple[str, ...]:
    """What keeps this function from being thawed even with the snapshot there.

    Args:
        fetches: whether it is told what to fetch, rather than given a layer.
    """
    found = []
    variables = _variables(configuration)
    wrapper = variables.get("AWS_LAMBDA_EXEC_WRAPPER")
    if wrapper != names.BOOTSTRAP_PATH and not _os_only(configuration):
        found.append(
            f"AWS_LAMBDA_EXEC_WRAPPER is {wrapper or 'not set'}: the function starts cold until it is "
            f"{names.BOOTSTRAP_PATH} and the quickthaw layer is attached"
        )
    other = variables.get(names.ENV_SNAPSHOT)
    if not fetches and other not in (None, "", names.SNAPSHOT_PATH):
        found.append(f"{names.ENV_SNAPSHOT} is {other}: the snapshot in the layer is not the one it thaws")
    return tuple(found)


def with_layer(configuration: dict[str, Any], arn: str) -> list[str]:
    """The function's layers with this one, in the place of an older version if there is one."""
    series = arn.rpartition(":")[0].rpartition(":")[2]
    old = _layers(configuration)
    new = [arn if one.rpartition(":")[0].rpartition(":")[2] == series else one for one in old]
    return new if arn in new else [*old, arn]


def layer_change(configuration: dict[str, Any], arn: str) -> Change:
    """The layer version on the function."""
    before = _layers(configuration)
    return Change(
        setting="Layers",
        new=with_layer(configuration, arn),
        undo=lambda now: before if arn in _layers(now) else None,
        by_hand=f"Put these layers on it yourself: {' '.join(before) or 'none'}; then delete {arn}.",
    )


def variable_change(configuration: dict[str, Any], uri: str) -> Change:
    """The name of the snapshot that it fetches, in its environment."""
    former = _variables(configuration).get(names.ENV_SNAPSHOT)

    def undo(now: dict[str, Any]) -> Any:
        variables = _variables(now)
        if variables.pop(names.ENV_SNAPSHOT, None) != uri:
            return None
        return {"Variables": variables if former is None else {**variables, names.ENV_SNAPSHOT: former}}

    by_hand = f"Remove {names.ENV_SNAPSHOT}" if former is None else f"Set {names.ENV_SNAPSHOT} to {former}"
    new = {"Variables": {**_variables(configuration), names.ENV_SNAPSHOT: uri}}
    return Change(setting="Environment", new=new, undo=undo, by_hand=f"{by_hand} yourself.")


def _layers(configuration: dict[str, Any]) -> list[str]:
    return [str(layer["Arn"]) for layer in configuration.get("Layers", [])]


def _variables(configuration: dict[str, Any]) -> dict[str, str]:
    return dict(configuration.get("Environment", {}).get("Variables", {}))


def _os_only(configuration: dict[str, Any]) -> bool:
    return str(configuration.get("Runtime")).startswith("provided")


def attach(
    client: LambdaClient,
    function: str,
    configuration: dict[str, Any],
    change: Change,
    *,
    active_s: float = ACTIVE_S,
) -> None:
    """Changes a function and waits until it is active.

    Args:
        configuration: of the function, as `check` returned it.
        active_s: how long that may take.

    Raises:
        ToolFailed, Unavailable: it did not become active; it is as it was, or the text says not.
    """
    with explained(f"function {function}"):
        try:
            guard = {"RevisionId": configuration["RevisionId"]} if "RevisionId" in configuration else {}
            client.update_function_configuration(
                FunctionName=function, **{change.setting: change.new}, **guard
            )
            _wait(client, function, active_s)
        except BaseException as error:
            _put_back(client, function, change, error)
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
            raise ToolFailed(f"function {function} did not become active: {reason}", hint="It is as it was.")
        if time.monotonic() > deadline:
            raise ToolFailed(
                f"function {function} is not active after {active_s:.0f} s",
                hint="It is as it was.",
            )
        time.sleep(POLL_S)


def _put_back(client: LambdaClient, function: str, change: Change, error: BaseException) -> None:
    """Restores the setting where it is ours; what others have set meanwhile is left alone."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        value = change.undo(dict(client.get_function_configuration(FunctionName=function)))
        if value is not None:
            client.update_function_configuration(FunctionName=function, **{change.setting: value})
    except (ClientError, BotoCoreError, QuickthawError) as second:
        raise StillAttached(
            f"function {function}: {error}; going back failed too: {second}", hint=change.by_hand
        ) from error
