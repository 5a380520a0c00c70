"""An environment that the import set, appended to, prepended to and deleted from."""

import os
import subprocess
from typing import Any

SAME = ("set", "path", "prepended", "deleted", "child")

os.environ["MINE"] = "set at import"
os.environ["PATH"] += ":/appended"
os.environ["PYTHONPATH"] = "/prepended:" + os.environ["PYTHONPATH"]
del os.environ["AWS_XRAY_CONTEXT_MISSING"]
os.putenv("ONLY_IN_C", "yes")


def handler(event: Any, context: Any) -> dict[str, Any]:
    child = subprocess.run(
        ["/bin/sh", "-c", 'echo "$MINE $ONLY_IN_C ${AWS_XRAY_CONTEXT_MISSING-gone}"'],
        capture_output=True,
        text=True,
    )
    return {
        "set": os.environ["MINE"],
        "path": os.environ["PATH"].endswith(":/appended"),
        "prepended": os.environ["PYTHONPATH"].startswith("/prepended:/var/runtime"),
        "deleted": "AWS_XRAY_CONTEXT_MISSING" in os.environ,
        "child": child.stdout.strip(),
    }
