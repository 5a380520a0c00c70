"""Files in /tmp with two names, a FIFO, modes, times, and directories that nobody else may enter."""

import os
import stat
from typing import Any

SAME = ("linked", "fifo", "modes", "times", "private")
ENGINES = ("native",)

os.makedirs("/tmp/place/private", mode=0o700)
with open("/tmp/place/first", "w") as file:
    file.write("one")
os.link("/tmp/place/first", "/tmp/place/second")
os.mkfifo("/tmp/place/fifo", 0o620)
os.chmod("/tmp/place/fifo", 0o662)
os.chmod("/tmp/place/first", 0o604)
os.utime("/tmp/place/first", ns=(10**18, 10**18 + 5))
with open("/tmp/place/private/inner", "w") as file:
    file.write("inner")
os.chmod("/tmp/place/private", 0o500)
os.utime("/tmp/place", ns=(10**18, 10**18))


def handler(event: Any, context: Any) -> dict[str, Any]:
    times = os.stat("/tmp/place/first").st_mtime_ns
    with open("/tmp/place/first", "a") as first:
        first.write(str(event["call"]))
    return {
        "linked": [open("/tmp/place/second").read(), os.stat("/tmp/place/first").st_nlink],
        "fifo": stat.filemode(os.stat("/tmp/place/fifo").st_mode),
        "modes": [stat.filemode(os.stat(f"/tmp/place/{name}").st_mode) for name in ("first", "private")],
        "times": [times if event["call"] == 1 else 0, os.stat("/tmp/place").st_mtime_ns == 10**18],
        "private": open("/tmp/place/private/inner").read(),
    }
