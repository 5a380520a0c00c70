"""What can go wrong, sorted by what the user can do about it.

Every error carries the process exit code that the command line ends with and
a hint, the remedy in one sentence.  Only ``quickthaw.cli`` prints them.  On
Lambda nothing of this ends the function: the bootstrap turns a `Declined`
into a cold start and logs its text as the reason.
"""

from __future__ import annotations


class QuickthawError(Exception):
    """Base of all errors of this package; its text says what failed, and on what."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(QuickthawError):
    """The command was called with something that cannot be meant; exit code 2."""

    exit_code = 2


class CannotFreeze(QuickthawError):
    """The function holds something that a snapshot cannot give back; exit code 3."""

    exit_code = 3


class BadSnapshot(QuickthawError):
    """The snapshot is damaged, incomplete or of another version; exit code 4."""

    exit_code = 4


class Unavailable(QuickthawError):
    """This machine lacks a tool, a privilege or a kernel feature; exit code 5."""

    exit_code = 5


class FunctionFailed(QuickthawError):
    """The user's function failed where it must not: import, warm-up, answer; exit code 6."""

    exit_code = 6


class ToolFailed(QuickthawError):
    """A program that we run (criu, bwrap, apt) failed; its last words are in the text; exit code 7."""

    exit_code = 7


class Declined(QuickthawError):
    """A thaw that is not done, before or while restoring; the outcome is a cold start; exit code 8."""

    exit_code = 8


class SecretFound(QuickthawError):
    """A snapshot holds a secret and goes nowhere; the text names it and never shows it; exit code 9."""

    exit_code = 9
