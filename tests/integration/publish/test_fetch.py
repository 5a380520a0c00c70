"""A snapshot in S3 is thawed by both engines, or there is a cold start with one reason."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from quickthaw import names
from quickthaw.emulator.run import EnvironmentRun, FunctionSpec, run_environment
from quickthaw.errors import BadSnapshot, QuickthawError, ToolFailed, Unavailable, UsageError
from quickthaw.publish.run import Order, publish
from quickthaw.runtime.transfer import part_size
from quickthaw.snapshot import manifest

from tests.conftest import VICTIMS, Freezer
from tests.integration.publish.conftest import Fault, Kind, Proxy

Client = Callable[[str], Any]
Thaw = Callable[..., EnvironmentRun]
EVENTS = [json.dumps({"numbers": [4, 5], **more}).encode() for more in ({}, {"settle": True})]
PAGES = {"native": "native/pages.lz4", "criu": "images/pages-1.comp.img"}


@pytest.fixture(scope="session")
def packed(freeze: Freezer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small victim in the layout that can be fetched; its pages are some parts.  Not to be written to."""
    out = tmp_path_factory.mktemp("packed") / "snapshot"
    return freeze(VICTIMS / "small", out, layout="lz4")


@pytest.fixture
def uri(packed: Path, client: Client, aws: Proxy) -> str:
    """Where that snapshot lies in S3."""
    client("s3").create_bucket(Bucket="snapshots")
    done = publish(Order(snapshot=packed, s3="snapshots/risk", fetch=True, images=True))
    assert done.snapshot_uri is not None
    aws.requests.clear()
    return done.snapshot_uri


@pytest.fixture
def thaw(layer: Path, python: Path, aws: Proxy) -> Thaw:
    """thaw(uri, engine=..., **environment): one environment of the small victim."""

    def run(uri: str, *, engine: str = "native", mode: str | None = None, **env: str) -> EnvironmentRun:
        variables = {names.ENV_SNAPSHOT: uri, "AWS_ENDPOINT_URL": aws.url, **env}
        spec = FunctionSpec(
            task=VICTIMS / "small", handler="app.handler", python=python, layer=layer, engine=engine,
            mode=mode, env=variables,
        )  # fmt: skip
        return run_environment(spec, EVENTS)

    return run


def lines(run: EnvironmentRun) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.log if line.startswith('{"quickthaw"')]


def assert_thawed(run: EnvironmentRun, engine: str) -> dict[str, Any]:
    """Both events were answered by the thawed function; its log line."""
    answers: list[Any] = list(run.answers)
    assert (run.engine, run.errors) == (engine, ()), run.log
    assert [answer["sum"] for answer in answers] == [100_009] * 2
    assert answers[0]["hooks"][-1] == "second after"
    # Where CRIU came second, the native engine's attempt stays counted.
    assert not [name for name in answers[1]["tmp"] if engine == "native" or "-native-" not in name]
    assert not [command for command in answers[1]["commands"] if "boot.py" in command and engine == "native"]
    (line,) = lines(run)
    return line


def assert_cold(run: EnvironmentRun, *reasons: str) -> None:
    """Both events were answered by a cold start with exactly one reason, and nothing is left behind."""
    answers: list[Any] = list(run.answers)
    assert run.errors == (), run.log
    assert [(answer["sum"], answer["hooks"]) for answer in answers] == [(100_009, [])] * 2
    (line,) = lines(run)
    assert line["engine"] == "cold"
    assert any(reason in line["reason"] for reason in reasons), line["reason"]
    assert line["Reason"] in ("fetch-failed", "damaged", "too-slow"), line
    counted = [name for name in answers[1]["tmp"] if name.startswith(".quickthaw-")]
    assert answers[1]["tmp"] == counted, "at most the empty file that counts the attempt"
    assert not [command for command in answers[1]["commands"] if "boot.py" in command]
    assert "QUICKTHAW_HANDOVER" not in answers[0]["environ"]


def part(engine: str) -> Callable[[str], bool]:
    """Fits requests for the pages of an engine, from the second one on."""
    seen: list[str] = []

    def fits(request: str) -> bool:
        if not request.startswith("GET") or PAGES[engine] not in request:
            return False
        seen.append(request)
        return len(seen) >= 2

    return fits


# --- publish --fetch --------------------------------------------------------------------------------------


