"""Hooks of AWS's snapshot_restore_py through a real checkpoint and a real thaw.

What the suites of snapshot_restore_py and awslambdaric assert of registration, order and
arguments is asserted here of a function that was frozen in between.
"""

from __future__ import annotations

import pytest
from quickthaw.errors import FunctionFailed

from tests.integration.wake.conftest import ENGINES, Function

REGISTERED = """
    import snapshot_restore_py
    from snapshot_restore_py import register_after_restore, register_before_snapshot

    CALLS = []

    def with_arguments(x, y=None, **keywords):
        CALLS.append(["with_arguments", x, y, keywords])

    @register_before_snapshot
    def decorated_before():
        CALLS.append(["decorated_before"])
        return 1

    @register_after_restore
    def decorated_after():
        CALLS.append(["decorated_after"])
        return 2

    register_before_snapshot(with_arguments, 5, 7, arg1="Lambda", arg2="SnapStart")
    register_after_restore(with_arguments, 11, y=13, arg1="Lambda", arg2="SnapStart")
    register_before_snapshot(lambda: CALLS.append(["last before"]))
    register_after_restore(lambda: CALLS.append(["last after"]))
    REGISTRIES = [len(snapshot_restore_py.get_before_snapshot()),
        len(snapshot_restore_py.get_after_restore())]

    def handler(event, context):
        seen = list(CALLS)
        return {
            "calls": seen, "registered": REGISTRIES, "results": [decorated_before(), decorated_after()],
            "left": [len(snapshot_restore_py.get_before_snapshot()),
                len(snapshot_restore_py.get_after_restore())],
        }
"""

FAILING = """
    import os, sys
    from snapshot_restore_py import register_after_restore

    @register_after_restore
    def first():
        print("first ran")

    @register_after_restore
    def second():
        raise ValueError("no luck")

    @register_after_restore
    def third():
        print("third ran")
        sys.exit("gone")

    @register_after_restore
    def fourth():
        print("fourth ran")
        raise KeyError("table")

    def handler(event, context):
        return "served"
"""


def test_order_arguments_and_results_are_those_of_snapstart(function: Function) -> None:
    function.write(REGISTERED)
    function.freeze()
    keywords = {"arg1": "Lambda", "arg2": "SnapStart"}
    for engine in ENGINES:
        answer = function.thaw(engine)
        assert answer["calls"] == [
            ["last before"],
            ["with_arguments", 5, 7, keywords],
            ["decorated_before"],
            ["decorated_after"],
            ["with_arguments", 11, 13, keywords],
            ["last after"],
        ]
        assert answer["registered"] == [3, 3]
        assert answer["left"] == [0, 3], "before-hooks are taken off the registry, after-hooks stay"
        assert answer["results"] == [1, 2], "decorated functions work as always"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("log_format", ["Text", "JSON"])
def test_every_hook_runs_and_every_failure_is_reported(
    log_format: str, engine: str, function: Function
) -> None:
    function.write(FAILING)
    function.freeze(layout="lz4")
    run = function.start(engine, log_format=log_format)
    assert (run.engine, run.answers) == ("cold", ("served",)), run.log
    failures = "ValueError: no luck; SystemExit: gone; KeyError: 'table' (Runtime.AfterRestoreError)"
    assert str(run.reason).endswith(f"the process could not wake: hooks: {failures}")
    log = "\n".join(run.log)
    ran = [log.index(f"{name} ran") for name in ("first", "third", "fourth")]
    assert ran == sorted(ran)
    if log_format == "Text":
        assert "[ERROR] ValueError: no luck" in log and "[ERROR] SystemExit: gone" in log
    else:
        assert '"errorType": "ValueError"' in log.replace('":"', '": "')
    assert "app.py" in log, "with the place in the function's code"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_hook_may_fail_with_any_words(engine: str, function: Function) -> None:
    function.write(
        """
        from snapshot_restore_py import register_after_restore
        @register_after_restore
        def bad():
            raise ValueError("no\\0\\ud800\\n\\"luck " + "x" * 300_000)
        def handler(event, context):
            return "served"
        """
    )
    function.freeze(layout="lz4")
    reason = function.reason(engine)
    assert "hooks: ValueError: no??" in reason and len(reason) < 2200


def test_a_before_snapshot_hook_that_fails_ends_the_checkpoint(function: Function) -> None:
    function.write(
        """
        from snapshot_restore_py import register_before_snapshot
        @register_before_snapshot
        def bad():
            raise ValueError("not now")
        def handler(event, context):
            return None
        """
    )
    with pytest.raises(FunctionFailed, match="ValueError: not now"):
        function.freeze()
    assert not function.snapshot.exists()
