"""Prints the survey as one JSON document: ``python -m quickthaw.probe [--layer DIR] [--disk PATH]``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from quickthaw.probe.survey import survey

parser = argparse.ArgumentParser(prog="python -m quickthaw.probe", description=__doc__)
parser.add_argument("--layer", type=Path, help="what lies at /opt on Lambda")
parser.add_argument("--disk", type=Path, help="file or directory whose reads are measured")
asked = parser.parse_args()
print(json.dumps(survey(layer=asked.layer, disk=asked.disk)))
