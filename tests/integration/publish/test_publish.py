"""What publishing leaves behind: all of it, or nothing, whatever the network does."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from quickthaw import names
from quickthaw.cli.app import app
from quickthaw.errors import BadSnapshot, QuickthawError, ToolFailed, Unavailable, UsageError
from quickthaw.publish.run import Order, publish
from typer.testing import CliRunner

from tests.conftest import damage
from tests.integration.publish.conftest import Fault, Kind, Proxy

Client = Callable[[str], Any]
LAYER = "risk-snapshot"


def layers_of(client: Client, function: str) -> list[str]:
    found = client("lambda").get_function_configuration(FunctionName=function)
    return [layer["Arn"].rpartition(":layer:")[2] for layer in found.get("Layers", [])]


def versions_of(client: Client, layer: str) -> list[int]:
    return [one["Version"] for one in client("lambda").list_layer_versions(LayerName=layer)["LayerVersions"]]


def unfinished(client: Client, bucket: str) -> list[Any]:
    found: list[Any] = client("s3").list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return found


@pytest.fixture
def bucket(client: Client) -> str:
    client("s3").create_bucket(Bucket="snapshots")
    return "snapshots"


def is_part(number: int) -> Callable[[str], bool]:
    return lambda request: request.startswith("PUT") and f"partNumber={number}" in request


def test_a_layer_version_holds_the_snapshot_below_opt_and_is_put_on_the_function(
    snapshot: Path, client: Client, function: str
) -> None:
    done = publish(Order(snapshot=snapshot, layer_name=LAYER, function=function))
    assert layers_of(client, function) == ["other:1", f"{LAYER}:1"]
    assert done.doubts == ()
    found = client("lambda").get_layer_version(LayerName=LAYER, VersionNumber=1)
    assert found["CompatibleRuntimes"] == ["python3.12"]
    assert found["Content"]["CodeSha256"] == done.sha256


def test_a_second_snapshot_takes_the_place_of_the_first(
    snapshot: Path, client: Client, function: str
) -> None:
    for _ in range(2):
        publish(Order(snapshot=snapshot, layer_name=LAYER, function=function))
    assert layers_of(client, function) == ["other:1", f"{LAYER}:2"]


def test_the_zip_in_s3_is_the_snapshot_without_criu_images(
    snapshot: Path, client: Client, bucket: str
) -> None:
    done = publish(Order(snapshot=snapshot, s3=f"{bucket}/risk"))
    assert done.s3_object == f"s3://{bucket}/risk/0123456789abcdef.zip"
    body = client("s3").get_object(Bucket=bucket, Key="risk/0123456789abcdef.zip")["Body"]
    with body, zipfile.ZipFile(io.BytesIO(body.read())) as archive:
        inside = sorted(archive.namelist())
        assert inside == ["snapshot/manifest.json", "snapshot/native/pages.lz4", "snapshot/native/plan"]
        assert archive.read("snapshot/native/pages.lz4") == (snapshot / "native/pages.lz4").read_bytes()
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o100644}


def test_the_same_snapshot_gives_the_same_zip(snapshot: Path, aws: Proxy) -> None:
    first, second = (publish(Order(snapshot=snapshot, layer_name=LAYER, dry_run=True)) for _ in range(2))
    assert first.sha256 == second.sha256 is not None


@pytest.mark.parametrize("kind", ["throttle", "fail", "cut"])
def test_an_upload_goes_on_with_the_part_that_failed(
    kind: Kind, large: Path, client: Client, bucket: str, aws: Proxy
) -> None:
    aws.faults.append(Fault(is_part(2), kind, times=3))
    done = publish(Order(snapshot=large, s3=bucket))
    assert aws.count("PUT", "partNumber=2") == 4
    assert aws.count("PUT", "partNumber=1") == aws.count("PUT", "partNumber=3") == 1
    assert client("s3").head_object(Bucket=bucket, Key=f"{done.id}.zip")["ContentLength"] > 17 << 20
    assert unfinished(client, bucket) == []


@pytest.mark.parametrize("kind", ["throttle", "fail", "cut"])
def test_an_upload_that_goes_on_failing_leaves_nothing(
    kind: Kind, large: Path, client: Client, bucket: str, aws: Proxy
) -> None:
    aws.faults.append(Fault(is_part(3), kind, times=-1))
    with pytest.raises((ToolFailed, Unavailable)):
        publish(Order(snapshot=large, s3=bucket))
    assert unfinished(client, bucket) == []
    assert client("s3").list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("kind", ["throttle", "fail", "cut"])
def test_a_layer_is_published_in_spite_of_passing_trouble(
    kind: Kind, snapshot: Path, client: Client, function: str, aws: Proxy
) -> None:
    for path in ("/2018-10-31/layers", "/configuration"):
        aws.faults.append(Fault(lambda request, path=path: path in request, kind, times=2))  # type: ignore[misc]
    publish(Order(snapshot=snapshot, layer_name=LAYER, function=function))
    assert layers_of(client, function) == ["other:1", f"{LAYER}:1"]


def test_a_function_is_waited_for(snapshot: Path, client: Client, function: str, aws: Proxy) -> None:
    slow = Fault(lambda request: _asks_after_update(aws, request), "in progress", times=3)
    aws.faults.append(slow)
    publish(Order(snapshot=snapshot, layer_name=LAYER, function=function))
    assert slow.times == 0


def _asks_after_update(aws: Proxy, request: str) -> bool:
    """True for reading the configuration once it was written."""
    return (
        request.startswith("GET") and "/configuration" in request and aws.count("PUT", "/configuration") > 0
    )


@pytest.mark.parametrize("kind", ["failed", "in progress"])
def test_a_function_that_does_not_become_active_gets_its_layers_back(
    kind: Kind, snapshot: Path, client: Client, function: str, aws: Proxy
) -> None:
    aws.faults.append(Fault(lambda request: _asks_after_update(aws, request), kind, times=-1))
    with pytest.raises(ToolFailed, match="active"):
        publish(Order(snapshot=snapshot, layer_name=LAYER, function=function, active_s=0.2))
    aws.faults.clear()
    assert layers_of(client, function) == ["other:1"]
    assert versions_of(client, LAYER) == []


def test_a_function_that_refuses_the_layer_keeps_its_own(
    snapshot: Path, client: Client, function: str, aws: Proxy
) -> None:
    aws.faults.append(
        Fault(lambda request: request.startswith("PUT") and "/configuration" in request, "fail", -1)
    )
    with pytest.raises(ToolFailed):
        publish(Order(snapshot=snapshot, layer_name=LAYER, function=function))
    aws.faults.clear()
    assert layers_of(client, function) == ["other:1"]
    assert versions_of(client, LAYER) == []


def test_when_going_back_fails_too_the_layer_stays_and_the_error_says_what_to_do(
    snapshot: Path, client: Client, function: str, aws: Proxy
) -> None:
    aws.faults.append(Fault(lambda request: _asks_after_update(aws, request), "failed", times=1))
    aws.faults.append(Fault(lambda request: _asks_after_update(aws, request), "fail", times=-1))
    with pytest.raises(ToolFailed, match="going back failed too") as caught:
        publish(Order(snapshot=snapshot, layer_name=LAYER, function=function))
    assert "other:1" in caught.value.hint
    aws.faults.clear()
    assert versions_of(client, LAYER) == [1], "the function has it"


@pytest.mark.parametrize("name", ["native/pages.lz4", "native/plan", names.MANIFEST])
def test_a_damaged_snapshot_is_refused_before_anything_is_sent(
    name: str, snapshot: Path, function: str, aws: Proxy
) -> None:
    damage(snapshot / name)
    aws.requests.clear()
    with pytest.raises(BadSnapshot):
        publish(Order(snapshot=snapshot, layer_name=LAYER, function=function))
    assert aws.requests == []


def test_what_lambda_would_refuse_for_its_size_is_not_sent(
    snapshot: Path, tmp_path: Path, aws: Proxy
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    with (code / "big").open("wb") as file:
        file.truncate(255 << 20)
    with pytest.raises(UsageError, match=r"255\.1 MB unzipped .*Lambda takes 250\.0 MB"):
        publish(Order(snapshot=snapshot, layer_name=LAYER, beside=(code,)))
    assert aws.requests == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Runtime": "python3.13"}, "runs python3.13, the snapshot python3.12"),
        ({"Handler": "app.other"}, "calls app.other, the snapshot app.handler"),
    ],
    ids=["runtime", "handler"],
)
def test_a_function_that_the_snapshot_is_not_of_is_refused(
    change: dict[str, str], reason: str, snapshot: Path, client: Client, function: str
) -> None:
    client("lambda").update_function_configuration(FunctionName=function, **change)
    with pytest.raises(UsageError, match=reason):
        publish(Order(snapshot=snapshot, layer_name=LAYER, function=function))
    assert versions_of(client, LAYER) == []


def test_a_function_without_the_wrapper_gets_a_doubt(snapshot: Path, client: Client, function: str) -> None:
    client("lambda").update_function_configuration(FunctionName=function, Environment={"Variables": {}})
    done = publish(Order(snapshot=snapshot, layer_name=LAYER, function=function))
    assert "AWS_LAMBDA_EXEC_WRAPPER is not set" in done.doubts[0]


def test_a_function_that_fetches_another_snapshot_gets_a_doubt(
    snapshot: Path, client: Client, function: str
) -> None:
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": names.BOOTSTRAP_PATH, names.ENV_SNAPSHOT: "s3://other/one"}
    client("lambda").update_function_configuration(
        FunctionName=function, Environment={"Variables": variables}
    )
    done = publish(Order(snapshot=snapshot, layer_name=LAYER, function=function))
    assert [doubt for doubt in done.doubts if "s3://other/one" in doubt] == list(done.doubts) != []


def test_a_dry_run_changes_nothing(snapshot: Path, client: Client, function: str, aws: Proxy) -> None:
    aws.requests.clear()
    done = publish(Order(snapshot=snapshot, layer_name=LAYER, function=function, dry_run=True))
    assert [request for request in aws.requests if not request.startswith("GET")] == []
    assert done.layer_version_arn is None and done.load.unzipped > 100_000


def test_an_image_directory_is_replaced_whole(snapshot: Path, tmp_path: Path) -> None:
    target = tmp_path / "image" / "opt" / "snapshot"
    target.mkdir(parents=True)
    (target / "pages-1.img").write_bytes(b"of another dump")
    publish(Order(snapshot=snapshot, image_dir=tmp_path / "image", images=True))
    found = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert found == {names.MANIFEST, "native/plan", "native/pages.lz4", "images/inventory.img"}
    assert (target / "native/plan").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "order",
    [{}, {"layer_name": "x", "image_dir": Path("x")}, {"s3": "b/p", "function": "f"}],
    ids=["nowhere", "twice", "function without layer"],
)
def test_an_order_that_contradicts_itself_is_refused(order: dict[str, Any], snapshot: Path) -> None:
    with pytest.raises(UsageError):
        publish(Order(snapshot=snapshot, **order))


def test_the_command_prints_the_layer_version(snapshot: Path, function: str) -> None:
    ran = CliRunner().invoke(
        app, ["publish", str(snapshot), "--layer-name", LAYER, "--function", function, "--json"]
    )
    assert ran.exit_code == 0, ran.output
    document = json.loads(ran.stdout)
    assert document["layer_version_arn"].endswith(f":layer:{LAYER}:1")
    assert document["sizes"]["unzipped_limit"] == 262_144_000


def test_no_bucket_is_an_error_with_a_remedy(snapshot: Path, aws: Proxy) -> None:
    with pytest.raises(QuickthawError, match="NoSuchBucket") as caught:
        publish(Order(snapshot=snapshot, s3="nowhere/x"))
    assert "bucket" in caught.value.hint
