"""Which variables are secrets, and that the user's patterns are read and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from quickthaw.errors import UsageError
from quickthaw.secrets.wanted import user_patterns, wanted

SECRET = {
    "GITHUB_TOKEN": "ghs_16C7e42F292c6912E7710c838347Ae178B4a",
    "AWS_SECRET_ACCESS_KEY": "/E7x4kSl0aQm+1rT9uWc3dFgH6jKpLzXvBnM2qYo",
    "AWS_ACCESS_KEY_ID": "AKIA2E0A8F3B244C9986",
    "NPM_CONFIG__AUTHTOKEN": "abc-12345",
    "MYSQL_PWD": "correct horse",
    "DJANGO_KEY": "django-insecure-1a2b",
    "SENTRY_DSN": "https://abc123@o0.ingest.sentry.io/0",
    "HEROKU": "bX8kq2LwZ0pT7vRn4YcJ6sHd",  # by its looks
    "BROKER": "amqp://app:s3cr3tpw%21@rabbit:5672",  # by the password inside
}
PLAIN = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/root",
    "PWD": "/usr/lib",
    "OLDPWD": "/usr/share",
    "LANG": "en_US.UTF-8",
    "TERM": "xterm-256color",
    "AWS_REGION": "us-east-1",
    "GITHUB_SHA": "ffac537e6cbbf934b08745a378932722df287a53",
    "RUNNER_TRACKING_ID": "github_1c0ac1f8-2e0d-4e1b-9d0d-9c5bb4a93b6c",
    "SSH_AUTH_SOCK": "/tmp/ssh-XXabcdef/agent.4242",
    "XDG_SESSION_TYPE": "wayland",
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1000/bus",
    "TOKENIZERS_PARALLELISM": "false",
    "FEATURE": "enable-new-checkout-flow-2024-for-all",
    "INDEX": "https://pypi.example.org/simple",
    "EMPTY_TOKEN": "",
}


def names(environ: dict[str, str]) -> set[str]:
    return {value.name for value in wanted(environ).values}


@pytest.mark.parametrize("name", SECRET)
def test_a_secret_is_looked_for(name: str) -> None:
    assert names({name: SECRET[name]}) == {name}


@pytest.mark.parametrize("name", PLAIN)
def test_what_every_environment_has_is_not_looked_for(name: str) -> None:
    what = wanted({name: PLAIN[name]})
    assert (what.values, what.too_short) == ((), ())


def test_a_secret_too_short_to_be_found_for_sure_is_named() -> None:
    what = wanted({"DB_PASS": "hunter2"})
    assert (what.values, what.too_short) == ((), ("DB_PASS",))
    assert "too short to look for: DB_PASS" in str(what)


def test_a_file_of_patterns_has_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "patterns"
    file.write_text("# ours\nours=sk-[a-z0-9]{8}\n\nmail=[a-z]+@example[.]org\n")
    assert [one.name for one in user_patterns(["first=x="], [file])] == ["first", "ours", "mail"]


@pytest.mark.parametrize(
    "setting", ["hunter22", "=hunter22", "hunter22=", "a b=hunter22", "p=hunter22(", "p=(hunter22)?"]
)
def test_a_pattern_that_cannot_be_meant_is_refused_without_being_shown(setting: str) -> None:
    with pytest.raises(UsageError) as caught:
        user_patterns([setting], [])
    assert "hunter22" not in str(caught.value) + caught.value.hint
    assert caught.value.__cause__ is None


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="absent"):
        user_patterns([], [tmp_path / "absent"])
