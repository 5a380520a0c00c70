"""Environments with the official runtime client: answers, the log, and what happens when things go wrong."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from quickthaw.emulator import run
from quickthaw.emulator.run import EnvironmentRun
from quickthaw.errors import UsageError

Invoke = Callable[..., EnvironmentRun]
REPORT = re.compile(
    r"REPORT RequestId: ([\w-]{36})\tDuration: (\d+\.\d\d) ms\tBilled Duration: (\d+) ms\t"
    r"Memory Size: 1769 MB\tMax Memory Used: (\d+) MB\t(?:Init Duration: (\d+\.\d\d) ms\t)?"
    r"(Status: \w+)?(?:\tError Type: ([\w.]+))?"
)


def _kinds(result: EnvironmentRun) -> list[str]:
    """The first word of each of Lambda's lines, and the function's own lines as they are."""
    found = []
    for line in result.log:
        word = line.split()[0] if line.split() else ""
        found.append(word if word in ("INIT_START", "INIT_REPORT", "START", "END", "REPORT") else line)
    return found


def test_an_environment_answers_all_events_in_order(invoke: Invoke, sandbox: str) -> None:
    result = invoke({"n": 1}, {"n": 2}, {"n": 3}, sandbox=sandbox)
    assert result.ok
    assert [answer["n"] for answer in result.answers] == [1, 2, 3]  # type: ignore[index]
    assert [answer["calls"] for answer in result.answers] == [1, 2, 3]  # type: ignore[index]
    assert result.engine == "cold"
    assert (result.mode, result.reason, result.thaw) == (None, None, None)


def test_the_log_has_output_and_lambdas_lines_in_order(invoke: Invoke, sandbox: str) -> None:
    result = invoke({"n": 1}, {"n": 2}, sandbox=sandbox)
    assert _kinds(result) == [
        "INIT_START", "imported",
        "START", "before 1", "after", "END", "REPORT",
        "START", "before 2", "after", "END", "REPORT",
    ]  # fmt: skip


def test_init_and_response_times_start_at_the_exec(invoke: Invoke) -> None:
    result = invoke({"n": 1, "sleep": 0.05})
    assert result.init_s is not None
    assert result.first_response_s is not None
    assert result.init_s > 0
    assert result.init_s + 0.05 <= result.first_response_s
    reported = result.reports[0]
    assert reported.init_ms == pytest.approx(result.init_s * 1000, abs=0.01)
    assert reported.duration_ms >= 50


def test_report_lines_add_up(invoke: Invoke) -> None:
    result = invoke({"n": 1}, {"n": 2})
    lines = [REPORT.fullmatch(line) for line in result.log if line.startswith("REPORT")]
    (_, duration, billed, memory, init, *_), (_, warm, warm_billed, _, no_init, *_) = (
        line.groups() for line in lines if line
    )
    assert int(billed) == -(-(round(float(duration) * 100) + round(float(init) * 100)) // 100)
    assert no_init is None
    assert int(warm_billed) == -(-round(float(warm) * 100) // 100)
    assert result.billed_ms == int(billed) + int(warm_billed)
    assert 5 < int(memory) < 200


def test_memory_is_the_real_high_water_mark(invoke: Invoke, sandbox: str) -> None:
    small = invoke({"n": 1}, sandbox=sandbox)
    large = invoke({"n": 1, "memory": 100}, sandbox=sandbox)
    assert small.max_rss_mb is not None
    assert large.max_rss_mb is not None
    assert 90 < large.max_rss_mb - small.max_rss_mb < 130


def test_the_context_is_what_the_emulator_says(invoke: Invoke, sandbox: str) -> None:
    result = invoke({"n": 1}, timeout_s=9.0, memory_mb=1024, sandbox=sandbox)
    [answer] = result.answers
    assert isinstance(answer, dict)
    assert answer["id"] == result.reports[0].request_id
    assert 8000 < answer["left"] <= 9000
    assert answer["arn"] == "arn:aws:lambda:us-east-1:000000000000:function:function"
    assert answer["memory"] == "1024"


def test_the_environment_is_lambdas_with_the_functions_own_on_top(invoke: Invoke) -> None:
    asked = ["AWS_LAMBDA_FUNCTION_NAME", "AWS_EXECUTION_ENV", "LAMBDA_TASK_ROOT", "_HANDLER", "TZ", "LANG",
             "AWS_REGION", "OWN", "HOME", "AWS_LAMBDA_INITIALIZATION_TYPE"]  # fmt: skip
    result = invoke({"ask": asked}, env={"OWN": "mine", "AWS_REGION": "eu-west-1"}, sandbox="none")
    [answer] = result.answers
    version = "{}.{}".format(*sys.version_info[:2])
    assert answer["environ"] | {"LAMBDA_TASK_ROOT": ""} == {  # type: ignore[index]
        "AWS_LAMBDA_FUNCTION_NAME": "function", "AWS_EXECUTION_ENV": f"AWS_Lambda_python{version}",
        "LAMBDA_TASK_ROOT": "", "_HANDLER": "app.handler", "TZ": ":UTC", "LANG": "en_US.UTF-8",
        "AWS_REGION": "eu-west-1", "OWN": "mine", "HOME": None, "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    }  # fmt: skip


def test_credentials_differ_from_environment_to_environment(invoke: Invoke) -> None:
    ask = {"ask": ["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"]}
    one, other = (invoke(ask).answers[0]["environ"] for _ in range(2))  # type: ignore[index]
    assert one["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert one["AWS_ACCESS_KEY_ID"] != other["AWS_ACCESS_KEY_ID"]
    assert one["AWS_SESSION_TOKEN"] != other["AWS_SESSION_TOKEN"]


def test_an_exception_is_the_callers_and_the_environment_lives_on(invoke: Invoke) -> None:
    result = invoke({"n": 1}, {"raise": "no"}, {"n": 3})
    assert result.answers[1] is None
    [error] = result.errors
    assert (error["event"], error["errorType"], error["errorMessage"]) == (1, "ValueError", "no")
    assert result.answers[2]["calls"] == 3  # type: ignore[index]
    assert [report.status for report in result.reports] == ["success"] * 3


def test_a_timeout_ends_the_environment_and_the_next_event_gets_a_new_one(
    invoke: Invoke, sandbox: str
) -> None:
    result = invoke({"n": 1}, {"sleep": 60}, {"n": 3}, timeout_s=2.0, sandbox=sandbox)
    assert result.reports[1].status == "timeout"
    assert (result.reports[1].duration_ms, result.reports[1].billed_ms) == (2000.0, 2000)
    [error] = result.errors
    assert error["errorType"] == "Sandbox.Timedout"
    assert str(error["errorMessage"]).endswith("Error: Task timed out after 2.00 seconds")
    assert any(line.endswith("Task timed out after 2.00 seconds") for line in result.log)
    assert result.answers[2]["calls"] == 1  # type: ignore[index]
    assert result.reports[2].init_ms is None, "a suppressed init counts into the duration"
    assert result.log.count("imported") == 2


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"exit": 3}, "Runtime exited with error: exit status 3"),
        ({"exit": 0}, "Runtime exited without providing a reason"),
        ({"signal": int(signal.SIGKILL)}, "Runtime exited with error: signal: killed"),
        ({"signal": int(signal.SIGSEGV)}, "Runtime exited with error: signal: segmentation fault"),
    ],
)
def test_a_crash_is_an_exit_error_and_the_next_event_is_answered(
    invoke: Invoke, event: dict[str, int], message: str
) -> None:
    result = invoke(event, {"n": 2})
    [error] = result.errors
    request_id = result.reports[0].request_id
    words = f"RequestId: {request_id} Error: {message}"
    assert error == {"event": 0, "errorType": "Runtime.ExitError", "errorMessage": words}
    crash = result.log.index(words)
    assert result.log[crash + 1] == "Runtime.ExitError"
    assert result.log[crash + 2] == f"END RequestId: {request_id}"
    assert result.log[crash + 3].endswith("\tStatus: error\tError Type: Runtime.ExitError")
    assert REPORT.fullmatch(result.log[crash + 3]), "memory is known even though the process is gone"
    assert result.answers[1]["n"] == 2  # type: ignore[index]


def test_output_without_a_newline_is_not_lost_in_a_crash(invoke: Invoke, task: Path) -> None:
    (task / "last.py").write_text(
        "import os, sys\ndef handler(event, context):\n    os.write(2, b'last words')\n    os._exit(1)\n"
    )
    result = invoke({}, handler="last.handler")
    assert "last words" in result.log


def test_a_module_that_cannot_be_imported_fails_twice_and_says_why(invoke: Invoke, sandbox: str) -> None:
    result = invoke({"n": 1}, handler="missing.handler", sandbox=sandbox)
    kinds = [kind for kind in _kinds(result) if kind.isupper()]
    assert kinds == ["INIT_START", "INIT_REPORT", "INIT_REPORT", "START", "END", "REPORT"]
    phases = [line.split("\t")[1:] for line in result.log if line.startswith("INIT_REPORT")]
    assert phases == [
        ["Phase: init", "Status: error", "Error Type: Runtime.ImportModuleError"],
        ["Phase: invoke", "Status: error", "Error Type: Runtime.ImportModuleError"],
    ]
    [error] = result.errors
    assert error["errorType"] == "Runtime.ImportModuleError"
    assert "No module named 'missing'" in str(error["errorMessage"])
    assert result.init_s is None
    assert result.first_response_s is None
    assert result.reports[0].error_type == "Runtime.ImportModuleError"


def test_a_process_that_ends_during_its_import_is_an_exit_error(invoke: Invoke, task: Path) -> None:
    (task / "leaving.py").write_text("import os\nos._exit(4)\n")
    result = invoke({}, handler="leaving.handler")
    assert [error["errorType"] for error in result.errors] == ["Runtime.ExitError"]
    assert sum(line.startswith("INIT_REPORT") for line in result.log) == 2


def test_an_init_over_its_limit_is_done_again_in_the_first_invocation(
    invoke: Invoke, task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "INIT_LIMIT_S", 1.0)
    (task / "slow.py").write_text(
        "import time\nprint('importing', flush=True)\ntime.sleep(1.3)\n"
        "def handler(event, context):\n    return 'fine'\n"
    )
    result = invoke({}, handler="slow.handler")
    assert result.ok
    assert result.answers == ("fine",)
    assert result.log.count("importing") == 2
    [failed] = [line for line in result.log if line.startswith("INIT_REPORT")]
    assert failed.endswith("\tPhase: init\tStatus: timeout")
    [report] = result.reports
    assert report.init_ms is not None
    assert report.init_ms >= 1000, "the first init is paid as well"
    assert report.duration_ms >= 1300, "and the second is part of the duration"


def test_a_response_over_six_megabytes_is_an_error_and_the_next_event_is_answered(invoke: Invoke) -> None:
    result = invoke({"big": 7_000_000}, {"n": 2})
    [error] = result.errors
    assert error["errorType"] == "Function.ResponseSizeTooLarge"
    assert "6291556 bytes" in str(error["errorMessage"])
    assert result.answers[1]["n"] == 2  # type: ignore[index]


def test_a_large_response_within_the_limit_arrives_whole(invoke: Invoke) -> None:
    result = invoke({"big": 5_000_000})
    assert result.answers == ("x" * 5_000_000,)


def test_the_json_log_format_has_platform_events_and_the_functions_lines(invoke: Invoke) -> None:
    result = invoke({"n": 1}, log_format="JSON")
    types = [json.loads(line)["type"] for line in result.log if line.startswith('{"time"')]
    assert types == ["platform.initStart", "platform.start", "platform.report"]
    metrics = json.loads(result.log[-1])["record"]["metrics"]
    report = result.reports[0]
    assert (metrics["durationMs"], metrics["initDurationMs"]) == (report.duration_ms, report.init_ms)
    assert "before 1" in result.log


def test_lines_are_told_as_they_come(invoke: Invoke, task: Path) -> None:
    told: list[str] = []
    spec = run.FunctionSpec(task=task, handler="app.handler", python=Path(sys.executable), sandbox="none")
    result = run.run_environment(spec, [b"{}"], on_line=told.append)
    assert tuple(told) == result.log


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([], "no event"),
        ([b"{"], "not JSON"),
        ([b'"' + b"x" * (6 << 20) + b'"'], "Lambda takes 6291456 at most"),
    ],
)
def test_events_that_lambda_would_not_take_are_usage_errors(
    task: Path, events: list[bytes], message: str
) -> None:
    spec = run.FunctionSpec(task=task, handler="app.handler", python=Path(sys.executable), sandbox="none")
    with pytest.raises(UsageError, match=message):
        run.run_environment(spec, events)


def test_a_before_snapshot_hook_does_not_run_in_an_on_demand_environment(invoke: Invoke, task: Path) -> None:
    (task / "hooked.py").write_text(
        "from snapshot_restore_py import register_before_snapshot\n"
        "ran = []\nregister_before_snapshot(ran.append, 1)\ndef handler(event, context):\n    return ran\n"
    )
    assert invoke({}, handler="hooked.handler").answers == ([],)


def test_a_runtime_that_waits_for_a_restore_is_released(invoke: Invoke) -> None:
    result = invoke({"n": 1}, env={"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"})
    assert result.ok
