"""What does this Lambda environment allow?  One JSON document, logged and returned.

The same questions as `quickthaw doctor`, asked by the same code: the package
`quickthaw.probe` of the quickthaw layer, which this function must carry (the
restorer and the CRIU that are tried are the layer's).  Needs no permission
beyond writing its own log, and no AWS credentials.

The event may name a file or a directory whose reads are to be measured:
{"disk": "/var/task"}; without, the snapshot's or the layer's largest file is
taken.

The questions are asked in a process of their own: they fork, and the
runtime's process has threads.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

DEADLINE_S = 60.0  # it takes a second at 1769 MB


class NoLayer(Exception):
    """The function was deployed without the quickthaw layer, or with one that has no probe."""


class ProbeFailed(Exception):
    """The probe's process ended without a document."""


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Survey this environment.

    Raises:
        NoLayer: the probe's code is not there.
        ProbeFailed: it did not come to an end; its last words are in the text.
    """
    command = [sys.executable, "-m", "quickthaw.probe"]
    if disk := event.get("disk"):
        command += ["--disk", str(disk)]
    environ = {**os.environ, "PYTHONPATH": str(package_home()), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ProbeFailed(f"the probe did not end within {DEADLINE_S:.0f} s") from error
    if done.returncode:
        raise ProbeFailed(f"the probe ended with {done.returncode}: {done.stderr.strip()[-1000:]}")
    document: dict[str, Any] = json.loads(done.stdout)
    print(json.dumps(document))
    return document


def package_home() -> Path:
    """The directory to import quickthaw from: Lambda puts the layer's on the path, else it is looked for.

    Raises:
        NoLayer: it is nowhere.
    """
    found = importlib.util.find_spec("quickthaw")
    places = [Path(place).parent for place in (found.submodule_search_locations or ())] if found else []
    for home in [*places, Path("/opt/python")]:
        if (home / "quickthaw" / "probe").is_dir():
            return home
    raise NoLayer(
        "there is no quickthaw.probe here: add the quickthaw layer (make -C layer build-QuickthawLayer) "
        "to this function"
    )
