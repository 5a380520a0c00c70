"""The wake's steps, on real libraries in this process."""

from __future__ import annotations

import gc
import os
import random
import tempfile

import boto3
import pytest
from quickthaw.errors import Declined
from quickthaw.runtime import wake

DUMMY = {
    "AWS_ACCESS_KEY_ID": "DUMMY",
    "AWS_SECRET_ACCESS_KEY": "dummy",
    "AWS_SESSION_TOKEN": "dummy-token",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The checkpoint's environment, put back afterwards."""
    for name, value in DUMMY.items():
        monkeypatch.setenv(name, value)
    for name in [name for name in os.environ if name.startswith(("AWS_PROFILE", "AWS_CONFIG"))]:
        monkeypatch.delenv(name)
    return dict(os.environ)


def apply(state: wake.State, environ: dict[str, str]) -> None:
    """The steps that change the environment and the credentials."""
    context = {"environ": [f"{name}={value}" for name, value in environ.items()], "telemetry": True}
    for name, step in wake._steps(context, state, "app.handler"):
        if name in ("environment", "credentials"):
            step()


def test_clients_made_before_the_freeze_sign_with_the_new_keys(environ: dict[str, str]) -> None:
    client = boto3.Session().client("s3")
    assert "DUMMY" in client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
    state = wake.remember(environ)
    apply(
        state,
        {**environ, "AWS_ACCESS_KEY_ID": "FRESH", "AWS_SECRET_ACCESS_KEY": "new", "AWS_SESSION_TOKEN": "t2"},
    )
    url = client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
    assert "FRESH" in url and "DUMMY" not in url and "t2" in url


def test_clients_that_a_hook_moved_out_of_the_collectors_sight_are_found_too(environ: dict[str, str]) -> None:
    client = boto3.Session().client("s3")
    client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
    gc.freeze()
    try:
        state = wake.remember(environ)
    finally:
        gc.unfreeze()
    apply(state, {**environ, "AWS_ACCESS_KEY_ID": "FRESH"})
    assert "FRESH" in client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})


def test_keys_that_are_not_the_checkpoints_stay(environ: dict[str, str]) -> None:
    client = boto3.Session().client("s3", aws_access_key_id="OWN", aws_secret_access_key="own")
    state = wake.remember(environ)
    apply(state, {**environ, "AWS_ACCESS_KEY_ID": "FRESH"})
    assert "OWN" in client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})


def test_what_the_import_changed_is_applied_again(environ: dict[str, str]) -> None:
    started = {**environ, "APPENDED": "a", "PREPENDED": "z", "REMOVED": "1", "KEPT": "old"}
    os.environ.update({**started, "APPENDED": "a:more", "PREPENDED": "more:z", "SET": "by import"})
    del os.environ["REMOVED"]
    state = wake.remember(started)
    apply(state, {**environ, "APPENDED": "b", "PREPENDED": "y", "REMOVED": "2", "KEPT": "new"})
    assert os.environ["APPENDED"] == "b:more"
    assert os.environ["PREPENDED"] == "more:y"
    assert os.environ["SET"] == "by import"
    assert os.environ["KEPT"] == "new"
    assert "REMOVED" not in os.environ


def test_variables_that_vanished_are_removed(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GONE", "1")
    state = wake.remember(dict(os.environ))
    apply(state, environ)
    assert "GONE" not in os.environ


def test_bytes_that_are_not_utf8_survive(environ: dict[str, str]) -> None:
    state = wake.remember(environ)
    apply(state, {**environ, "ODD": "\udcff"})
    assert os.environb[b"ODD"] == b"\xff"


def test_randomness_is_renewed() -> None:
    random.seed(1)
    expected = random.random()
    random.seed(1)
    wake._randomness()
    assert random.random() != expected
    assert tempfile._name_sequence is None  # type: ignore[attr-defined]


def test_a_machine_whose_clock_is_younger_than_the_snapshot_is_declined(environ: dict[str, str]) -> None:
    state = wake.remember(environ)
    wake._later(state)
    state.frozen_s += 3600
    with pytest.raises(Declined, match="monotonic clock"):
        wake._later(state)


def test_only_a_longer_list_counts_as_appended(environ: dict[str, str]) -> None:
    started = {**environ, "LEVEL": "1"}
    os.environ.update({**started, "LEVEL": "10"})
    state = wake.remember(started)
    apply(state, {**environ, "LEVEL": "2"})
    assert os.environ["LEVEL"] == "10", "the import set it, as a cold start's import would"
