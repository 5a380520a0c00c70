"""`quickthaw review` as a user runs it, and a log too large to hold."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from random import Random

import pytest
from quickthaw.cli import app
from quickthaw.review.compare import FIGURES

from tests.unit.review.conftest import FELL_BACK, SEED, THAWED, report

OLD, NEW = str(SEED / "old.log"), str(SEED / "new.log")
EVIL = "<script>alert('x')</script> | `rm`"


def run(*arguments: str, stdin: str | None = None, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "quickthaw.cli.app", "review", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def logs(tmp_path: Path) -> tuple[str, str]:
    """Two logs with everything in them: warm and failed invocations, thaws, fallbacks, torn lines, markup."""
    rng = Random(1)
    old = [report(duration=rng.uniform(40, 60), init=rng.uniform(900, 1100)) for _ in range(40)]
    new = [
        line
        for _ in range(40)
        for line in (
            THAWED,
            report(duration=rng.uniform(40, 60), init=rng.uniform(60, 80)),
            report(duration=5.0),
        )
    ]
    new += [FELL_BACK.replace("this CPU", EVIL), report(duration=50, init=1000)]
    new += [f"REPORT RequestId: {EVIL}\tDuration: 1"]
    paths = tmp_path / "old.log", tmp_path / "new.log"
    for path, lines in zip(paths, (old, new), strict=True):
        path.write_text("\n".join(lines) + "\n")
    return str(paths[0]), str(paths[1])


def test_the_first_logs_as_json() -> None:
    groups = json.loads(run(OLD, NEW, "--json").stdout)["groups"]
    wanted = {
        "old": {"n": 10, "mean": 615.6, "median": 628.0, "min": 573, "max": 636},
        "new": {"n": 10, "mean": 550.1, "median": 553.5, "min": 531, "max": 558},
    }
    for side, figures in wanted.items():
        billed = groups[side]["billed_ms"]
        assert {name: billed[name] for name in figures} == figures
        assert billed["median"] <= billed["p90"] <= billed["p99"] <= billed["max"]


def test_the_first_logs_as_a_table() -> None:
    output = run(OLD, NEW).stdout
    for part in ("615.6", "550.1", "628.0", "553.5", "do not overlap", "NEW is cheaper", "$3.21"):
        assert part in output


@pytest.mark.parametrize("order", [("-", NEW), (OLD, "-")])
def test_one_log_can_come_from_standard_input(order: tuple[str, str]) -> None:
    stdin = Path(OLD if order[0] == "-" else NEW).read_text()
    found = json.loads(run(*order, "--json", stdin=stdin).stdout)
    assert [found["groups"][side]["billed_ms"]["mean"] for side in ("old", "new")] == [615.6, 550.1]


def test_csv_has_a_row_per_quantity_and_empty_cells_for_what_is_missing(logs: tuple[str, str]) -> None:
    table = list(csv.DictReader(io.StringIO(run(*logs, "--csv").stdout)))
    by_key = {(row["side"], row["kind"], row["quantity"]): row for row in table}
    assert by_key["old", "compared", "billed_ms"]["n"] == "40"
    assert by_key["new", "thawed", "init_ms"]["n"] == "40"
    assert by_key["new", "thawed", "restore_ms"]["n"] == "0"
    assert by_key["new", "thawed", "restore_ms"]["mean"] == ""


def test_markdown_tables_are_whole(logs: tuple[str, str]) -> None:
    output = run(*logs, "--markdown").stdout
    blocks = re.findall(r"(?:^\|.*\n)+", output, re.MULTILINE)
    assert len(blocks) == 5
    for block in blocks:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block
    assert "cold instead of thawed" in output


class Page(HTMLParser):
    """Collects what must be balanced, and what a self-contained file must not have."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.outside += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_html_page_is_one_safe_self_contained_file(logs: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "review.html"
    run(*logs, "--html", str(path))
    text = path.read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert {"svg", "path", "table", "style"} <= page.seen
    assert page.outside == []
    assert "script" not in page.seen
    assert "url(" not in text and "@import" not in text
    assert "&lt;script&gt;" in text, "what the log holds is shown, not run"
    assert "nan" not in re.findall(r'(?:d|x1|cx|width)="([^"]*)"', text)


@pytest.mark.parametrize(("name", "magic"), [("p.png", b"\x89PNG"), ("p.svg", b"<?xml")])
def test_the_plot_is_a_picture(name: str, magic: bytes, logs: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / name
    run(*logs, "--plot", str(path))
    assert path.read_bytes().startswith(magic)
    assert path.stat().st_size > 10_000


def test_all_single_valued_logs_can_be_drawn(tmp_path: Path) -> None:
    path = tmp_path / "same.log"
    path.write_text((report(duration=50.0, init=1000.0) + "\n") * 3)
    run(str(path), str(path), "--html", str(tmp_path / "p.html"), "--plot", str(tmp_path / "p.png"))
    assert "NaN" not in (tmp_path / "p.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "0 logs given"),
        ((OLD, NEW, OLD), "3 logs given"),
        ((OLD, "/no/such.log"), "no such log"),
        ((OLD,), "nothing to compare"),
        (("-", "-"), "standard input"),
        ((OLD, NEW, "--json", "--csv"), "exclude each other"),
        ((OLD, NEW, "--plot", "x.gif"), "cannot plot"),
        ((OLD, NEW, "--date", "soon"), "not a date"),
        ((OLD, NEW, "--date", "2019-01-01"), "no Lambda price"),
        ((OLD, NEW, "--since", "7d"), "--log-group"),
        (("--log-group", "a", "--function", "b"), "exclude each other"),
        (("--log-group", "a", "--alias", "b"), "--alias needs"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(
    arguments: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["quickthaw", "review", *arguments])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 2
    told = " ".join(capsys.readouterr().err.split())
    assert message in told
    assert len(told) > len(message) + 20, "a remedy follows"


def test_a_log_that_ends_early_shows_what_it_had(logs: tuple[str, str]) -> None:
    found = json.loads(run(*logs, "--json").stdout)["groups"]["new"]
    assert found["malformed"]["count"] == 1
    assert found["malformed"]["first"][0]["line"] == 123
    assert set(FIGURES) <= set(found["billed_ms"])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    rng = Random(2)
    block = "".join(
        report(duration=rng.lognormvariate(5, 1), init=rng.gauss(900, 80) if i % 5 == 0 else None) + "\n"
        for i in range(20_000)
    )
    measure = (
        "import re, sys\n"
        "from quickthaw.review import sources\n"
        "n = sources.read(sys.argv[1]).n\n"
        # not ru_maxrss: that begins with the size of the process that forked this one
        "print(n, re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
    )
    used = {}
    for times in (1, 20):
        path = tmp_path / f"{times}.log"
        path.write_text(block * times)
        done = subprocess.run(
            [sys.executable, "-c", measure, str(path)], check=True, capture_output=True, text=True
        )
        n, used[times] = map(int, done.stdout.split())
        assert n == 20_000 * times
    assert used[20] < 200 * 1024
    assert used[20] - used[1] < 20 * 1024