def test_the_manifest_is_sent_last_and_everything_is_there(packed: Path, client: Client, aws: Proxy) -> None:
    client("s3").create_bucket(Bucket="snapshots")
    done = publish(Order(snapshot=packed, s3="snapshots/risk/", fetch=True))
    completed = [
        request for request in aws.requests if request.startswith("POST") and "uploads" not in request
    ]
    assert names.MANIFEST in completed[-1] and len(completed) == 3
    found = client("s3").list_objects_v2(Bucket="snapshots")["Contents"]
    place = str(done.snapshot_uri).removeprefix("s3://snapshots/")
    assert {one["Key"]: one["Size"] for one in found} == {
        f"{place}/{name}": (packed / name).stat().st_size
        for name in (names.MANIFEST, "native/plan", "native/pages.lz4")
    }


def test_the_same_snapshot_is_not_sent_twice(packed: Path, uri: str, aws: Proxy) -> None:
    again = publish(Order(snapshot=packed, s3="snapshots/risk", fetch=True, images=True))
    assert again.snapshot_uri == uri
    assert aws.count("PUT") == aws.count("POST") == 0


@pytest.mark.parametrize("name", ["native/pages.lz4", "native/plan", names.MANIFEST])
@pytest.mark.parametrize("kind", ["fail", "cut"])
def test_an_upload_that_goes_on_failing_leaves_no_object(
    kind: Kind, name: str, packed: Path, client: Client, aws: Proxy
) -> None:
    client("s3").create_bucket(Bucket="snapshots")
    aws.faults.append(Fault(lambda request: request.startswith("PUT") and name in request, kind, times=-1))
    with pytest.raises((ToolFailed, Unavailable)):
        publish(Order(snapshot=packed, s3="snapshots/risk", fetch=True))
    assert client("s3").list_objects_v2(Bucket="snapshots")["KeyCount"] == 0
    assert client("s3").list_multipart_uploads(Bucket="snapshots").get("Uploads", []) == []


def test_a_failure_while_it_is_sent_again_takes_nothing_from_those_who_use_it(
    packed: Path, uri: str, client: Client, aws: Proxy
) -> None:
    place = uri.removeprefix("s3://snapshots/")
    client("s3").delete_object(Bucket="snapshots", Key=f"{place}/native/plan")
    before = client("s3").list_objects_v2(Bucket="snapshots")["KeyCount"]
    aws.faults.append(Fault(lambda request: request.startswith("PUT"), "fail", times=-1))
    with pytest.raises(QuickthawError):
        publish(Order(snapshot=packed, s3="snapshots/risk", fetch=True, images=True))
    assert client("s3").list_objects_v2(Bucket="snapshots")["KeyCount"] == before


def test_what_is_left_behind_when_deleting_fails_too_is_named(
    packed: Path, client: Client, aws: Proxy
) -> None:
    client("s3").create_bucket(Bucket="snapshots")
    aws.faults.append(
        Fault(lambda request: request.startswith("PUT") and "native/plan" in request, "fail", times=-1)
    )
    aws.faults.append(
        Fault(lambda request: request.startswith("DELETE") and "uploadId" not in request, "denied", times=-1)
    )
    with pytest.raises(ToolFailed, match=r"left behind in s3://snapshots: .*native/pages\.lz4"):
        publish(Order(snapshot=packed, s3="snapshots/risk", fetch=True))


def test_lazily_mapped_pages_are_refused_with_the_remedy(small: Path, aws: Proxy) -> None:
    aws.requests.clear()
    with pytest.raises(BadSnapshot, match="maps .* MB of pages") as caught:
        publish(Order(snapshot=small, s3="snapshots/risk", fetch=True))
    assert "--layout lz4" in caught.value.hint
    assert aws.requests == []


def test_fetch_goes_with_s3_alone(packed: Path) -> None:
    for more in ({"layer_name": "x", "s3": "b/p"}, {"image_dir": Path("x")}, {"layer_name": "x"}):
        with pytest.raises(UsageError):
            publish(Order(snapshot=packed, fetch=True, **more))


def variables_of(client: Client) -> dict[str, str]:
    found = client("lambda").get_function_configuration(FunctionName="risk")
    return dict(found["Environment"]["Variables"])


