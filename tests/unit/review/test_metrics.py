"""Metrics of a start: valid embedded metric format, few dimensions, few reasons."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from quickthaw.runtime import metrics

from tests.unit.review.conftest import FELL_BACK, THAWED

RUNTIME = Path(metrics.__file__).parent
UNITS = {"Count", "Milliseconds", "None"}


def check_embedded(line: dict[str, Any]) -> None:
    """The rules of AWS's specification of the embedded metric format that a document can break."""
    aws = line["_aws"]
    assert isinstance(aws["Timestamp"], int)
    assert aws["Timestamp"] > 1_500_000_000_000, "milliseconds, not seconds"
    for directive in aws["CloudWatchMetrics"]:
        assert 1 <= len(directive["Namespace"]) <= 255
        assert directive["Dimensions"]
        for dimensions in directive["Dimensions"]:
            assert len(dimensions) <= 30
            assert all(isinstance(line[name], str) and 1 <= len(line[name]) <= 1024 for name in dimensions)
        assert 1 <= len(directive["Metrics"]) <= 100
        for metric in directive["Metrics"]:
            assert set(metric) <= {"Name", "Unit", "StorageResolution"}
            assert metric["Unit"] in UNITS
            assert isinstance(line[metric["Name"]], (int, float))


def of(record: dict[str, Any]) -> dict[str, Any]:
    return metrics.members(record, function="risk", timestamp_ms=1_790_000_000_000)


def test_a_thaw_gives_its_times_in_milliseconds_and_no_fallback() -> None:
    line = of(json.loads(THAWED))
    check_embedded(line)
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [
        ["FunctionName"],
        ["FunctionName", "Engine"],
    ]
    values = {key: value for key, value in line.items() if key != "_aws"}
    assert values == {
        "FunctionName": "risk",
        "Engine": "native",
        "Fallback": 0,
        "ThawDuration": 31,
        "DecompressDuration": 20,
        "PageWait": 1,
        "WakeDuration": 4,
        "ColdInitSaved": 1500,
    }


def test_a_fallback_has_engine_and_reason_as_dimensions() -> None:
    line = of(json.loads(FELL_BACK))
    check_embedded(line)
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"][1] == ["FunctionName", "Engine", "Reason"]
    assert (line["Fallback"], line["Engine"], line["Reason"]) == (1, "cold", "other-machine")
    assert line["LostDuration"] == json.loads(FELL_BACK)["lost_s"] * 1000


def test_a_time_that_is_missing_is_no_metric() -> None:
    line = of({"engine": "criu", "total_s": 0.1, "cold_init_saved_s": None})
    check_embedded(line)
    assert {metric["Name"] for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]} == {
        "Fallback",
        "ThawDuration",
    }


def test_a_function_that_does_not_want_to_be_thawed_has_no_metrics() -> None:
    assert of({"engine": "cold", "reason": metrics.OFF}) == {}


def test_the_members_can_share_a_line_with_the_record() -> None:
    record = json.loads(THAWED)
    assert not set(record) & set(of(record))


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("this CPU lacks avx512f avx512bw", "other-machine"),
        ("the snapshot is for x86_64, this machine is aarch64", "other-machine"),
        ("the snapshot is of cpython-312, the runtime is cpython-313", "other-version"),
        ("the snapshot has format 2, this quickthaw reads format 1", "other-version"),
        ("no snapshot at /opt/snapshot: No such file or directory", "no-snapshot"),
        ("/opt/snapshot/images/core-1.img is damaged: its checksum does not fit", "damaged"),
        ("/var/lang/lib/libpython3.12.so has 12 bytes, 13 when it was frozen", "file-changed"),
        ("/var/lang/bin/python3.11: No such file or directory", "file-changed"),
        ("the thaw took longer than 5 s (no woke)", "too-slow"),
        ("the thaw made no progress for 0.25 s (no criu)", "too-slow"),
        ("the thaw failed 2 times in this environment and is not tried again", "failed-before"),
        (
            "the native restorer is not in this layer; CRIU needs CAP_CHECKPOINT_RESTORE or root",
            "not-installed",
        ),
        ("CRIU needs CAP_CHECKPOINT_RESTORE or root, this process has neither", "not-permitted"),
        ("QUICKTHAW_MODE=fast is none of grow, stream, async, sync, plain", "misconfigured"),
        ("unexpected KeyError: 'pages'", "defect"),
        ("something nobody thought of", "other"),
        (
            "cannot fetch s3://pages/lz4/native/plan: 403 AccessDenied; CRIU needs CAP_CHECKPOINT_RESTORE",
            "fetch-failed",
        ),
        ("", "other"),
    ],
)
def test_a_reason_becomes_one_of_few_words(reason: str, word: str) -> None:
    assert metrics.word(reason) == word
    assert word in metrics.REASONS


def test_paths_and_numbers_never_become_a_dimension() -> None:
    assert len(metrics.REASONS) < 20
    assert metrics.word("/tmp/x/7f3a: No space left on device") == "no-room"


def test_the_module_imports_nothing_on_the_restore_path() -> None:
    tree = ast.parse((RUNTIME / "metrics.py").read_text(encoding="utf-8"))
    at_import = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in at_import] == ["from __future__ import annotations"]
