"""Learns which pages a first request touches, and lays the snapshot out for it."""

from quickthaw.learn.record import record
from quickthaw.learn.run import Learned, learn

__all__ = ["Learned", "learn", "record"]
