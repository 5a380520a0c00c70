"""The function's own hooks, registered with AWS's snapshot_restore_py.

Under SnapStart the first after-restore hook that fails ends the restore with
`Runtime.AfterRestoreError`, and the environment with it.  Here all of them run, so that
the log has every failure at once, each in the runtime's own error format; then
the thaw is given up as any other that cannot be done right: the function
starts cold, where hooks do not run, with the failures in its one reason.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

from quickthaw import names
from quickthaw.errors import Declined

ERROR_TYPE = "Runtime.AfterRestoreError"  # AWS's name for it, Lambda-Runtime-Function-Error-Type


def renew() -> None:
    """Runs all after-restore hooks in the order of their registration.

    Raises:
        Declined: some failed; all are named.
    """
    import snapshot_restore_py

    failures: list[BaseException] = []
    for function, arguments, keywords in snapshot_restore_py.get_after_restore():
        try:
            function(*arguments, **keywords)
        except BaseException as error:  # sys.exit() in a hook is a failure, too
            failures.append(error)
    if failures:
        for failure in failures:
            with contextlib.suppress(Exception):  # the reason is what counts
                _report(failure)
        said = "; ".join(f"{type(failure).__name__}: {failure}" for failure in failures)
        raise Declined(f"{said} ({ERROR_TYPE})") from failures[0]


def _report(failure: BaseException) -> None:
    """Writes one failure as the runtime would, to where the runtime would."""
    from awslambdaric import bootstrap

    result: dict[str, Any] = bootstrap.build_fault_result(
        (type(failure), failure, failure.__traceback__), None
    )
    if names.ENV_TELEMETRY in os.environ:
        # A copy: closing the sink must not take the descriptor from the cold start.
        with bootstrap.FramedTelemetryLogSink(os.dup(names.TELEMETRY_FD)) as sink:
            bootstrap.log_error(result, sink)
    else:
        bootstrap.log_error(result, bootstrap.StandardLogSink())
        sys.stdout.flush()
