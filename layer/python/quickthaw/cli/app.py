"""Puts the commands together; `main` is the only place that prints an error and exits."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape

from ..errors import QuickthawError
from . import bench, checkpoint, costs, demo, doctor, growth, inspect, invoke, learn, publish, review, verify

app = typer.Typer(
    name="quickthaw",
    help="Start a Python AWS Lambda function from a CRIU snapshot instead of importing it again.",
    epilog=(
        "Exit codes: 0 done, 1 failed otherwise, 2 wrong usage, 3 cannot be frozen, 4 bad snapshot, "
        "5 not to be had on this machine, 6 the function failed, 7 a tool failed, 8 a thaw was declined, "
        "9 a secret was found in a snapshot."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Keeps `quickthaw COMMAND` even while there is one command only."""


app.command("checkpoint")(checkpoint.command)
app.command("learn")(learn.command)
app.command("inspect")(inspect.command)
app.command("invoke")(invoke.command)
app.command("verify")(verify.command)
app.command("bench")(bench.command)
app.command("demo")(demo.command)
app.command("growth")(growth.command)
app.command("costs")(costs.command)
app.command("review")(review.command)
app.command("publish")(publish.command)
app.command("doctor")(doctor.command)


def main() -> None:
    """The `quickthaw` program; exit codes are those of `quickthaw.errors`."""
    try:
        app()
    except QuickthawError as error:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(f"[bold red]error[/] {escape(str(error))}")
        if error.hint:
            console.print(f"[dim]{escape(error.hint)}[/]")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
