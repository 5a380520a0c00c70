"""The small JSON of the restore path agrees with the standard library's."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quickthaw.snapshot import plainjson

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(DOCUMENTS)
def test_what_json_writes_is_read(document: object) -> None:
    assert plainjson.loads(json.dumps(document, indent=1)) == document
    assert plainjson.loads(f"\n {json.dumps(document)}\t") == document


@given(DOCUMENTS)
def test_what_is_written_json_reads(document: object) -> None:
    assert json.loads(plainjson.dumps(document)) == document


@given(st.floats(min_value=-1e6, max_value=1e6))
def test_seconds_keep_their_microseconds(seconds: float) -> None:
    assert json.loads(plainjson.dumps(seconds)) == pytest.approx(seconds, abs=1e-6)


@given(st.text(alphabet='{}[]",:0123456789.eE+-truefalsn \n\\ux', max_size=30))
def test_the_two_refuse_the_same_texts(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            plainjson.loads(text)
    else:
        assert plainjson.loads(text) == expected


def test_lone_surrogates_survive() -> None:
    assert json.loads(plainjson.dumps({"a": "\udcff"})) == {"a": "\udcff"}


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="bytes has no JSON form"):
        plainjson.dumps({"a": b""})
