"""The command line starts without what only some commands need."""

from __future__ import annotations

import json
import subprocess
import sys


def test_no_command_waits_for_libraries_that_others_draw_or_call_aws_with() -> None:
    code = "import sys, json, quickthaw.cli.app; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & {"matplotlib", "numpy", "boto3", "botocore", "pyseccomp"}
