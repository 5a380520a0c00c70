"""A program that was run to its end at import, and one that is run after the thaw."""

import subprocess
import sys
from typing import Any

SAME = ("before", "after", "code", "interpreter")

ENDED = subprocess.Popen(["/bin/sh", "-c", "echo $((6*7)); exit 3"], stdout=subprocess.PIPE, text=True)
BEFORE, _ = ENDED.communicate()


def handler(event: Any, context: Any) -> dict[str, Any]:
    done = subprocess.run(["/bin/cat"], input="through cat", capture_output=True, text=True)
    python = subprocess.run([sys.executable, "-c", "print(sum(range(10)))"], capture_output=True, text=True)
    return {
        "before": BEFORE,
        "after": done.stdout,
        "code": ENDED.poll(),
        "interpreter": python.stdout + python.stderr,
    }
