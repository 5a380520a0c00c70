"""What may differ between two correct answers, and what may not."""

from __future__ import annotations

import json

import pytest
from quickthaw.bench.answers import comparable, difference

LINK = (
    "https://bucket.s3.amazonaws.com/reports/a.csv?X-Amz-Algorithm=AWS4-HMAC-SHA256"
    "&X-Amz-Credential={key}%2F{day}%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Date={day}T101500Z"
    "&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Security-Token={token}&X-Amz-Signature={signature}"
)


def link(key: str = "ASIAONE", day: str = "20260101", token: str = "tok%2Fen", signature: str = "abc") -> str:
    return LINK.format(key=key, day=day, token=token, signature=signature)


def test_links_signed_at_another_time_agree() -> None:
    assert difference([link()], [link(day="20270203", signature="def")], shared_credentials=True) is None


def test_links_signed_with_other_credentials_agree_unless_credentials_are_shared() -> None:
    one, other = link(), link(key="ASIATWO", token="another", signature="def")
    assert difference([one], [other]) is None
    found = difference([one], [other], shared_credentials=True)
    assert found is not None and "ASIATWO" in found and "ASIAONE" in found


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a.csv", "b.csv"),
        ("Expires=900", "Expires=901"),
        ("eu-west-1", "eu-west-2"),
        ("=host", "=host%3Brange"),
    ],
)
def test_everything_else_in_a_link_must_agree(old: str, new: str, shared: bool) -> None:
    assert difference([link()], [link().replace(old, new)], shared_credentials=shared) is not None


def test_version_2_links_are_blanked_too() -> None:
    one = "https://bucket.s3.amazonaws.com/a?AWSAccessKeyId=A&Signature=x%3D&Expires=100"
    other = "https://bucket.s3.amazonaws.com/a?AWSAccessKeyId=B&Signature=y&Expires=200"
    assert difference([one], [other]) is None
    assert difference([one], [other], shared_credentials=True) is not None


def test_json_in_a_string_is_compared_as_json() -> None:
    one = {"body": json.dumps({"a": 1, "link": link()})}
    other = {"body": json.dumps({"link": link(signature="def"), "a": 1})}
    assert difference([one], [other], shared_credentials=True) is None


def test_text_that_only_looks_like_json_is_compared_as_text() -> None:
    assert comparable("{not json") == "{not json"
    assert difference(["{a"], ["{b"]) is not None


@pytest.mark.parametrize(
    ("want", "have", "place"),
    [
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, "answer 1.a[1].b"),
        ({"a": 1}, {"a": 1, "b": 2}, "'b' is only in this"),
        ({"a": 1, "b": 2}, {"a": 1}, "'b' is only in the cold"),
        ([1, 2], [1], "answer 1"),
        (1, True, "answer 1"),
        (1, 1.0, "answer 1"),
        (None, 0, "answer 1"),
        ("x" * 100 + "a", "x" * 100 + "b", "xb"),
    ],
)
def test_the_difference_names_its_place(want: object, have: object, place: str) -> None:
    found = difference([want], [have])
    assert found is not None and place in found


def test_a_missing_answer_is_a_difference() -> None:
    assert difference([1, 2], [1]) == "1 answers instead of 2"
