"""What must not be in a snapshot: values of the environment, the shapes of AWS's keys, the user's patterns.

A value exists here in memory only.  What is stored, printed or logged is the
name of its variable: neither the value nor a digest of it (a password's
digest can be guessed), and no user's pattern either, which may be a value.

Not every variable is looked for: `LANG` and `PATH` are in every process.  A
variable counts when its name says so (TOKEN, PASSWORD, ...), when its value
looks like nothing but a key (long, mixed, without structure), or for the
password inside of a URL.  Values shorter than 8 characters would be found by
chance; those are named as not looked for.
"""

from __future__ import annotations

import base64
import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from quickthaw.errors import UsageError

SHORTEST: Final = 8  # characters; anything shorter is found by chance
_LONGEST: Final = 1024  # characters of a value that are compared; nothing else begins like that
_RANDOM_LENGTH: Final = 20  # characters of a value that is taken for a key by its looks
_RANDOM_BITS: Final = 3.5  # entropy per character: words have 2.5 to 3.3, base64 of random bytes 4 and more
_BASE64_SHORTEST: Final = 10  # characters of base64 that do not depend on their neighbours

_SECRET_NAME: Final = re.compile(
    r"(?i)secret|token|passw|passphrase|credential|api_?key|access_?key|private|auth|cookie|session"
    r"|signature|dsn|conn(ection)?_?str|(^|_)(key|pat|pass|pw|pwd)(_|$)"
)
# Identities of a build, which may well stand in a function's code.
_PUBLIC_NAME: Final = re.compile(
    r"(?i)sha|commit|rev(ision)?|digest|hash|version|build|tag|(^|_)id$|path|dir$|url$"
)
_PLACE_NAME: Final = re.compile(r"(?i)(sock|file|path|dir|home)$")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class Value:
    """The value of one variable, in every form in which memory may hold it; never printed."""

    name: str
    forms: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A shape.

    Attributes:
        name: what a hit is called.
        regex: of bytes; one character is one byte.
        anchors: texts with which every match begins; none: the pattern is searched everywhere.
    """

    name: str
    regex: re.Pattern[bytes] = field(repr=False)
    anchors: tuple[bytes, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """All that is looked for.

    Attributes:
        values: of variables.
        patterns: AWS's shapes and the user's own.
        too_short: variables that look secret and are too short to be looked for.
    """

    values: tuple[Value, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    too_short: tuple[str, ...] = ()

    def __str__(self) -> str:
        short = f"; too short to look for: {', '.join(self.too_short)}" if self.too_short else ""
        return f"{len(self.values)} values of the environment, {len(self.patterns)} patterns{short}"


# Key ids: IAM's documentation, "Unique identifiers" (AKIA long-term, ASIA temporary).  Its example keys
# end in EXAMPLE and stand in botocore's own data.  A secret key has 40 characters of base64 and no
# mark, so it is one where it is called one.  Session tokens begin with the header of what STS encrypts.
_EDGE: Final = rb"(?![A-Za-z0-9+/=_-])"
AWS: Final = (
    Pattern(
        name="aws-access-key-id",
        regex=re.compile(rb"(?<![A-Za-z0-9+/_-])(?:AKIA|ASIA)(?![A-Z0-9]{9}EXAMPLE)[A-Z0-9]{16}" + _EDGE),
        anchors=(b"AKIA", b"ASIA"),
    ),
    Pattern(
        name="aws-secret-access-key",
        regex=re.compile(
            rb"(?i:secret_?access_?key)[\"']?\s{0,4}[=:>]\s{0,4}[\"']?"
            rb"(?![A-Za-z0-9+/]{30}EXAMPLEKEY)(?=[A-Za-z0-9+/]{0,39}[0-9])[A-Za-z0-9+/]{40}" + _EDGE
        ),
        anchors=(b"SecretAccessKey", b"secretAccessKey", b"secret_access_key", b"SECRET_ACCESS_KEY"),
    ),
    Pattern(
        name="aws-session-token",
        regex=re.compile(
            rb"(?<![A-Za-z0-9+/_-])(?:IQoJb3JpZ2lu|F[wQ]oGZXIvYXdz|FQoDYXdz)[A-Za-z0-9+/=%]{80}"
        ),
        anchors=(b"IQoJb3JpZ2lu", b"FwoGZXIvYXdz", b"FQoGZXIvYXdz", b"FQoDYXdz"),
    ),
)


def wanted(
    environ: Mapping[str, str],
    patterns: Iterable[Pattern] = (),
    *,
    exists: Callable[[str], bool] = os.path.exists,
) -> Wanted:
    """What to look for on behalf of whoever has this environment.

    Args:
        environ: the environment of the command, and what `--env` adds to the function's.
        patterns: the user's own.
        exists: tells paths from values.
    """
    values, too_short = [], []
    for name, value in sorted(environ.items()):
        for piece in _secret_parts(name, value, exists):
            if len(piece) < SHORTEST:
                too_short.append(name)
            else:
                values.append(Value(name=name, forms=forms(piece)))
    return Wanted(values=tuple(values), patterns=(*AWS, *patterns), too_short=tuple(dict.fromkeys(too_short)))


def user_patterns(settings: Iterable[str], files: Iterable[Path]) -> list[Pattern]:
    """Patterns of `--secret NAME=REGEX` and of files with one such line each; # begins a comment line.

    Raises:
        UsageError: a line is none, a regular expression is wrong, or a file cannot be read.
    """
    found = [_pattern(setting, "--secret") for setting in settings]
    for path in files:
        try:
            lines = path.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--secrets {path}: {error}") from error
        for number, line in enumerate(lines, 1):
            if line.strip() and not line.startswith("#"):
                found.append(_pattern(line, f"{path}, line {number}"))
    return found


def _pattern(setting: str, where: str) -> Pattern:
    # Neither the setting nor the compiler's message goes into the text: they may hold the secret itself.
    name, equals, expression = setting.partition("=")
    hint = "Write NAME=REGEX; the name is what a hit is called."
    if not equals or not expression or not _NAME.fullmatch(name):
        raise UsageError(f"{where} is not NAME=REGEX", hint=hint)
    try:
        regex = re.compile(expression.encode())
    except re.error as error:
        raise UsageError(f"{where}: the regular expression of {name} is wrong at {error.pos}") from None
    if regex.match(b""):
        raise UsageError(f"{where}: the regular expression of {name} matches nothing at all", hint=hint)
    return Pattern(name=name, regex=regex)


def _secret_parts(name: str, value: str, exists: Callable[[str], bool]) -> list[str]:
    """The whole value, a password inside of it, or nothing where it is no secret."""
    if value.startswith(("/", "~", "./")) and (_PLACE_NAME.search(name) or exists(os.path.expanduser(value))):
        return []  # "/" alone tells nothing: secret keys of AWS may begin with it
    parts: list[str] = []
    if "://" in value:
        try:
            password = urlsplit(value).password
        except ValueError:
            password = None
        if password:
            parts += {password, unquote(password)}
    if _SECRET_NAME.search(name):
        return parts if not value or _is_plain(value) else [*parts, value]
    if not parts and not _PUBLIC_NAME.search(name) and _looks_random(value):
        parts.append(value)
    return parts


def _is_plain(value: str) -> bool:
    """Whether a value is a word, a number or a switch, whatever its variable is called."""
    return bool(re.fullmatch(r"[a-z]{1,10}|[A-Z]{1,10}|[0-9.]{1,8}|unix:\S*", value))


def _looks_random(value: str) -> bool:
    if len(value) < _RANDOM_LENGTH or not re.fullmatch(r"[A-Za-z0-9+=_~][A-Za-z0-9+/=_.~-]*", value):
        return False
    classes = [bool(re.search(kind, value)) for kind in (r"\d", r"[a-z]", r"[A-Z]")]
    if not classes[0] or sum(classes) < (3 if re.search(r"[._-]", value) else 2):
        return False  # words with dashes between them: a name, a version, a feature flag
    counts = Counter(value).values()
    bits = -sum(count / len(value) * math.log2(count / len(value)) for count in counts)
    # Words joined by dashes are as mixed; their letters come in runs of one case.
    longest = max(map(len, re.findall(r"[a-z]*", value)))
    return bits >= _RANDOM_BITS and longest <= 8


def forms(value: str) -> tuple[bytes, ...]:
    """Bytes that memory may hold of a text, each once.

    UTF-16 and UTF-32 of ASCII are not among them: the search reads wide text as if it were narrow.
    """
    value = value[:_LONGEST]
    found = {value.encode("utf-8", "surrogateescape")}
    if not value.isascii():
        for encoding in ("latin-1", "utf-16-le", "utf-32-le"):
            try:
                found.add(value.encode(encoding))
            except UnicodeEncodeError:
                continue
    found |= {quote(value, safe="", errors="surrogateescape").encode(), json.dumps(value)[1:-1].encode()}
    for data in list(found):
        for shift in range(3):
            # The first characters depend on what stands before the value, the last on what follows it.
            text = base64.b64encode(bytes(shift) + data)[-(-shift * 8 // 6) : (shift + len(data)) * 8 // 6]
            if len(text) >= _BASE64_SHORTEST:
                found |= {text, text.translate(bytes.maketrans(b"+/", b"-_"))}
    return tuple(sorted(found))
