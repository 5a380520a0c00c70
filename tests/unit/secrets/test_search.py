"""A secret is found in whatever form memory holds it, over every edge, and nothing else is."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quickthaw.secrets.leak import Leak, Stream
from quickthaw.secrets.search import OVERLAP, search
from quickthaw.secrets.wanted import AWS, Wanted, user_patterns, wanted

PASSWORD = "tr0ub4dor&3-horse"
KEY_ID = "AKIA2E0A8F3B244C9986"
NOISE = os.urandom(1 << 16)


def stream(*pieces: tuple[int, bytes], space: str = "memory") -> Stream:
    return Stream(space=space, pieces=pieces, place=lambda _address: "heap")


def found(pieces: Iterable[tuple[int, bytes]], what: Wanted) -> dict[str, int]:
    return {leak.name: leak.count for leak in search([stream(*pieces)], what)}


def of(value: str) -> Wanted:
    return wanted({"DB_PASSWORD": value})


@pytest.mark.parametrize(
    "held",
    [
        PASSWORD.encode(),
        PASSWORD.encode("utf-16-le"),
        PASSWORD.encode("utf-32-le"),
        b"x" + PASSWORD.encode("utf-16-le"),
        b"xyz" + PASSWORD.encode("utf-32-le"),
        base64.b64encode(PASSWORD.encode()),
        base64.b64encode(b"admin:" + PASSWORD.encode()),
        base64.b64encode(b"root:" + PASSWORD.encode() + b"\n"),
        b"postgres://app:tr0ub4dor%263-horse@db",
    ],
    ids=["utf-8", "utf-16", "utf-32", "odd utf-16", "odd utf-32", "base64", "basic auth", "base64+", "url"],
)
def test_a_value_is_found_in_every_form(held: bytes) -> None:
    assert found([(0x1000, NOISE + held + NOISE)], of(PASSWORD)) == {"DB_PASSWORD": 1}


@pytest.mark.parametrize("value", ["pässwörter-2024", "пароль-пароль", "秘密の合言葉です🗝"])
def test_a_value_beyond_ascii_is_found_as_python_keeps_it(value: str) -> None:
    widest = max(map(ord, value))
    encoding = "latin-1" if widest < 256 else "utf-16-le" if widest < 65536 else "utf-32-le"
    for form in (value.encode(), value.encode(encoding)):
        assert found([(0, NOISE + form + NOISE)], of(value)) == {"DB_PASSWORD": 1}


def test_a_value_in_a_python_string_with_a_wide_neighbour_is_found() -> None:
    text = f"{{'currency': '€', 'password': '{PASSWORD}', 'id': '{KEY_ID}'}}"
    held = text.encode("utf-16-le")
    assert found([(0, NOISE + held)], of(PASSWORD)) == {"DB_PASSWORD": 1, "aws-access-key-id": 1}


@pytest.mark.parametrize("before", range(1, len(PASSWORD)))
def test_a_value_over_a_pages_edge_is_found(before: int) -> None:
    page = bytes(4096 - before) + PASSWORD.encode()[:before]
    rest = PASSWORD.encode()[before:].ljust(4096, b"\0")
    assert found([(0x7000, page), (0x8000, rest)], of(PASSWORD)) == {"DB_PASSWORD": 1}
    assert found([(0x7000, page), (0x9000, rest)], of(PASSWORD)) == {}, "those pages do not adjoin"


@settings(deadline=None, max_examples=50)  # a busy machine is no defect
@given(at=st.integers(0, 6 * OVERLAP), cuts=st.lists(st.integers(1, 6 * OVERLAP), max_size=6))
def test_a_value_is_found_once_wherever_it_lies_and_however_memory_is_cut(at: int, cuts: list[int]) -> None:
    whole = bytes(at) + PASSWORD.encode() + bytes(6 * OVERLAP - at)
    edges = [0, *sorted(cuts), len(whole)]
    pieces = [
        (0x1000 + begin, whole[begin:end])
        for begin, end in zip(edges, edges[1:], strict=False)
        if end > begin
    ]
    assert found(pieces, of(PASSWORD)) == {"DB_PASSWORD": 1}


def test_a_hit_at_one_address_of_two_streams_counts_once() -> None:
    pieces = (0x1000, PASSWORD.encode())
    both = search([stream(pieces), stream(pieces), stream(pieces, space="images/x")], of(PASSWORD))
    assert both == (Leak(name="DB_PASSWORD", places=(("heap", 2),)),)


@pytest.mark.parametrize(
    ("held", "name"),
    [
        (f"key={KEY_ID};", "aws-access-key-id"),
        ("ASIA2E0A8F3B244C9986", "aws-access-key-id"),
        ("AWS_SECRET_ACCESS_KEY=xE7/4kSl0aQm+1rT9uWc3dFgH6jKpLzXvBnM2qYo", "aws-secret-access-key"),
        ('"SecretAccessKey" : "xE7/4kSl0aQm+1rT9uWc3dFgH6jKpLzXvBnM2qYo"', "aws-secret-access-key"),
        ("IQoJb3JpZ2lu" + "X2VjEPT" * 20, "aws-session-token"),
        ("FwoGZXIvYXdz" + "EBYaDK7" * 20, "aws-session-token"),
    ],
)
def test_the_shapes_of_aws_keys_are_found_narrow_and_wide(held: str, name: str) -> None:
    for data in (held.encode(), held.encode("utf-16-le"), held.encode("utf-32-le")):
        assert found([(0, b"\0" * 8 + data + b"\0" * 8)], Wanted(patterns=AWS)) == {name: 1}


@pytest.mark.parametrize(
    "held",
    [
        "AKIAIOSFODNN7EXAMPLE",  # of AWS's documentation, which botocore brings along
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "QUICKTHAWDUMMYKEY000",
        "quickthaw-dummy-secret",
        "xAKIA2E0A8F3B244C9986",
        "AKIA2E0A8F3B244C99867",
        "ASIA/Kolkata and ASIA",
        "secret_access_key=None, region_name=None, aws_session_token=None, config",
    ],
)
def test_what_only_resembles_a_key_is_not_reported(held: str) -> None:
    assert found([(0, held.encode())], Wanted(patterns=AWS)) == {}


def test_a_users_pattern_is_found_under_its_name() -> None:
    patterns = user_patterns(["card=4[0-9]{15}"], [])
    assert found([(0, b"..4111111111111111..4111111111111112")], Wanted(patterns=tuple(patterns))) == {
        "card": 2
    }


def test_many_values_cost_no_more_than_few() -> None:
    data = NOISE * 256  # 16 MB
    few, many = (
        wanted({f"T{number}_TOKEN": os.urandom(15).hex() for number in range(count)}) for count in (1, 300)
    )
    took = []
    for what in (few, many, few, many):
        begin = time.process_time()
        assert found([(0, data)], what) == {}
        took.append(time.process_time() - begin)
    assert min(took[1::2]) < 4 * min(took[::2])


def test_what_was_found_does_not_show_it() -> None:
    what = of(PASSWORD)
    (leak,) = search([stream((0, PASSWORD.encode()))], what)
    assert "DB_PASSWORD" in repr(what) and "1 values" in str(what)
    for text in (repr(leak), str(leak), repr(what), str(what)):
        assert PASSWORD not in text
