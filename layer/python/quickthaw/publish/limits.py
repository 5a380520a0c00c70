"""Lambda's size limits, and what a build weighs against them.

Checked before anything is sent: Lambda itself says so only after the upload,
and about the layers together only when they meet on a function.

Numbers: AWS, "Lambda quotas", deployment package size and layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quickthaw.errors import UsageError

UNZIPPED_BYTES = 250 * 1024 * 1024  # function and all its layers, /var/task and /opt together
DIRECT_ZIP_BYTES = 50 * 1024 * 1024  # one zip in an API call; larger ones go through S3
LAYERS = 5  # on one function


@dataclass(frozen=True, kw_only=True)
class Part:
    """One piece of a function: its code, or a layer.

    Attributes:
        unzipped: bytes of all files.
        zipped: bytes of its zip; None if it was not zipped.
    """

    name: str
    unzipped: int
    zipped: int | None = None

    @property
    def needs_s3(self) -> bool:
        """True if its zip is too large to be sent in an API call."""
        return (self.zipped or 0) > DIRECT_ZIP_BYTES


@dataclass(frozen=True, kw_only=True)
class Load:
    """A function and everything that is unpacked with it."""

    function: str
    parts: tuple[Part, ...]
    layers: int

    @property
    def unzipped(self) -> int:
        """Bytes, all parts together."""
        return sum(part.unzipped for part in self.parts)

    @property
    def problems(self) -> tuple[str, ...]:
        """What Lambda would refuse."""
        found = []
        if self.unzipped > UNZIPPED_BYTES:
            parts = ", ".join(f"{part.name} {megabytes(part.unzipped)}" for part in self.parts)
            found.append(
                f"{self.function} has {megabytes(self.unzipped)} unzipped ({parts}); "
                f"Lambda takes {megabytes(UNZIPPED_BYTES)}"
            )
        if self.layers > LAYERS:
            found.append(f"{self.function} has {self.layers} layers; Lambda takes {LAYERS}")
        return tuple(found)


def tree_bytes(directory: Path) -> int:
    """Bytes of all regular files below a directory, as Lambda unpacks them."""
    return sum(
        path.stat().st_size for path in directory.rglob("*") if path.is_file() and not path.is_symlink()
    )


def refuse_too_large(load: Load) -> None:
    """Raises UsageError where Lambda would refuse a function with these parts."""
    if load.problems:
        raise UsageError(
            "; ".join(load.problems),
            hint="A snapshot with `--layout lz4` is the smallest; an image takes 10 GB (--image-dir).",
        )


def megabytes(count: int) -> str:
    """For people; a MB of Lambda's limits is 1024 * 1024 bytes."""
    return f"{count / (1 << 20):.1f} MB"


def weigh(name: str, directories: Sequence[Path]) -> Load:
    """A function made of these directories, the first being its code."""
    parts = tuple(Part(name=path.name, unzipped=tree_bytes(path)) for path in directories)
    return Load(function=name, parts=parts, layers=max(0, len(directories) - 1))
