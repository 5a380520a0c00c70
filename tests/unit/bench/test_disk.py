"""What ``--disk`` means."""

from __future__ import annotations

import os

import pytest
from quickthaw.bench import disk
from quickthaw.errors import UsageError


def test_settings_are_read() -> None:
    assert disk.parse("warm") == disk.WARM
    assert disk.parse("cold") == disk.COLD
    slow = disk.parse("60MB/s")
    assert (slow.name, slow.cold, slow.bytes_per_s) == ("60MB/s", True, 60_000_000)
    assert disk.parse("2.5 mb/s").bytes_per_s == 2_500_000


@pytest.mark.parametrize("text", ["", "hot", "60", "60 Mbit/s", "0MB/s", "-5MB/s", "60MB/s/s"])
def test_other_settings_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        disk.parse(text)
    assert "60MB/s" in caught.value.hint


def test_a_warm_disk_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sync", lambda: pytest.fail("a warm run must not touch the caches"))
    disk.WARM.prepare()
