"""The README, the Makefile, the command line and the constants say the same."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import typer.main
from quickthaw import errors, names
from quickthaw.bench import figures
from quickthaw.checkpoint.kinds import KINDS
from quickthaw.cli.app import app
from typer.testing import CliRunner

from tests.conftest import ROOM_BYTES

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
COMMANDS = dict(typer.main.get_group(app).commands)


def code(text: str) -> list[str]:
    """Every line of a code block and every piece of inline code."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    joined = "\n".join(blocks).replace("\\\n", " ")
    return [line.partition(" #")[0] for line in joined.splitlines()] + inline


def used(program: str, text: str) -> list[list[str]]:
    """The arguments of each use of a program in the text's code."""
    pattern = re.compile(rf"(?:^|\s|/){program}\s+(.+)")
    return [match[1].split() for line in code(text) if (match := pattern.search(line))]


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_every_make_target_in_the_text_exists(text: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
    named = {words[0] for words in used("make", text)}
    assert named
    assert named <= targets


def test_every_target_that_a_person_calls_is_in_the_help() -> None:
    phony = re.search(r"^\.PHONY: (help .*)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in phony[1].split():
        assert re.search(rf"^  make {target} +\S", shown, re.MULTILINE), f"make help does not show {target}"


def test_every_quickthaw_command_in_the_readme_exists_with_its_options() -> None:
    for name, *arguments in used("quickthaw", README):
        if name == "COMMAND":
            continue
        assert name in COMMANDS, f"README uses quickthaw {name}"
        known = {option for parameter in COMMANDS[name].params for option in parameter.opts} | {"--help"}
        for argument in arguments:
            if re.match(r"-[a-zA-Z-]", argument):
                assert argument.partition("=")[0] in known, f"README uses quickthaw {name} {argument}"


def test_every_quickthaw_command_is_in_the_readme() -> None:
    named = {words[0] for words in used("quickthaw", README)}
    assert set(COMMANDS) - {"demo"} <= named  # `make demo` stands for it


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_every_option_explains_itself(name: str) -> None:
    command = COMMANDS[name]
    assert command.help, f"quickthaw {name} has no help"
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"quickthaw {name}: {parameter.name} has no help"
    shown = CliRunner().invoke(app, [name, "--help"])
    assert shown.exit_code == 0
    assert "Usage" in shown.output


def test_every_environment_variable_is_in_the_readme_and_no_other() -> None:
    ours = {
        value for key, value in vars(names).items() if key.startswith("ENV_") and value.startswith("QUICK")
    }
    assert set(re.findall(r"`(QUICKTHAW_[A-Z_]+)`", README)) == ours


def test_every_value_of_engine_and_mode_is_in_the_readme() -> None:
    for variable, values in ((names.ENV_ENGINE, names.ENGINES), (names.ENV_MODE, names.MODES)):
        (row,) = [line for line in README.splitlines() if line.startswith(f"| `{variable}`")]
        assert set(values) <= set(re.findall(r"`(\w+)`", row))


def test_every_exit_code_is_in_the_readme() -> None:
    classes: list[type[errors.QuickthawError]] = [errors.QuickthawError]
    classes += errors.QuickthawError.__subclasses__()
    rows = {int(number) for number in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert {error.exit_code for error in classes} | {0} == rows


def test_paths_that_the_texts_name_exist() -> None:
    for text in (README, CONTRIBUTING):
        for path in code(text):
            if re.fullmatch(r"(?:layer|requirements|tests|handler|\.ci)/[\w./-]*", path):
                assert (ROOT / path).exists(), path


def test_every_kind_that_is_refused_is_in_the_readme_with_what_allow_means() -> None:
    rows = dict(
        re.findall(
            r"^\| `([a-z-]+)` \| .* \| (.*) \|$", README.partition("## What cannot be frozen")[2], re.M
        )
    )
    for kind in KINDS.values():
        assert kind.name in rows, f"the README does not tell of {kind.name}"
        assert ("cannot be allowed" in rows[kind.name]) == (kind.instead is None), kind.name


def test_the_room_that_tests_take_is_in_the_readme() -> None:
    assert f"{ROOM_BYTES / 1e9:.1f} GB of /tmp" in README


def test_the_figures_are_those_of_the_bench_files() -> None:
    shown = README.partition(figures.BEGIN)[2].partition(figures.END)[0].strip()
    assert shown == figures.text(ROOT)
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", shown):
        assert (ROOT / picture).is_file(), picture
