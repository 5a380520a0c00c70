"""The one error of the bundle: what failed, on what, and what to do next."""

from __future__ import annotations


class BundleError(Exception):
    """The bundle cannot be made; `hint` is the remedy in one sentence."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
