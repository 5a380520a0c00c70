"""template.yaml as CloudFormation gets it, after AWS's translator."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest


@pytest.fixture
def resources(translated: dict[str, Any]) -> dict[str, Any]:
    """Every resource of the translated template."""
    return dict(translated["Resources"])


def test_these_resources_are_made(resources: dict[str, Any]) -> None:
    assert Counter(one["Type"] for one in resources.values()) == {
        "AWS::Lambda::Function": 5,
        "AWS::Lambda::LayerVersion": 3,
        "AWS::Lambda::Version": 1,
        "AWS::Lambda::Alias": 1,
        "AWS::Lambda::Permission": 1,
        "AWS::IAM::Role": 5,
        "AWS::IAM::Policy": 1,
        "AWS::Events::Rule": 1,
        "AWS::Logs::LogGroup": 5,
        "AWS::CloudFormation::Stack": 1,
    }


def test_every_function_gets_the_runtime_the_architecture_and_the_pin(resources: dict[str, Any]) -> None:
    for name, one in resources.items():
        if one["Type"] == "AWS::Lambda::Function":
            properties = one["Properties"]
            assert properties["Runtime"] == {"Ref": "Runtime"}, name
            assert properties["Architectures"] == [{"Ref": "Architecture"}], name
            assert "Fn::If" in properties["RuntimeManagementConfig"], name
            assert properties["LoggingConfig"]["LogFormat"] == "JSON", name


def test_the_roles_hold_nothing_but_the_log_and_the_review(resources: dict[str, Any]) -> None:
    for name, one in resources.items():
        if one["Type"] == "AWS::IAM::Role":
            managed = json.dumps(one["Properties"]["ManagedPolicyArns"])
            assert managed.count("arn:aws:iam") + managed.count("policy/") <= 2, name
            assert "AWSLambdaBasicExecutionRole" in managed
            assert bool(one["Properties"].get("Policies")) == name.startswith("Review"), name


def test_the_policy_of_a_fetched_snapshot_belongs_to_a_role_that_is_there(resources: dict[str, Any]) -> None:
    (role,) = resources["SnapshotAccess"]["Properties"]["Roles"]
    assert resources[role["Ref"]]["Type"] == "AWS::IAM::Role"
    assert resources["DemoThawed"]["Properties"]["Role"] == {"Fn::GetAtt": [role["Ref"], "Arn"]}


def test_snapstart_is_on_for_one_function_alone(resources: dict[str, Any]) -> None:
    with_it = [name for name, one in resources.items() if one["Properties"].get("SnapStart")]
    assert with_it == ["DemoSnapStart"]


def test_layers_outlive_the_stack_where_functions_may_have_them(resources: dict[str, Any]) -> None:
    kept = {
        one["Properties"]["LayerName"]: one["DeletionPolicy"]
        for one in resources.values()
        if one["Type"] == "AWS::Lambda::LayerVersion"
    }
    assert kept == {"QuickthawLayer": "Retain", "SnapshotLayer": "Retain", "ReviewLayer": "Delete"}
