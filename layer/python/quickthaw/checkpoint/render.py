"""Tables of the checkpoint room: what was made, what is in it, what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from quickthaw.checkpoint.look import Seen
from quickthaw.checkpoint.run import Checkpointed
from quickthaw.checkpoint.verify import Finding

_MB = 1_000_000


def checkpointed_as_json(made: Checkpointed) -> dict[str, Any]:
    """The record of a checkpoint as JSON."""
    return {**asdict(made), "out": str(made.out)}


def print_checkpointed(made: Checkpointed, console: Console) -> None:
    """One table: sizes and times of a new snapshot."""
    table = _plain(f"snapshot {made.id} in {made.out}")
    for number, pages in made.pages.items():
        table.add_row(f"pages-{number}", _pages(asdict(pages)))
    native = made.native.layout or "none"
    native += f", {made.native.size / _MB:.1f} MB" if made.native.layout else ""
    table.add_row(
        "native layout", native + (f" ({escape(made.native.reason)})" if made.native.reason else "")
    )
    table.add_row("on disk", f"{made.size / _MB:.1f} MB")
    table.add_row("mapped files", str(made.mapped))
    table.add_row("import", f"{made.import_s:.2f} s")
    table.add_row("dump, pack", f"{made.dump_s:.2f} s, {made.pack_s:.2f} s")
    table.add_row("a thaw saves", f"{made.cold_init_s:.3f} s of init (a cold start, measured here)")
    if made.allowed:
        table.add_row("given up (--allow)", escape("\n".join(made.allowed)))
    if made.criu_lacks:
        table.add_row("criu engine", escape(_starts_cold(made.criu_lacks)))
    if made.secrets is not None:
        found = "\n".join(f"{leak.name}: in {leak}" for leak in made.secrets)
        table.add_row("secrets", escape(found + "\n`publish` will refuse it") if found else "none found")
    console.print(table)


def print_seen(seen: Seen, console: Console) -> None:
    """What `inspect` shows."""
    table = _plain(f"snapshot {seen.id} in {seen.snapshot}")
    table.add_row("function", f"{escape(seen.handler)}, Python {seen.python}")
    table.add_row("made", f"{seen.created} by CRIU {seen.criu} on {escape(seen.kernel)}")
    table.add_row("a thaw saves", f"{seen.cold_init_s:.3f} s of init")
    table.add_row("on disk", f"{seen.size / _MB:.1f} MB")
    for number, pages in seen.pages.items():
        table.add_row(f"pages-{number}", _pages(pages))
    for kind, (count, size) in seen.mappings.items():
        table.add_row(f"mappings: {kind}", f"{count}, {size / _MB:.1f} MB")
    table.add_row("mapped files", f"{seen.mapped_files[0]}, {seen.mapped_files[1] / _MB:.1f} MB")
    table.add_row("threads", escape(", ".join(seen.threads)))
    table.add_row("descriptors", escape("\n".join(f"{fd}  {what}" for fd, what in seen.descriptors)))
    table.add_row("hooks", ", ".join(f"{count} {name}" for name, count in seen.hooks.items()))
    table.add_row("variables seen", escape(" ".join(seen.env_names)))
    table.add_row("criu engine", escape(_starts_cold(seen.criu_lacks)) or "gives back all of it")
    table.add_row(
        "its kernel cache",
        "for the kernel that it was made on"
        if seen.kernel_cache
        else "none: each thaw by CRIU asks the kernel anew, 6 to 30 ms",
    )
    table.add_row(
        "stops a thaw here", escape("\n".join(seen.obstacles)) or "nothing that can be seen from here"
    )
    console.print(table)


def print_findings(findings: Sequence[Finding], console: Console) -> None:
    """What is wrong, or that nothing is."""
    bad = [one for one in findings if one.problem]
    for one in findings:
        if one.about == "engine":
            console.print(one.what, markup=False)
    if not bad:
        console.print(f"all {len(findings)} checks passed")
        return
    table = Table(
        "what", "problem", title=f"{len(bad)} of {len(findings)} checks failed", title_justify="left"
    )
    for one in bad:
        table.add_row(escape(one.what), escape(one.problem or ""))
    console.print(table)


def _starts_cold(lacks: Sequence[str]) -> str:
    return "\n".join(f"starts cold: CRIU does not give back {what}" for what in lacks)


def _plain(title: str) -> Table:
    table = Table(title=escape(title), show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    return table


def _pages(pages: dict[str, Any]) -> str:
    text = f"{pages['pages']} pages, {pages['content_size'] / _MB:.1f} MB, {pages['zero_pages']} of zeros"
    if pages["file"]:
        text += f"; LZ4 level {pages['level']}: {pages['size'] / _MB:.1f} MB, ratio {pages['ratio']:.2f}"
    return text
