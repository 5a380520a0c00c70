"""Runs the restorer on many variants of one snapshot, inside one sandbox.

usage: many.py CASES RESTORER SNAPSHOT

CASES: JSON list of {"file", "data" (offset into CASES.bin), "size"}; each replaces one file of
SNAPSHOT/native for one thaw.  Prints one JSON list: what came of each.
"""

import glob
import json
import os
import subprocess
import sys

DEADLINE_S = 20


def main(cases_path: str, restorer: str, snapshot: str) -> None:
    """Try them all."""
    with open(cases_path) as file, open(cases_path + ".bin", "rb") as contents:
        cases, blob = json.load(file), contents.read()
    own = "/tmp/variant"
    os.makedirs(f"{own}/native")
    results = []
    for case in cases:
        for name in os.listdir(f"{snapshot}/native"):
            link = f"{own}/native/{name}"
            if os.path.lexists(link):
                os.unlink(link)
            if name != case["file"]:
                os.symlink(f"{snapshot}/native/{name}", link)
        with open(f"{own}/native/{case['file']}", "wb") as variant:
            variant.write(blob[case["data"] : case["data"] + case["size"]])
        results.append(thaw(restorer, own))
    print(json.dumps(results), flush=True)


def thaw(restorer: str, snapshot: str) -> str:
    """One of: declined: ..., answered, wrong: ..., died: ..., hangs."""
    for attempt in glob.glob("/tmp/.quickthaw-*"):  # each case is to be the first one of its environment
        os.unlink(attempt)
    command = [restorer, snapshot, "/bin/sh", "-c", 'echo "declined: $QUICKTHAW_DECLINED"']
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(os.environ),
    )
    try:
        output, _ = child.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        return "hangs"
    text = output.decode(errors="replace")
    for line in text.splitlines():
        if line.startswith("declined: "):
            return line
        if line.startswith('{"context"'):
            results = json.loads(line)["results"]
            good = results and not any(results.values())
            return "answered" if good and child.returncode == 0 else f"wrong: {line}"
    return f"died: {child.returncode} {text[-300:]}"


if __name__ == "__main__":
    main(*sys.argv[1:])