def match(client: Client, packed: Path) -> None:
    """Makes the function one that the snapshot is of."""
    version = manifest.read(str(packed)).body["python"]["version"].split(".")
    client("lambda").update_function_configuration(
        FunctionName="risk", Runtime=f"python{version[0]}.{version[1]}"
    )


def test_a_function_is_told_what_to_fetch_and_keeps_its_other_variables(
    packed: Path, client: Client, function: str, aws: Proxy
) -> None:
    client("s3").create_bucket(Bucket="snapshots")
    match(client, packed)
    before = variables_of(client)
    order = Order(snapshot=packed, s3="snapshots/risk", fetch=True, function=function)
    dry = publish(replace(order, dry_run=True))
    assert (dry.snapshot_uri, variables_of(client)) == (None, before)
    assert client("s3").list_objects_v2(Bucket="snapshots")["KeyCount"] == 0
    done = publish(order)
    assert done.doubts == ()
    assert variables_of(client) == {**before, names.ENV_SNAPSHOT: done.snapshot_uri}


@pytest.mark.parametrize("kind", ["failed", "in progress"])
def test_a_function_that_does_not_become_active_gets_its_variables_back(
    kind: Kind, packed: Path, client: Client, function: str, aws: Proxy
) -> None:
    client("s3").create_bucket(Bucket="snapshots")
    match(client, packed)
    before = variables_of(client)
    aws.requests.clear()
    aws.faults.append(
        Fault(
            lambda request: (
                request.startswith("GET")
                and "/configuration" in request
                and aws.count("PUT", "/configuration") > 0
            ),
            kind,
            times=-1,
        )
    )
    with pytest.raises(ToolFailed, match="active"):
        publish(Order(snapshot=packed, s3="snapshots/risk", fetch=True, function=function, active_s=0.2))
    aws.faults.clear()
    assert variables_of(client) == before
    assert client("s3").list_objects_v2(Bucket="snapshots")["KeyCount"] == 0


def test_a_function_of_another_runtime_is_refused_before_anything_is_sent(
    packed: Path, client: Client, function: str, aws: Proxy
) -> None:
    client("lambda").update_function_configuration(FunctionName=function, Runtime="python3.9")
    aws.requests.clear()
    with pytest.raises(UsageError, match="runs python3.9"):
        publish(Order(snapshot=packed, s3="snapshots/risk", fetch=True, function=function))
    assert aws.count("PUT") == aws.count("POST") == 0


# --- thaws ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "mode"),
    [("native", None), ("auto", None), *[("criu", mode) for mode in names.MODES if mode != "plain"]],
)
def test_every_engine_and_mode_answers_as_a_cold_start(
    engine: str, mode: str | None, uri: str, thaw: Thaw, packed: Path
) -> None:
    line = assert_thawed(thaw(uri, engine=engine, mode=mode), "native" if engine == "auto" else engine)
    assert line["mode"] == (mode or "lz4")
    pages = packed / PAGES["criu" if engine == "criu" else "native"]
    assert line["bytes_fetched"] > pages.stat().st_size
    assert 0 < line["fetch_s"] < line["total_s"]
    assert line["FetchDuration"] == pytest.approx(line["fetch_s"] * 1000, abs=0.01)


