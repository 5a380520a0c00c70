"""`quickthaw review`: parses what to compare and how to show it; `quickthaw.review` does the work."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ..errors import UsageError
from ..review import cloudwatch, sources
from ..review.compare import STARTS, Comparison, compare
from ..review.ledger import Ledger
from ..review.prices import prices
from ..review.render import document, markdown, page, plot, rows, table
from ..review.scan import KINDS, Kind

_T = TypeVar("_T")


class Only(StrEnum):
    """Which invocations a side is compared by."""

    STARTS = "starts"
    COLD = "cold"
    THAWED = "thawed"
    RESTORED = "restored"
    WARM = "warm"
    ALL = "all"


class Arch(StrEnum):
    """Lambda's architectures."""

    X86_64 = "x86_64"
    ARM64 = "arm64"


class Runtime(StrEnum):
    """What the prices depend on; `custom` is a custom runtime or a container image."""

    PYTHON = "python"
    JAVA = "java"
    CUSTOM = "custom"


def command(
    logs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OLD] [NEW]",
            help="Logs: files (plain, gzip, UTF-16), directories, - for standard input. "
            "One log alone is compared with itself: its cold starts with its thawed ones.",
        ),
    ] = None,
    log_group: Annotated[
        list[str] | None, typer.Option(help="CloudWatch log group; once, or for OLD and NEW.")
    ] = None,
    function: Annotated[
        list[str] | None, typer.Option(help="Function whose log group is meant; as --log-group.")
    ] = None,
    version: Annotated[
        list[str] | None, typer.Option(help="Only this version; once, or for OLD and NEW.")
    ] = None,
    alias: Annotated[
        list[str] | None, typer.Option(help="Only the versions behind this alias of --function.")
    ] = None,
    since: Annotated[
        list[str] | None,
        typer.Option(
            help="From when: 90m, 12h, 7d, 2w or an ISO time; once, or for OLD and NEW (default: 7d)."
        ),
    ] = None,
    until: Annotated[list[str] | None, typer.Option(help="Until when, as --since (default: now).")] = None,
    aggregate: Annotated[
        bool,
        typer.Option("--aggregate", help="Let Logs Insights count; faster, but thawed starts pass as cold."),
    ] = False,
    only: Annotated[
        Only, typer.Option(help="What to compare; starts are cold, thawed and restored.")
    ] = Only.STARTS,
    old_only: Annotated[Only | None, typer.Option(help="The same for OLD alone.")] = None,
    new_only: Annotated[Only | None, typer.Option(help="The same for NEW alone.")] = None,
    arch: Annotated[Arch, typer.Option(help="Architecture whose price counts.")] = Arch.X86_64,
    region: Annotated[
        str | None,
        typer.Option(
            help="AWS region of log groups and prices (default: AWS_REGION, else us-east-1 for prices)."
        ),
    ] = None,
    day: Annotated[
        str | None, typer.Option("--date", help="Day whose prices count, YYYY-MM-DD (default: today).")
    ] = None,
    runtime: Annotated[
        Runtime, typer.Option(help="Decides what INIT and SnapStart cost on that day.")
    ] = Runtime.PYTHON,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also write one self-contained HTML file.")] = None,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", help="Also draw both distributions: a .png or .svg file.")
    ] = None,
) -> None:
    """Compare the billed durations of two logs: by how much, how sure, how much money.

    Exit codes: 0 compared, whatever the verdict; 2 wrong use; 5 no AWS access; 7 AWS refused.
    """
    if as_json + as_csv + as_markdown > 1:
        raise UsageError("--json, --csv and --markdown exclude each other", hint="Give one of them.")
    here = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    tariff = prices(arch=arch.value, region=here or "us-east-1", day=_day(day), runtime=runtime.value)
    remote = _remote(
        log_group or [], function or [], version or [], alias or [], since or [], until or [], here, aggregate
    )
    readers: list[Callable[[], Ledger]] = [*(partial(_local, name) for name in logs or []), *remote]
    if not 1 <= len(readers) <= 2:
        raise UsageError(
            f"{len(readers)} logs given, one or two are compared",
            hint="quickthaw review OLD NEW, or --log-group/--function; see quickthaw review --help.",
        )
    if (logs or []).count("-") > 1:
        raise UsageError("standard input can be only one of the logs", hint="Put the other one into a file.")
    ledgers = [reader() for reader in readers]
    result = _compare(ledgers, partial(compare, prices=tariff), old_only or only, new_only or only)
    if html:
        try:
            html.write_text(page.page(result), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write {html}: {error}", hint="Check the directory.") from error
    if plot_file:
        plot.plot(result, plot_file)
    if as_json:
        print(json.dumps(document.document(result), indent=2, allow_nan=False))
    elif as_csv:
        sys.stdout.write(rows.rows(result))
    elif as_markdown:
        sys.stdout.write(markdown.markdown(result))
    else:
        out = Console()
        table.show(result, out if out.is_terminal else Console(width=120))  # no narrow columns in a file


def _compare(
    ledgers: Sequence[Ledger], comparing: Callable[..., Comparison], old: Only, new: Only
) -> Comparison:
    if len(ledgers) == 2:
        return comparing(ledgers[0], ledgers[1], old_kinds=_kinds(old), new_kinds=_kinds(new))
    (both,) = ledgers
    thawed: list[Kind] = [kind for kind in ("thawed", "restored") if both.accounts[kind].n]
    if not thawed or not both.accounts["cold"].n:
        have = ", ".join(f"{both.accounts[kind].n:,} {kind}" for kind in KINDS if both.accounts[kind].n)
        raise UsageError(
            f"{both.name} alone holds nothing to compare: {have or 'no starts'}",
            hint="One log is enough if it has cold and thawed starts; else give OLD and NEW.",
        )
    return comparing(both, both, old_kinds=["cold"], new_kinds=thawed)


def _kinds(only: Only) -> Sequence[Kind] | None:
    if only is Only.STARTS:
        return None  # the default, which falls back to everything where one side has no starts
    return KINDS if only is Only.ALL else [kind for kind in (*STARTS, "warm") if kind == only.value]


def _local(name: str) -> Ledger:
    with _bar(f"reading {name}", sources.size(name)) as advance:
        return sources.read(name, advance)


def _remote(
    groups: list[str],
    functions: list[str],
    versions: list[str],
    aliases: list[str],
    since: list[str],
    until: list[str],
    region: str | None,
    aggregate: bool,
) -> list[Callable[[], Ledger]]:
    """One reader per side that CloudWatch has to give; lists of one hold for both sides."""
    if groups and functions:
        raise UsageError("--log-group and --function exclude each other", hint="Give one of them.")
    if aliases and not functions:
        raise UsageError(
            "--alias needs --function", hint="A log group alone does not say whose alias is meant."
        )
    if aliases and versions:
        raise UsageError("--alias and --version exclude each other", hint="Give one of them.")
    if not groups and not functions:
        if versions or since or until or aggregate:
            raise UsageError(
                "these options need --log-group or --function", hint="Local logs are read whole."
            )
        return []
    n = max(len(given) for given in (groups, functions, versions, aliases, since, until))
    if n > 2:
        raise UsageError(
            "an option was given more than twice", hint="Once for both sides, or for OLD and for NEW."
        )
    now = datetime.now(UTC)
    logs, lambdas = cloudwatch.clients(region)
    selections = []
    for i in range(n):
        function, alias, one = _pick(functions, i), _pick(aliases, i), _pick(versions, i)
        group = _pick(groups, i) or cloudwatch.log_group_of(lambdas, function or "")
        chosen = cloudwatch.versions_of(lambdas, function or "", alias) if alias else (one,) if one else ()
        start, end = (
            cloudwatch.moment(_pick(since, i) or "7d", now),
            cloudwatch.moment(_pick(until, i) or "0m", now),
        )
        if start >= end:
            raise UsageError(f"--since {start} is not before --until {end}", hint="Turn them round.")
        selections.append(cloudwatch.Selection(log_group=group, start=start, end=end, versions=chosen))

    def reader(selection: cloudwatch.Selection) -> Ledger:
        with _bar(f"reading {selection.log_group}", None) as advance:
            if aggregate:
                return cloudwatch.aggregate(logs, selection)
            return cloudwatch.read(logs, selection, advance)

    return [partial(reader, selection) for selection in selections]


def _pick(given: Sequence[_T], i: int) -> _T | None:
    return given[min(i, len(given) - 1)] if given else None


def _day(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"not a date: {text}", hint="Write it as 2026-10-01.") from error


@contextmanager
def _bar(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, only where someone looks at it."""
    console = Console(stderr=True)
    columns = [TextColumn("{task.description}"), BarColumn()]
    columns += [DownloadColumn(), TimeRemainingColumn()] if total else [TextColumn("{task.completed:,}")]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task: TaskID = progress.add_task(title, total=total or None)
        yield lambda n: progress.advance(task, n)
