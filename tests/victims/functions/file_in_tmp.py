"""A file in /tmp that is open for reading and writing, one that is closed, and a link."""

import os
from typing import Any

SAME = ("written", "closed", "link", "mode", "appended")
ENGINES = ("native",)
LAYOUT = "lz4"

os.makedirs("/tmp/cache/deep", exist_ok=True)
OPEN = open("/tmp/cache/open", "w+")  # noqa: SIM115 - stays open
OPEN.write("0123456789")
OPEN.flush()
LOG = open("/tmp/cache/log", "a")  # noqa: SIM115 - stays open
LOG.write("first\n")
LOG.flush()
with open("/tmp/cache/deep/closed", "w") as file:
    file.write("closed")
os.chmod("/tmp/cache/deep/closed", 0o640)
os.symlink("deep/closed", "/tmp/cache/link")


def handler(event: Any, context: Any) -> dict[str, Any]:
    OPEN.write(str(event["call"]))
    OPEN.flush()
    LOG.write(f"{event['call']}\n")
    LOG.flush()
    return {
        "written": open("/tmp/cache/open").read(),
        "closed": open("/tmp/cache/deep/closed").read(),
        "link": os.readlink("/tmp/cache/link"),
        "mode": oct(os.stat("/tmp/cache/link").st_mode),
        "appended": open("/tmp/cache/log").read(),
    }
