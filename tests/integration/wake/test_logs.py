"""Logging of a thawed function is the runtime's, of the environment it runs in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from quickthaw.emulator.run import EnvironmentRun

from tests.integration.wake.conftest import ENGINES, Function

USUAL = """
    import logging, sys
    logging.basicConfig(level=logging.INFO, format="doubled %(message)s")  # nothing: the runtime was first
    logger = logging.getLogger("mine")
    logger.setLevel("INFO")
    OUT = sys.stdout

    def handler(event, context):
        logger.info("to the log")
        logging.getLogger().warning("warned")
        logging.getLogger().debug("never seen")
        OUT.write("written before the answer\\n")
        print("printed")
        root = logging.getLogger()
        def name(thing): return type(thing).__module__ + "." + type(thing).__name__
        return {
            "handlers": [name(one) for one in root.handlers], "level": root.level,
            "stream": name(sys.stdout), "same": OUT is sys.stdout,
            "formatter": type(root.handlers[0].formatter).__name__ if root.handlers else None,
        }
"""

OWN = {
    "formatter of its own": """
        import logging
        logging.getLogger().handlers[0].setFormatter(logging.Formatter("own %(message)s"))
        logging.getLogger().setLevel("INFO")
    """,
    "handler of its own": """
        import logging, sys
        root = logging.getLogger()
        for one in list(root.handlers): root.removeHandler(one)
        one = logging.StreamHandler(sys.stdout)
        one.setFormatter(logging.Formatter("own %(message)s"))
        root.addHandler(one)
        root.setLevel("INFO")
    """,
}

COUNTED = """
        def handler(event, context):
            logging.info("hello")
            return len(logging.getLogger().handlers)
"""


def said(run: EnvironmentRun, word: str) -> list[Any]:
    """The lines with a word, as JSON objects without what differs, or as texts without time and id."""
    found: list[Any] = []
    for line in run.log:
        if word not in line:
            continue
        try:
            record = json.loads(line)
            found.append({k: v for k, v in record.items() if k not in ("timestamp", "requestId")})
        except ValueError:
            parts = line.split("\t")
            found.append([parts[0], *parts[3:]])
    return found


@pytest.mark.parametrize("log_format", ["Text", "JSON"])
def test_the_log_is_a_cold_starts(log_format: str, function: Function) -> None:
    function.write(USUAL)
    function.freeze({}, layout="lz4")
    more = {"env": {"AWS_LAMBDA_LOG_LEVEL": "INFO"}} if log_format == "JSON" else {}
    cold = function.start("cold", log_format=log_format, **more)
    for engine in ENGINES:
        run = function.start(engine, log_format=log_format, **more)
        assert run.engine == engine, run.log
        assert run.answers == cold.answers
        for word in ("to the log", "warned", "never seen", "written before", "printed", "doubled"):
            assert said(run, word) == said(cold, word), word


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize("log_format", ["Text", "JSON"])
def test_what_the_function_made_of_the_log_stays(kind: str, log_format: str, function: Function) -> None:
    function.write(OWN[kind] + COUNTED)
    function.freeze({}, layout="lz4")
    for engine in ("cold", *ENGINES):
        run = function.start(engine, log_format=log_format)
        assert (run.engine, run.answers) == (engine, (1,)), run.log
        assert [line for line in run.log if "hello" in line] == ["own hello"]
