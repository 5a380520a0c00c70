"""The translated template becomes a stack, in moto's CloudFormation.

moto knows no aliases, alarms and query definitions and passes over them, and
attaches no layers; what is asserted is what it does make.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
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
    yield f"http://{host}:{port}"
    server.stop()


@pytest.mark.filterwarnings("ignore:Tried to parse")
def test_the_stack_is_created_with_its_parameters_defaults(endpoint: str, translated: dict[str, Any]) -> None:
    import boto3

    def client(service: str) -> Any:
        return boto3.client(service, endpoint_url=endpoint, region_name="us-east-1")  # type: ignore[call-overload]

    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "")
    storage, stacks, lambdas, logs = (client(name) for name in ("s3", "cloudformation", "lambda", "logs"))
    storage.create_bucket(Bucket="artifacts")
    storage.put_object(Bucket="artifacts", Key="one.zip", Body=code.getvalue())
    observe = (ROOT / "handler/review/observe.yaml").read_bytes()
    storage.put_object(Bucket="artifacts", Key="observe.yaml", Body=observe)
    nested = translated["Resources"]["Observe"]["Properties"]
    nested["TemplateURL"] = "https://artifacts.s3.amazonaws.com/observe.yaml"
    stacks.create_stack(
        StackName="quickthaw", TemplateBody=json.dumps(translated), Capabilities=["CAPABILITY_IAM"]
    )
    assert stacks.describe_stacks(StackName="quickthaw")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"

    functions = {one["FunctionName"].split("-")[1]: one for one in lambdas.list_functions()["Functions"]}
    assert set(functions) == {"DemoCold", "DemoThawed", "DemoSnapStart", "Probe", "Review"}
    assert {one["Runtime"] for one in functions.values()} == {"python3.12"}
    assert functions["DemoThawed"]["Environment"]["Variables"] == {
        "AWS_LAMBDA_EXEC_WRAPPER": "/opt/bin/bootstrap",
        "QUICKTHAW_ENGINE": "auto",
    }
    groups = {one["logGroupName"]: one["retentionInDays"] for one in logs.describe_log_groups()["logGroups"]}
    names = ("cold", "probe", "review", "snapstart", "thawed")
    assert groups == {f"/aws/lambda/quickthaw-{name}": 30 for name in names}
    for one in (storage, stacks, lambdas, logs):
        one.close()