def parts(packed: Path, engine: str) -> int:
    """How many requests its pages are."""
    size = (packed / PAGES[engine]).stat().st_size
    return -(-size // part_size(size))


def test_the_pages_are_read_in_parts_and_nothing_is_read_twice(
    uri: str, packed: Path, thaw: Thaw, aws: Proxy
) -> None:
    thaw(uri)
    assert aws.count("GET", names.MANIFEST) == aws.count("GET", "native/plan") == 1
    assert parts(packed, "native") > 3
    assert aws.count("GET", PAGES["native"]) == parts(packed, "native")
    assert aws.count("GET") == parts(packed, "native") + 2


@pytest.mark.parametrize("engine", ["native", "criu"])
@pytest.mark.parametrize("kind", ["throttle", "fail", "cut", "cut body"])
def test_a_part_that_fails_is_asked_for_again(
    kind: Kind, engine: str, uri: str, packed: Path, thaw: Thaw, aws: Proxy
) -> None:
    fault = Fault(part(engine), kind, times=3)
    aws.faults.append(fault)
    assert_thawed(thaw(uri, engine=engine), engine)
    assert fault.times == 0
    assert aws.count("GET", PAGES[engine]) == parts(packed, engine) + 3


@pytest.mark.parametrize("name", [names.MANIFEST, "native/plan"])
@pytest.mark.parametrize("kind", ["throttle", "cut", "cut body"])
def test_a_small_file_that_fails_is_asked_for_again(
    kind: Kind, name: str, uri: str, thaw: Thaw, aws: Proxy
) -> None:
    aws.faults.append(Fault(lambda request: name in request, kind, times=2))
    assert_thawed(thaw(uri), "native")
    assert aws.count("GET", name) == 3


def test_a_connection_that_falls_silent_is_replaced(uri: str, packed: Path, thaw: Thaw, aws: Proxy) -> None:
    """Where the time suffices: this function's cold start is faster than that."""
    aws.faults.append(Fault(part("native"), "stall"))
    assert_thawed(thaw(uri, QUICKTHAW_WATCHDOG="5"), "native")
    assert aws.count("GET", PAGES["native"]) == parts(packed, "native") + 1


@pytest.mark.parametrize("engine", ["native", "criu"])
@pytest.mark.parametrize("name", [names.MANIFEST, "small", "pages"])
def test_a_connection_that_falls_silent_is_replaced_within_a_small_functions_time(
    name: str, engine: str, uri: str, thaw: Thaw, aws: Proxy
) -> None:
    path = {"small": {"native": "native/plan", "criu": "images/mm-301.img"}[engine], "pages": PAGES[engine]}
    silent = Fault(lambda request: request.startswith("GET") and path.get(name, name) in request, "stall")
    aws.faults.append(silent)
    assert_thawed(thaw(uri, engine=engine, QUICKTHAW_WATCHDOG="1.5"), engine)
    assert silent.times == 0


def test_where_a_memfd_is_refused_the_pages_are_a_file_without_a_name(
    uri: str, layer: Path, python: Path, aws: Proxy
) -> None:
    spec = FunctionSpec(
        task=VICTIMS / "small", handler="app.handler", python=python, layer=layer, engine="native",
        env={names.ENV_SNAPSHOT: uri, "AWS_ENDPOINT_URL": aws.url}, deny=frozenset({"memfd"}),
    )  # fmt: skip
    assert_thawed(run_environment(spec, EVENTS), "native")


# --- cold starts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["native", "criu"])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("denied", "403 AccessDenied"),
        ("expired", "400 ExpiredToken"),
        ("other region", "the bucket is in eu-west-1"),
        ("replaced", "it was replaced while it was fetched"),
        ("fail", "500 InternalError"),
        ("throttle", "503 SlowDown"),
    ],
)
def test_what_no_other_try_helps_against_is_a_cold_start(
    kind: Kind, reason: str, engine: str, uri: str, thaw: Thaw, aws: Proxy
) -> None:
    aws.faults.append(Fault(part(engine), kind, times=-1))
    assert_cold(thaw(uri, engine=engine), reason)


@pytest.mark.parametrize("engine", ["native", "criu"])
@pytest.mark.parametrize("name", [names.MANIFEST, "plan", "pages", "image"])
def test_a_missing_object_is_a_cold_start(
    name: str, engine: str, uri: str, thaw: Thaw, client: Client
) -> None:
    path = {"plan": "native/plan", "pages": PAGES[engine], "image": "images/mm-301.img"}.get(name, name)
    place = uri.removeprefix("s3://snapshots/")
    client("s3").delete_object(Bucket="snapshots", Key=f"{place}/{path}")
    run = thaw(uri, engine=engine)
    if (name, engine) in (("plan", "criu"), ("image", "native")):
        assert_thawed(run, engine)  # the other engine's business
    else:
        assert_cold(run, f"cannot fetch {uri}/{path}: 404 NoSuchKey")


