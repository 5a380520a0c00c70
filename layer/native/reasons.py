"""Prints the table that turns reasons into words for report.c: the one of quickthaw.runtime.metrics."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))
sys.dont_write_bytecode = True

from quickthaw.runtime import metrics  # noqa: E402 - the path must be set first

for part, word in metrics.WORDS:
    print(f'"{part}\\0" "{word}\\0"')
