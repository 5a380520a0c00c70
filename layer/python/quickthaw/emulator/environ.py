"""The environment variables that Lambda gives a function (AWS, "Defined runtime environment variables")."""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Mapping

from quickthaw.names import ENV_ENGINE, ENV_MODE, ENV_SNAPSHOT, SNAPSHOT_PATH
from quickthaw.sandbox.layout import Layout

REGION = "us-east-1"
ACCOUNT = "000000000000"
_CAPITALS = string.ascii_uppercase + string.digits


def function_arn(name: str) -> str:
    """The ARN under which the emulator invokes."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"


def lambda_environ(
    where: Layout, *, name: str, handler: str, version: str, memory_mb: int, api: str, log_format: str,
    engine: str, mode: str | None, own: Mapping[str, str],
) -> dict[str, str]:  # fmt: skip
    """Everything that a function of this name finds in its environment.

    Args:
        where: Paths as the function sees them.
        version: Python's, as in "3.12".
        api: "host:port" of the Runtime API.
        own: The function's own variables; they go over all others.
    """
    today = time.strftime("%Y/%m/%d", time.gmtime())
    environ = {
        "AWS_LAMBDA_RUNTIME_API": api,
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"{today}/[$LATEST]{secrets.token_hex(16)}",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{version}",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "169.254.79.129:2000",
        "_HANDLER": handler,
        "LAMBDA_TASK_ROOT": where.task,
        "LAMBDA_RUNTIME_DIR": where.runtime,
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": f"/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:{where.layer}/bin",
        "LD_LIBRARY_PATH": ":".join(
            [where.lang_lib, "/lib64", "/usr/lib64", where.runtime, f"{where.runtime}/lib", where.task,
             f"{where.task}/lib", f"{where.layer}/lib"]
        ),
        "PYTHONPATH": where.runtime,
        ENV_ENGINE: engine,
        **_credentials(),
    }  # fmt: skip
    if log_format == "JSON":
        environ |= {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    if mode is not None:
        environ[ENV_MODE] = mode
    if where.snapshot != SNAPSHOT_PATH:
        environ[ENV_SNAPSHOT] = where.snapshot
    return environ | dict(own)


def _credentials() -> dict[str, str]:
    """Looks like what Lambda gives out, new for each environment, and opens nothing."""
    return {
        "AWS_ACCESS_KEY_ID": "ASIA" + "".join(secrets.choice(_CAPITALS) for _ in range(16)),
        "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(30),
        "AWS_SESSION_TOKEN": secrets.token_urlsafe(96),
    }
