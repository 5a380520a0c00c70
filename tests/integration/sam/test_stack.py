"""The translated template becomes a stack, in moto's CloudFormation.

moto knows no aliases, alarms and query definitions and passes over them, and
attaches no layers; what is asserted is what it does make.
"""

from __future__ import annotations

import http.client
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import ROOT


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """moto as a server, and credentials that are nobody's."""
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    host, port = server.get_host_and_port()
    reset = http.client.HTTPConnection(host, port)
    reset.request("POST", "/moto-api/reset")
    assert reset.getresponse().status == 200
    reset.close()
    yield f"http://{host}:{port}"
    server.stop()


Create = Callable[..., Callable[[str], Any]]


@pytest.fixture
def create(endpoint: str, translated: dict[str, Any]) -> Create:
    """create(Parameter=value): makes the stack; returns what makes clients of its account."""
    import boto3

    def client(service: str) -> Any:
        return boto3.client(service, endpoint_url=endpoint, region_name="us-east-1")  # type: ignore[call-overload]

    def make(**parameters: str) -> Callable[[str], Any]:
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("app.py", "")
        storage, stacks = client("s3"), client("cloudformation")
        storage.create_bucket(Bucket="artifacts")
        storage.put_object(Bucket="artifacts", Key="one.zip", Body=code.getvalue())
        observe = (ROOT / "handler/review/observe.yaml").read_bytes()
        storage.put_object(Bucket="artifacts", Key="observe.yaml", Body=observe)
        nested = translated["Resources"]["Observe"]["Properties"]
        nested["TemplateURL"] = "https://artifacts.s3.amazonaws.com/observe.yaml"
        stacks.create_stack(
            StackName="quickthaw", TemplateBody=json.dumps(translated), Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        )  # fmt: skip
        (stack,) = stacks.describe_stacks(StackName="quickthaw")["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        return client

    return make


def functions_of(client: Callable[[str], Any]) -> dict[str, Any]:
    return {one["FunctionName"].split("-")[1]: one for one in client("lambda").list_functions()["Functions"]}


@pytest.mark.filterwarnings("ignore:Tried to parse")
def test_the_stack_is_created_with_its_parameters_defaults(create: Create) -> None:
    client = create()
    functions = functions_of(client)
    assert set(functions) == {"DemoCold", "DemoThawed", "DemoSnapStart", "Probe", "Review"}
    assert {one["Runtime"] for one in functions.values()} == {"python3.12"}
    assert functions["DemoThawed"]["Environment"]["Variables"] == {
        "AWS_LAMBDA_EXEC_WRAPPER": "/opt/bin/bootstrap",
        "QUICKTHAW_ENGINE": "auto",
    }
    logs = client("logs").describe_log_groups()["logGroups"]
    groups = {one["logGroupName"]: one["retentionInDays"] for one in logs}
    names = ("cold", "probe", "review", "snapstart", "thawed")
    assert groups == {f"/aws/lambda/quickthaw-{name}": 30 for name in names}
    assert policies_of(client) == []


def policies_of(client: Callable[[str], Any]) -> list[Any]:
    """What the thawed function's role may do besides writing its log."""
    iam = client("iam")
    (role,) = [one["RoleName"] for one in iam.list_roles()["Roles"] if "DemoThawedRole" in one["RoleName"]]
    found = iam.list_role_policies(RoleName=role)["PolicyNames"]
    return [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in found]


@pytest.mark.filterwarnings("ignore:Tried to parse")
def test_with_a_snapshot_in_s3_the_function_knows_it_and_may_read_it(create: Create) -> None:
    client = create(SnapshotS3="snapshots/risk/0123-4567")
    variables = functions_of(client)["DemoThawed"]["Environment"]["Variables"]
    assert variables["QUICKTHAW_SNAPSHOT"] == "s3://snapshots/risk/0123-4567"
    (document,) = policies_of(client)
    (statement,) = document["Statement"]
    assert statement["Action"] == "s3:GetObject"
    assert statement["Resource"] == "arn:aws:s3:::snapshots/risk/0123-4567/*"
