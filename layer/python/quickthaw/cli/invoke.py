"""`quickthaw invoke`: start a function in the local Lambda emulator, N times."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TextIO, cast

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from quickthaw import names
from quickthaw.cli.options import Layer, built_layer, events, function_python, variables
from quickthaw.emulator import render
from quickthaw.emulator.report import LogFormat
from quickthaw.emulator.run import EnvironmentRun, FunctionSpec, run_environment
from quickthaw.errors import FunctionFailed, Unavailable, UsageError
from quickthaw.sandbox.cgroup import limits
from quickthaw.sandbox.choose import choose
from quickthaw.sandbox.spec import SandboxSpec
from quickthaw.snapshot import manifest


def command(
    snapshot: Annotated[
        Path | None, typer.Argument(metavar="SNAP", help="Snapshot to thaw; not with --cold.")
    ] = None,
    cold: Annotated[
        bool, typer.Option("--cold", help="Start cold: --task and --handler instead of SNAP.")
    ] = False,
    task: Annotated[
        Path | None,
        typer.Option("--task", help="The function's directory.", show_default="the snapshot's own"),
    ] = None,
    handler: Annotated[
        str | None, typer.Option("--handler", help="As Lambda's handler setting: module.function.")
    ] = None,
    event: Annotated[
        list[Path] | None,
        typer.Option("--event", help="Event, a JSON file, - for standard input (repeatable)."),
    ] = None,
    count: Annotated[int, typer.Option("-n", min=1, help="How many environments, one after the other.")] = 1,
    env: Annotated[
        list[str] | None, typer.Option("--env", help="NAME=VALUE over what the emulator sets (repeatable).")
    ] = None,
    python: Annotated[
        Path | None,
        typer.Option(
            "--python", help="Interpreter of the function.", show_default="the snapshot's, else this one"
        ),
    ] = None,
    engine: Annotated[str, typer.Option("--engine", help="auto, native, criu or off.")] = "auto",
    mode: Annotated[
        str | None, typer.Option("--mode", help="For criu: grow, stream, async, sync or plain.")
    ] = None,
    sandbox: Annotated[
        str | None,
        typer.Option("--sandbox", help="lambda or none.", show_default="lambda where root allows it"),
    ] = None,
    memory: Annotated[
        int | None,
        typer.Option(
            "--memory",
            min=128,
            max=10240,
            help="MB; limits memory, and CPU after init.",
            show_default="1769, no limit",
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, max=900, help="Seconds an invocation may take.")
    ] = 30.0,
    log_format: Annotated[
        str, typer.Option("--log-format", help="Text or JSON, as Lambda's setting.")
    ] = "Text",
    layer: Layer = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write a list, one object per environment; - prints it."),
    ] = None,
) -> None:
    """Start a function in the local Lambda emulator and send it events.

    Each of the N environments is new and gets all the events in order. Prints
    what Lambda would log: START, the function's output, END, REPORT.

    Exit code 6 when an event was not answered; the others are those of `quickthaw --help`.
    """
    kind, notice = choose(sandbox)
    spec = FunctionSpec(
        task=_task(snapshot, task, cold=cold),
        handler=_handler(snapshot, handler),
        python=function_python(snapshot, python),
        layer=None if snapshot is None and layer is None else built_layer(layer),
        snapshot=snapshot,
        engine=_among("--engine", engine, names.ENGINES),
        mode=None if mode is None else _among("--mode", mode, names.MODES),
        sandbox=kind,
        memory_mb=memory or 1769,
        timeout_s=timeout,
        env=variables(env or []),
        log_format=cast(LogFormat, _among("--log-format", log_format, ("Text", "JSON"))),
    )
    payloads = [text.encode() for _, text in events(event or [])]
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    if memory is not None:
        spec, notice = _limited(spec, notice)
    if notice:
        errors.print(f"[yellow]notice[/] {escape(notice)}")
    to_stdout = json_file is not None and str(json_file) == "-"
    runs = _run_all(spec, payloads, count, out=json_file, log=sys.stderr if to_stdout else sys.stdout)
    if to_stdout:
        print(render.document(runs))
    people = errors if to_stdout else Console(highlight=False)
    people.print(render.table(runs))
    for line in render.reasons(runs):
        people.print(escape(line))
    failed = sum(len(run.errors) for run in runs)
    if failed:
        raise FunctionFailed(
            f"{failed} of {sum(len(run.answers) for run in runs)} events were not answered",
            hint="the log above says why",
        )


def _run_all(
    spec: FunctionSpec, payloads: list[bytes], count: int, *, out: Path | None, log: TextIO
) -> list[EnvironmentRun]:
    """All environments; the JSON file is rewritten after each, so that a later failure loses nothing."""
    console = Console(stderr=True)
    runs: list[EnvironmentRun] = []
    columns = (TextColumn("environment"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("environments", total=count)
        for _ in range(count):
            runs.append(run_environment(spec, payloads, on_line=_printer(log)))
            progress.advance(bar)
            if out is not None and str(out) != "-":
                _replace(out, render.document(runs) + "\n")
    return runs


def _printer(log: TextIO) -> Callable[[str], None]:
    def print_line(line: str) -> None:
        print(line, file=log, flush=True)

    return print_line


def _replace(path: Path, text: str) -> None:
    """Whoever reads the file meanwhile sees the old list or the new one."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(text)
        fresh.replace(path)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", hint="give another --json FILE"
        ) from error


def _task(snapshot: Path | None, task: Path | None, *, cold: bool) -> Path:
    if cold == (snapshot is not None):
        raise UsageError(
            "give either a snapshot or --cold" if cold else "there is no snapshot to thaw",
            hint="invoke SNAP --event FILE, or invoke --cold --task DIR --handler mod.fn --event FILE",
        )
    if task is None and snapshot is not None:
        task = Path(str(manifest.read(str(snapshot)).body["function"].get("task", "")))
        if not task.is_dir():
            raise UsageError(f"the snapshot's task directory {task} is not here", hint="name it with --task")
    if task is None or not task.is_dir():
        raise UsageError("--task names no directory", hint="the directory with the handler's module")
    return task


def _handler(snapshot: Path | None, handler: str | None) -> str:
    if handler is not None:
        return handler
    if snapshot is None:
        raise UsageError("--cold needs --handler", hint="as Lambda's handler setting: module.function")
    return manifest.read(str(snapshot)).handler


def _limited(spec: FunctionSpec, notice: str | None) -> tuple[FunctionSpec, str | None]:
    """The spec with limits, where control groups can be had."""
    probe = SandboxSpec(python=spec.python, memory_mb=spec.memory_mb, cpu_limit=True, memory_limit=True)
    try:
        made = limits(probe)
    except Unavailable as error:
        return spec, f"{notice}; {error}" if notice else f"{error}: CPU and memory are not limited"
    if made is not None:
        made.remove()
    return replace(spec, cpu_limit=True, memory_limit=True), notice


def _among(option: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise UsageError(f"{option} {value} is none of {', '.join(allowed)}")
    return value