@pytest.mark.parametrize("engine", ["native", "criu"])
@pytest.mark.parametrize("name", [names.MANIFEST, "plan", "pages", "image"])
def test_a_wrong_byte_is_a_cold_start(
    name: str, engine: str, uri: str, packed: Path, thaw: Thaw, client: Client
) -> None:
    path = {"plan": "native/plan", "pages": PAGES[engine], "image": "images/mm-301.img"}.get(name, name)
    data = bytearray((packed / path).read_bytes())
    data[len(data) // 2] ^= 1
    key = f"{uri.removeprefix('s3://snapshots/')}/{path}"
    client("s3").put_object(Bucket="snapshots", Key=key, Body=bytes(data))
    run = thaw(uri, engine=engine)
    if (name, engine) in (("plan", "criu"), ("image", "native")):
        assert_thawed(run, engine)
    else:
        assert_cold(run, "checksum", "blockChecksum", "damaged")


@pytest.mark.parametrize("engine", ["native", "criu"])
def test_an_object_of_another_size_is_a_cold_start(
    engine: str, uri: str, packed: Path, thaw: Thaw, client: Client
) -> None:
    data = (packed / PAGES[engine]).read_bytes() + b"x"
    key = f"{uri.removeprefix('s3://snapshots/')}/{PAGES[engine]}"
    client("s3").put_object(Bucket="snapshots", Key=key, Body=data)
    assert_cold(thaw(uri, engine=engine), f"/{len(data)}, the manifest says {len(data) - 1} bytes")


@pytest.mark.parametrize("engine", ["native", "criu"])
def test_an_object_that_is_replaced_while_it_is_fetched_is_noticed(
    engine: str, uri: str, packed: Path, thaw: Thaw, client: Client, aws: Proxy
) -> None:
    key = f"{uri.removeprefix('s3://snapshots/')}/{PAGES[engine]}"
    other = bytes(len((packed / PAGES[engine]).read_bytes()))
    later = part(engine)

    def replace(request: str) -> bool:
        if later(request) and not replaced:
            replaced.append(request)
            client("s3").put_object(Bucket="snapshots", Key=key, Body=other)
        return False

    replaced: list[str] = []
    aws.faults.append(Fault(replace, "fail"))
    # The blocks that came before may be found out first: both are the truth.
    reasons = ("it was replaced while it was fetched", "checksum", "blockChecksum")
    assert_cold(thaw(uri, engine=engine), *reasons)
    assert replaced


def test_a_fetcher_that_is_killed_is_a_cold_start(uri: str, thaw: Thaw, aws: Proxy) -> None:
    aws.faults.append(Fault(part("native"), "kill"))
    assert_cold(thaw(uri), "the fetching process has ended")


def test_a_start_that_is_killed_in_the_fetch_counts_and_the_next_one_sweeps(
    uri: str, layer: Path, python: Path, aws: Proxy, tmp_path: Path
) -> None:
    """The bootstrap fetches for CRIU itself; the third start leaves S3 alone, and answers."""
    tmp_path.chmod(0o1777)
    aws.faults.append(Fault(part("criu"), "kill", times=-1))
    run = criu_environment(uri, layer, python, aws, tmp_path)
    assert [error["errorType"] for error in run.errors] == ["Runtime.ExitError"]
    assert [line["reason"] for line in lines(run)] == [
        "the thaw failed 2 times in this environment and is not tried again"
    ]
    left = [path.name for path in tmp_path.iterdir()]
    assert [name for name in left if not name.startswith(".quickthaw-criu-")] == []
    assert len(left) == 2


def test_what_a_start_that_was_killed_in_the_fetch_left_is_swept_by_a_thaw(
    uri: str, layer: Path, python: Path, aws: Proxy, tmp_path: Path
) -> None:
    tmp_path.chmod(0o1777)
    aws.faults.append(Fault(part("criu"), "kill"))
    run = criu_environment(uri, layer, python, aws, tmp_path)
    assert [line["engine"] for line in lines(run)] == ["criu"]
    assert run.errors == ()
    assert list(tmp_path.rglob("*")) == []


def test_a_fetch_that_fails_is_no_failed_thaw(
    uri: str, layer: Path, python: Path, aws: Proxy, tmp_path: Path
) -> None:
    """What S3 says has a reason in the log; only what ends without one is counted."""
    tmp_path.chmod(0o1777)
    aws.faults.append(Fault(lambda request: "images/mm-301.img" in request, "denied"))
    assert [line["engine"] for line in lines(criu_environment(uri, layer, python, aws, tmp_path))] == ["cold"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["grow", "async", "stream", "sync"])
def test_nothing_of_what_was_fetched_stays_with_the_thawed_function(
    mode: str, uri: str, layer: Path, python: Path, aws: Proxy, tmp_path: Path
) -> None:
    """The bootstrap goes on as its parent: a file without a name takes room as long as one has it open."""
    tmp_path.chmod(0o1777)
    bootstraps: list[int] = []
    open_files: list[str] = []

    def on_line(line: str) -> None:
        deadline_s = time.monotonic() + 10  # it lets the first answer go first
        while line.startswith("END"):
            open_files.clear()
            for place in Path(f"/proc/{bootstraps[0]}/fd").iterdir():
                with suppress(FileNotFoundError):
                    open_files.append(os.readlink(place))
            if not any(name.startswith("/tmp/") for name in open_files) or time.monotonic() > deadline_s:
                return
            time.sleep(0.02)

    run = criu_environment(
        uri, layer, python, aws, tmp_path, mode=mode, before_exec=bootstraps.append, on_line=on_line
    )
    assert (run.engine, run.reason, run.errors) == ("criu", None, ())
    assert open_files and not [name for name in open_files if name.startswith("/tmp/")], open_files
    assert list(tmp_path.iterdir()) == []


def criu_environment(
    uri: str, layer: Path, python: Path, aws: Proxy, tmp: Path, on_line: Any = None, **more: Any
) -> EnvironmentRun:
    """An environment of the small victim whose /tmp outlives a start."""
    spec = FunctionSpec(
        task=VICTIMS / "small", handler="app.handler", python=python, layer=layer, engine="criu", tmp=tmp,
        env={names.ENV_SNAPSHOT: uri, "AWS_ENDPOINT_URL": aws.url, names.ENV_WATCHDOG: "9"}, **more,
    )  # fmt: skip
    return run_environment(spec, [EVENTS[1]] * 3, on_line=on_line)


@pytest.mark.parametrize("engine", ["native", "criu"])
def test_a_fetch_that_takes_too_long_is_given_up(engine: str, uri: str, thaw: Thaw, aws: Proxy) -> None:
    aws.faults.append(Fault(part(engine), "stall", times=-1))
    run = thaw(uri, engine=engine, QUICKTHAW_WATCHDOG="1")
    assert_cold(run, "it took too long", "took longer than 1 s", "took longer than 1000 ms")
    assert 0.9 < lines(run)[0]["lost_s"] < 2.5


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ({names.ENV_SNAPSHOT: "s3://snapshots"}, "must be s3://BUCKET/PREFIX"),
        ({"AWS_ACCESS_KEY_ID": ""}, "the environment holds no AWS credentials"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "Connection refused"),
        ({"AWS_ENDPOINT_URL": "nonsense"}, "no http:// or https:// address"),
    ],
)
def test_settings_that_lead_nowhere_are_a_cold_start(
    env: dict[str, str], reason: str, uri: str, thaw: Thaw
) -> None:
    settings = {names.ENV_SNAPSHOT: uri, **env}
    assert_cold(thaw(settings.pop(names.ENV_SNAPSHOT), **settings), reason)


