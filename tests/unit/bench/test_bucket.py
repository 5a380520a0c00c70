"""The bench's bucket gives what is asked for, not faster than it was told."""

from __future__ import annotations

import http.client
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from quickthaw.bench.costs.bucket import NAME, Network, bucket

FAST = Network(round_trip_s=0.0, connection_bytes_per_s=1e12, bytes_per_s=1e12)
DATA = os.urandom(300_000)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """One object, and a file beside the bucket."""
    (tmp_path / "below" / "snapshot").mkdir(parents=True)
    (tmp_path / "below" / "snapshot" / "pages").write_bytes(DATA)
    (tmp_path / "secret").write_text("not an object")
    return tmp_path / "below"


@pytest.fixture
def connection(directory: Path) -> Iterator[http.client.HTTPConnection]:
    """To a bucket without a network."""
    with bucket(directory, FAST) as url:
        made = http.client.HTTPConnection(url.removeprefix("http://"))
        yield made
        made.close()


def ask(connection: http.client.HTTPConnection, name: str, **headers: str) -> tuple[int, str | None, bytes]:
    connection.request("GET", f"/{NAME}/{name}", headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.getheader("content-range"), answer.read()


def test_whole_objects_and_ranges_come_over_one_connection(connection: http.client.HTTPConnection) -> None:
    assert ask(connection, "snapshot/pages") == (200, None, DATA)
    first = ask(connection, "snapshot/pages", range="bytes=5-99999")
    assert first == (206, "bytes 5-99999/300000", DATA[5:100_000])
    assert ask(connection, "snapshot/pages", range="bytes=299999-400000")[2] == DATA[-1:]
    assert ask(connection, "snapshot/pages", range="bytes=300000-400000") == (416, None, b"")


@pytest.mark.parametrize("name", ["nothing", "snapshot", "../secret", "snapshot/../../secret"])
def test_what_is_no_object_is_not_found(name: str, connection: http.client.HTTPConnection) -> None:
    assert ask(connection, name) == (404, None, b"")


def test_a_connection_and_all_of_them_get_no_more_than_their_share(directory: Path) -> None:
    """Lower bounds only: a busy machine is slower."""
    network = Network(round_trip_s=0.02, connection_bytes_per_s=2e6, bytes_per_s=3e6)
    with bucket(directory, network) as url:

        def fetch() -> None:
            connection = http.client.HTTPConnection(url.removeprefix("http://"))
            assert ask(connection, "snapshot/pages")[2] == DATA
            connection.close()

        begin = time.monotonic()
        fetch()
        assert time.monotonic() - begin >= 2 * 0.02 + len(DATA) / 2e6
        threads = [threading.Thread(target=fetch) for _ in range(3)]
        begin = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - begin >= 3 * len(DATA) / 3e6
