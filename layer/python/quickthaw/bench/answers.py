"""Compare the answer of a thawed function with the cold start's.

A signed link is right when it is signed *now*, by *this* environment: its date
and signature differ between two correct answers.  `comparable` blanks exactly
that, and nothing else, so that everything else has to be equal:

- blanked in links: X-Amz-Date, X-Amz-Signature, the date within
  X-Amz-Credential (AWS Signature Version 4, query parameters); Expires and
  Signature of the old version 2 links;
- blanked unless the environments shared their credentials: the access key id
  (X-Amz-Credential, AWSAccessKeyId) and X-Amz-Security-Token.

A bench gives all its environments the same credentials and compares the key
id and the token: a thawed function that still signs with the keys of its
checkpoint gives a wrong answer here.  Without shared credentials, compare a
key id with the environment's own.

JSON inside strings (the body of an HTTP API's answer) is compared as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import partial

SHARED_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "ASIAQUICKTHAWBENCH00",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret-the-bench-signs-for-nobody",
    "AWS_SESSION_TOKEN": "not-a-token-the-bench-signs-for-nobody",
}

_ALWAYS = (
    (re.compile(r"(X-Amz-(?:Date|Signature)=)[^&\s\"]+"), r"\1*"),
    (re.compile(r"(X-Amz-Credential=[^&/%\s\"]+(?:%2F|/))\d{8}"), r"\1*"),
    (re.compile(r"((?<=[?&])(?:Signature|Expires)=)[^&\s\"]+"), r"\1*"),
)
_CREDENTIALS = (
    (re.compile(r"(X-Amz-Credential=)[^&/%\s\"]+"), r"\1*"),
    (re.compile(r"((?i:X-Amz-Security-Token|AWSAccessKeyId)=)[^&\s\"]+"), r"\1*"),
)


def comparable(answer: object, *, shared_credentials: bool = False) -> object:
    """Return ``answer`` with everything blanked that differs between two correct answers.

    Args:
        answer: decoded JSON.
        shared_credentials: the compared environments had the same credentials.
    """
    inner = partial(comparable, shared_credentials=shared_credentials)
    if isinstance(answer, dict):
        return {key: inner(value) for key, value in answer.items()}
    if isinstance(answer, (list, tuple)):
        return [inner(value) for value in answer]
    if not isinstance(answer, str):
        return answer
    if answer[:1] in ("{", "["):
        try:
            return {"json": inner(json.loads(answer))}
        except ValueError:
            pass  # a text that only looks like JSON
    for pattern, blank in _ALWAYS if shared_credentials else _ALWAYS + _CREDENTIALS:
        answer = pattern.sub(blank, answer)
    return answer


def difference(
    expected: Sequence[object], given: Sequence[object], *, shared_credentials: bool = False
) -> str | None:
    """Return where two lists of answers differ, in one line, or None if they agree."""
    if len(expected) != len(given):
        return f"{len(given)} answers instead of {len(expected)}"
    for number, (want, have) in enumerate(zip(expected, given, strict=True), start=1):
        place = _first_difference(
            comparable(want, shared_credentials=shared_credentials),
            comparable(have, shared_credentials=shared_credentials),
            f"answer {number}",
        )
        if place:
            return place
    return None


def _first_difference(want: object, have: object, place: str) -> str | None:
    if isinstance(want, dict) and isinstance(have, dict):
        for key in [*want, *(key for key in have if key not in want)]:
            if key not in have or key not in want:
                return f"{place}: {key!r} is only in {'the cold' if key in want else 'this'} answer"
            found = _first_difference(want[key], have[key], f"{place}.{key}")
            if found:
                return found
        return None
    if isinstance(want, list) and isinstance(have, list) and len(want) == len(have):
        for index, (one, other) in enumerate(zip(want, have, strict=True)):
            found = _first_difference(one, other, f"{place}[{index}]")
            if found:
                return found
        return None
    # JSON's own idea of equality: 1 and True are equal in Python only
    if type(want) is type(have) and want == have:
        return None
    at = _first_other(str(have), str(want))
    return f"{place}: {_short(have, at)} instead of {_short(want, at)}"


def _first_other(one: str, other: str) -> int:
    """Return where two texts part, a little before it, so that long links show what is different."""
    same = next((index for index, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
    return max(0, same - 20)


def _short(value: object, start: int) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    cut = text[start : start + 60]
    return repr(f"{'...' if start else ''}{cut}{'...' if start + 60 < len(text) else ''}")