def test_what_the_native_engine_declines_is_thawed_by_criu_where_it_may(
    uri: str, packed: Path, thaw: Thaw, client: Client
) -> None:
    data = bytearray((packed / PAGES["native"]).read_bytes())
    data[-1] ^= 1
    key = f"{uri.removeprefix('s3://snapshots/')}/{PAGES['native']}"
    client("s3").put_object(Bucket="snapshots", Key=key, Body=bytes(data))
    # Engine "criu" gives the sandbox with the capability; the variable then asks for both engines in it.
    line = assert_thawed(thaw(uri, engine="criu", QUICKTHAW_ENGINE="auto"), "criu")
    assert "of pages.lz4 is damaged" in line["reason"]


def test_where_criu_is_not_permitted_nothing_is_fetched_for_it(uri: str, thaw: Thaw, aws: Proxy) -> None:
    run = thaw(uri, engine="native", QUICKTHAW_ENGINE="criu")
    (line,) = lines(run)
    assert line["engine"] == "cold" and "CAP_CHECKPOINT_RESTORE" in line["reason"]
    assert aws.requests == []


def test_with_the_engine_off_nothing_is_fetched(uri: str, thaw: Thaw, aws: Proxy) -> None:
    run = thaw(uri, engine="off")
    assert [line["reason"] for line in lines(run)] == ["engine off"]
    assert aws.requests == []
