"""The modes of the criu engine by name."""

from __future__ import annotations

from quickthaw.runtime.feed import Async, Feed, Grow, Plain, Sync
from quickthaw.runtime.stream import Stream

MODES: dict[str, type[Feed]] = {"grow": Grow, "stream": Stream, "async": Async, "sync": Sync, "plain": Plain}
