"""A thawed function answers as a cold-started one, in every mode and on every Python."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import lz4.frame
import pytest
from quickthaw import names
from quickthaw.emulator.site import runtime_site

from tests.conftest import Freezer
from tests.integration.thaw.conftest import VICTIM, Thaw, answers, bootstrap_lines

SAME = ("sum", "processors")


@pytest.mark.parametrize("mode", names.MODES)
def test_every_mode_answers_as_a_cold_start(mode: str, small: Path, thaw: Thaw) -> None:
    run, cold = thaw(small, mode=mode), thaw(None)
    assert run.errors == ()
    assert (run.engine, run.mode, run.reason) == ("criu", mode, None)
    assert [{name: answer[name] for name in SAME} for answer in answers(run)] == [
        {name: answer[name] for name in SAME} for answer in answers(cold)
    ]
    (line,) = bootstrap_lines(run)
    assert line["total_s"] > line["restore_s"] > 0
    assert line["total_s"] > line["check_s"] > 0
    assert line["bytes_read"] > 0
    assert answers(run)[1]["tmp"] == [], "the work directory is gone"
    assert sum("criu" in command for command in answers(run)[1]["commands"]) == 0


def test_what_criu_found_out_about_the_kernel_comes_from_the_snapshot(
    small: Path, tmp_path: Path, thaw: Thaw
) -> None:
    task = tmp_path / "task"
    shutil.copytree(VICTIM, task)
    (task / "criu").write_text(f'#!/bin/sh\nexec {names.CRIU_PATH} "$@" -v4 --log-file=/dev/stderr\n')
    (task / "criu").chmod(0o755)
    run = thaw(small, mode="grow", task=task, env={names.ENV_CRIU: "/var/task/criu"})
    assert (run.engine, run.reason) == ("criu", None)
    assert any("Loaded kdat cache" in line for line in run.log), run.log


@pytest.mark.parametrize("mode", ["grow", "async"])
def test_every_python_is_frozen_and_thawed(
    mode: str, each_python: Path, freeze: Freezer, thaw: Thaw, tmp_path: Path
) -> None:
    out = freeze(VICTIM, tmp_path / "snapshot", python=each_python)
    run = thaw(out, mode=mode, python=each_python, runtime=runtime_site(each_python))
    assert (run.engine, run.reason) == ("criu", None)
    assert answers(run)[0]["sum"] == 100_009


def test_two_thaws_of_one_snapshot_do_not_share_what_must_be_unique(small: Path, thaw: Thaw) -> None:
    one, two = answers(thaw(small))[0], answers(thaw(small))[0]
    assert not set(one["random"]) & set(two["random"])
    assert one["stream"] != two["stream"]
    assert one["native_id"] == int(one["threads"][0])


def test_hooks_run_in_the_order_of_snapstart(small: Path, thaw: Thaw) -> None:
    run = thaw(small)
    assert answers(run)[0]["hooks"] == ["second before", "first before", "first after", "second after"]


def test_the_environment_is_the_new_one_in_python_and_in_c(small: Path, thaw: Thaw) -> None:
    asked = ["AWS_ACCESS_KEY_ID", "FRESH", "OPENBLAS_CORETYPE", "SET_AT_IMPORT"]
    run = thaw(small, env={"FRESH": "a=b é"}, event={"getenv": asked})
    cold = thaw(None, env={"FRESH": "a=b é"}, event={"getenv": asked})
    environ, expected = answers(run)[0]["environ"], answers(cold)[0]["environ"]
    varying = {"AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_LOG_STREAM_NAME", "_X_AMZN_TRACE_ID", names.ENV_ENGINE}
    varying |= {name for name in expected if name.startswith(("AWS_ACCESS", "AWS_SECRET", "AWS_SESSION"))}
    assert {k: v for k, v in environ.items() if k not in varying} == {
        k: v for k, v in expected.items() if k not in varying
    }
    assert environ["AWS_ACCESS_KEY_ID"].startswith("ASIA"), "not the checkpoint's dummy"
    assert answers(run)[0]["c_environ"] == {name: environ.get(name) for name in asked}


def test_the_lz4_program_gives_back_the_dumped_pages(small: Path, tmp_path: Path) -> None:
    subprocess.run(
        ["lz4", "-d", "-q", str(small / "images" / "pages-1.comp.img"), str(tmp_path / "pages")], check=True
    )
    assert (tmp_path / "pages").read_bytes() == (small / "images" / "pages-1.img").read_bytes()


def test_the_frame_is_one_that_any_lz4_reader_takes(small: Path) -> None:
    info = lz4.frame.get_frame_info((small / "images" / "pages-1.comp.img").read_bytes()[:19])
    assert (info["block_size"], info["block_linked"], info["block_checksum"]) == (
        names.BLOCK_SIZE,
        False,
        True,
    )
    assert info["content_size"] == (small / "images" / "pages-1.img").stat().st_size


def test_engine_off_starts_the_original_command(small: Path, thaw: Thaw) -> None:
    run = thaw(small, engine="off")
    (line,) = bootstrap_lines(run)
    assert (line["engine"], line["reason"]) == ("cold", "engine off")
    assert answers(run)[0]["hooks"] == []


def test_auto_takes_the_native_engine_where_nothing_is_permitted(small: Path, thaw: Thaw) -> None:
    run = thaw(small, engine="auto")
    assert (run.engine, run.mode, run.reason) == ("native", "hot", None)
    assert answers(run)[0]["sum"] == 100_009
    assert answers(run)[0]["hooks"][-1] == "second after"


def test_without_its_capability_criu_is_not_even_tried(small: Path, thaw: Thaw) -> None:
    # Engine "native" gives the sandbox without the capability; the variable then asks for CRIU in it.
    run = thaw(small, engine="native", env={names.ENV_ENGINE: "criu"})
    (line,) = bootstrap_lines(run)
    assert (line["engine"], line["reason"]) == (
        "cold",
        "CRIU needs CAP_CHECKPOINT_RESTORE or root, this process has neither",
    )
