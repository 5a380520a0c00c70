"""What the disk holds in memory when a run starts: page cache warm, cold, or cold behind a slow device.

``warm`` leaves everything as the run before left it (a bench makes one run of
each arm first, which is not counted).  ``cold`` drops the kernel's caches
before every run; a speed like ``60MB/s`` does so too and throttles reads to
it: 60 MB/s is what CRaC's example-lambda takes for Lambda's storage.

The whole machine's caches are dropped, not single files (posix_fadvise): a
file that somebody maps is not dropped, and which files a start reads is just
what is being measured.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from quickthaw.errors import Unavailable, UsageError

_DROP = Path("/proc/sys/vm/drop_caches")
_SPEED = re.compile(r"(\d+(?:\.\d+)?)\s*MB/s", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A disk setting; ``bytes_per_s`` None is the device's own speed."""

    name: str
    cold: bool
    bytes_per_s: int | None = None

    def prepare(self) -> None:
        """Bring the page cache into the state in which a run starts.

        Raises:
            Unavailable: the kernel does not let us drop its caches.
        """
        if not self.cold:
            return
        os.sync()  # dirty pages would stay
        try:
            _DROP.write_text("3")
        except OSError as error:
            raise Unavailable(
                f"cannot drop the page cache: {_DROP}: {error.strerror}",
                hint="--disk cold needs root on a machine (not a container) of your own; use --disk warm",
            ) from error


WARM = Disk(name="warm", cold=False)
COLD = Disk(name="cold", cold=True)


def parse(text: str) -> Disk:
    """Return the setting that ``--disk`` names: warm, cold, or a speed in MB/s (1 MB is 1,000,000 bytes).

    Raises:
        UsageError: it names none.
    """
    if text in (WARM.name, COLD.name):
        return WARM if text == WARM.name else COLD
    speed = _SPEED.fullmatch(text)
    if speed is None or float(speed[1]) <= 0:
        raise UsageError(f"--disk {text} is neither warm, cold nor a speed", hint="write a speed as 60MB/s")
    return Disk(name=f"{speed[1]}MB/s", cold=True, bytes_per_s=int(float(speed[1]) * 1_000_000))
