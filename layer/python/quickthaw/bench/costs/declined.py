"""What the exec wrapper costs a start that it does not thaw.

The wrapper and the same command without it take turns in Lambda's sandbox, so
that what differs is the wrapper alone.  The command is `true` under the name
of an interpreter; where the Python bootstrap is asked too, which only a real
interpreter can run, it is that one with nothing to do.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quickthaw import names
from quickthaw.errors import ToolFailed
from quickthaw.sandbox.layout import layout
from quickthaw.sandbox.process import start
from quickthaw.sandbox.spec import SandboxSpec

_MOST_S = 120  # of one measurement; it takes one or two

_SCRIPT = """
import json, os, sys, time
order = json.loads(sys.argv[1])
command = [sys.executable, "-I", "-S", "-c", "pass"]
if not order["real"]:
    os.symlink("/usr/bin/true", "/tmp/python3")
    command = ["/tmp/python3", "-m", "awslambdaric", "app.handler"]
def once(argv, environ, log):
    begin = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, environ, file_actions=[(os.POSIX_SPAWN_DUP2, log, 2)])
    status = os.waitpid(pid, 0)[1]
    took = time.perf_counter() - begin
    assert status == 0, status
    return took
found = {}
null = os.open("/dev/null", os.O_WRONLY)
for name, environ in order["cases"].items():
    environ = {**environ, "LD_LIBRARY_PATH": os.environ["LD_LIBRARY_PATH"]}
    read, write = os.pipe()
    wrapped = [order["wrapper"], *command]
    once(wrapped, environ, write)
    pairs = [(once(command, environ, null), once(wrapped, environ, null)) for _ in range(order["rounds"])]
    plain, with_it = zip(*pairs)
    os.close(write)
    found[name] = {"log": os.read(read, 65536).decode(), "plain_s": plain, "wrapped_s": with_it}
    os.close(read)
print(json.dumps(found))
"""


@dataclass(frozen=True, kw_only=True)
class DeclinedStarts:
    """Starts that were not thawed for one reason.

    Attributes:
        log: the wrapper's log line.
        plain_s: seconds of each start without the wrapper.
        wrapped_s: of each with it, in the same order.
    """

    log: str
    plain_s: Sequence[float]
    wrapped_s: Sequence[float]

    @property
    def more_s(self) -> list[float]:
        """What the wrapper took, pair by pair."""
        return [wrapped - plain for plain, wrapped in zip(self.plain_s, self.wrapped_s, strict=True)]


def measure(
    spec: SandboxSpec, cases: Mapping[str, Mapping[str, str]], *, rounds: int, real: bool = False
) -> dict[str, DeclinedStarts]:
    """Start the command with and without the wrapper, in turns.

    Args:
        spec: the sandbox, with a layer.
        cases: environment variables of each case by its name.
        rounds: pairs of starts that count.
        real: start the real interpreter, not `true`; where the sandbox lets CRIU restore it must be so.

    Raises:
        ToolFailed: a start did not end with 0, as a thaw cannot, or all of them took too long.
        Unavailable: the sandbox cannot be had here.
    """
    where = layout(spec)
    order = {"cases": cases, "rounds": rounds, "real": real, "wrapper": names.BOOTSTRAP_PATH}
    argv = [where.python, "-I", "-S", "-c", _SCRIPT, json.dumps(order)]
    environ = {"LD_LIBRARY_PATH": where.lang_lib, "PATH": "/usr/bin:/bin"}
    with tempfile.TemporaryFile("w+") as output:
        with start(spec, argv, environ, stdout=output.fileno(), stderr=output.fileno()) as process:
            ended = process.wait(_MOST_S)
        output.seek(0)
        said = output.read().strip()
    if ended is None:
        raise ToolFailed(f"starts that are not thawed took more than {_MOST_S} s: {said[-500:]}")
    if ended != 0:
        raise ToolFailed(f"a start that is not thawed failed: {said[-500:]}")
    return {name: DeclinedStarts(**found) for name, found in json.loads(said.splitlines()[-1]).items()}
