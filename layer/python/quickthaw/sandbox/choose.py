"""Which sandbox to use when nobody said."""

from __future__ import annotations

import os
from typing import Literal

from quickthaw.errors import Unavailable, UsageError
from quickthaw.sandbox import bubblewrap, seccomp

Choice = Literal["lambda", "none"]


def choose(wanted: str | None) -> tuple[Choice, str | None]:
    """The sandbox, and a notice for the user where it is less than what Lambda has.

    Args:
        wanted: "lambda", "none", or None for the best that this machine allows.

    Raises:
        UsageError: It is called something else.
        Unavailable: "lambda" was asked for and cannot be had.
    """
    if wanted == "none":
        return "none", None
    if wanted not in ("lambda", None):
        raise UsageError(f"there is no sandbox {wanted}", hint="--sandbox is lambda or none")
    try:
        if os.geteuid() != 0:
            raise Unavailable("a Lambda-like sandbox needs root", hint="run as root, or use --sandbox none")
        bubblewrap.executable()
        seccomp.filters(allow_list=True)
    except Unavailable as error:
        if wanted is not None:
            raise
        return (
            "none",
            f"{error}: the function runs as a plain process, with paths and permissions of this machine",
        )
    return "lambda", None
