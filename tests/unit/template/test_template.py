"""template.yaml: what CloudFormation cannot check, and what cfn-lint lets through (any runtime, for one)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from quickthaw import names

ROOT = Path(__file__).parents[3]
DEMOS = ("DemoCold", "DemoThawed", "DemoSnapStart")


class Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads CloudFormation's short forms as {"Fn": value}."""


def _tagged(loader: Loader, tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return {tag: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {tag: loader.construct_sequence(node, deep=True)}
    return {tag: loader.construct_mapping(node, deep=True)}


Loader.add_multi_constructor("!", _tagged)


def read(path: str) -> Any:
    return yaml.load((ROOT / path).read_text(encoding="utf-8"), Loader)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return dict(read("template.yaml"))


@pytest.fixture(scope="module")
def functions(template: dict[str, Any]) -> dict[str, Any]:
    return of_type(template, "AWS::Serverless::Function")


def of_type(template: dict[str, Any], kind: str) -> dict[str, Any]:
    """Properties of all resources of a type."""
    return {name: one["Properties"] for name, one in template["Resources"].items() if one["Type"] == kind}


def test_the_runtimes_are_those_that_lambda_has_and_we_support(template: dict[str, Any]) -> None:
    assert template["Parameters"]["Runtime"]["AllowedValues"] == ["python3.12", "python3.13"]
    assert template["Parameters"]["Architecture"]["AllowedValues"] == ["x86_64"]
    assert template["Parameters"]["Engine"]["AllowedValues"] == list(names.ENGINES)


def test_the_runtime_does_not_change_under_a_snapshot(template: dict[str, Any]) -> None:
    _, pinned, otherwise = template["Globals"]["Function"]["RuntimeManagementConfig"]["If"]
    assert pinned == {"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": {"Ref": "RuntimeVersionArn"}}
    assert otherwise == {"UpdateRuntimeOn": "FunctionUpdate"}


def test_the_demo_functions_differ_in_how_they_start_and_in_nothing_else(functions: dict[str, Any]) -> None:
    start = {
        "Layers",
        "Environment",
        "SnapStart",
        "AutoPublishAlias",
        "Description",
        "LoggingConfig",
    }
    rest = [{key: value for key, value in functions[name].items() if key not in start} for name in DEMOS]
    assert rest[0] == rest[1] == rest[2]
    assert "Environment" not in functions["DemoCold"]


def test_only_the_thawed_function_has_the_wrapper(functions: dict[str, Any]) -> None:
    variables = functions["DemoThawed"]["Environment"]["Variables"]
    assert variables["AWS_LAMBDA_EXEC_WRAPPER"] == names.BOOTSTRAP_PATH
    assert variables[names.ENV_ENGINE] == {"Ref": "Engine"}
    assert variables[names.ENV_SNAPSHOT]["If"] == [
        "FetchesSnapshot", {"Sub": "s3://${SnapshotS3}"}, {"Ref": "AWS::NoValue"},
    ]  # fmt: skip
    assert functions["DemoThawed"]["Layers"][0] == {"Ref": "QuickthawLayer"}
    for name, one in functions.items():
        assert name == "DemoThawed" or "AWS_LAMBDA_EXEC_WRAPPER" not in str(one)


def test_the_handlers_exist(functions: dict[str, Any]) -> None:
    for name, one in functions.items():
        module, _, function = one["Handler"].partition(".")
        source = (ROOT / one["CodeUri"] / f"{module}.py").read_text(encoding="utf-8")
        assert f"\ndef {function}(" in source, name


def test_every_function_writes_to_a_log_group_that_forgets(
    template: dict[str, Any], functions: dict[str, Any]
) -> None:
    groups = of_type(template, "AWS::Logs::LogGroup")
    used = set()
    for one in functions.values():
        assert one["LoggingConfig"]["LogFormat"] == "JSON"
        used.add(one["LoggingConfig"]["LogGroup"]["Ref"])
    assert used == set(groups)
    for group in groups.values():
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}
        # where handler/review/policy.yaml lets the review read
        assert group["LogGroupName"]["Sub"].startswith("/aws/lambda/")


def test_the_review_may_do_what_its_policy_file_says_and_no_function_anything_else(
    functions: dict[str, Any],
) -> None:
    assert functions["Review"]["Policies"] == read("handler/review/policy.yaml")
    assert [name for name, one in functions.items() if "Policies" in one or "Role" in one] == ["Review"]


def test_the_thawed_function_may_read_the_one_snapshot_that_it_fetches(template: dict[str, Any]) -> None:
    assert template["Resources"]["SnapshotAccess"]["Condition"] == "FetchesSnapshot"
    (policy,) = of_type(template, "AWS::IAM::Policy").values()
    assert policy["Roles"] == [{"Ref": "DemoThawedRole"}]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "s3:GetObject")
    assert statement["Resource"] == {"Sub": "arn:${AWS::Partition}:s3:::${SnapshotS3}/*"}


@pytest.mark.parametrize(
    ("value", "fits"),
    [("", True), ("bucket/id", True), ("my.bucket/a/b-1", True), ("s3://bucket/id", False), ("bucket", False),
     ("bucket/id/", False)],
)  # fmt: skip
def test_where_the_snapshot_lies_is_given_without_scheme_and_slash(
    value: str, fits: bool, template: dict[str, Any]
) -> None:
    # CloudFormation matches the whole value.
    assert bool(re.fullmatch(template["Parameters"]["SnapshotS3"]["AllowedPattern"], value)) is fits


def test_what_is_compared_is_tagged_for_the_review(functions: dict[str, Any]) -> None:
    tagged = {name for name, one in functions.items() if one.get("Tags") == {"quickthaw-review": "true"}}
    assert tagged == set(DEMOS)


def test_every_layer_is_made_by_a_target_of_its_makefile(template: dict[str, Any]) -> None:
    makefiles = {
        "AWS::Serverless::LayerVersion": ("ContentUri", "layer/Makefile"),
        "AWS::Serverless::Function": ("CodeUri", "handler/demo/Makefile"),
    }
    made = 0
    for name, one in template["Resources"].items():
        if one.get("Metadata", {}).get("BuildMethod") == "makefile":
            place, makefile = makefiles[one["Type"]]
            assert one["Properties"][place] == f"{Path(makefile).parent}/"
            assert f"build-{name}" in (ROOT / makefile).read_text(encoding="utf-8")
            made += 1
    assert made == 6


def test_layers_say_for_what_they_are_and_stay_where_functions_may_need_them(
    template: dict[str, Any],
) -> None:
    for name, layer in of_type(template, "AWS::Serverless::LayerVersion").items():
        assert layer["CompatibleArchitectures"] == ["x86_64"], name
        assert layer["CompatibleRuntimes"] and layer["LicenseInfo"], name
        assert layer["RetentionPolicy"] == ("Delete" if name == "ReviewLayer" else "Retain")


def test_the_dashboard_gets_the_parameters_it_has(template: dict[str, Any]) -> None:
    (stack,) = of_type(template, "AWS::CloudFormation::Stack").values()
    assert set(stack["Parameters"]) == set(read(stack["TemplateURL"])["Parameters"])
    outputs = read(stack["TemplateURL"])["Outputs"]
    assert template["Outputs"]["Dashboard"]["Value"] == {"GetAtt": "Observe.Outputs.DashboardUrl"}
    assert "DashboardUrl" in outputs
