"""The environment of a thawed function, what was copied out of it, and what was made with it."""

from __future__ import annotations

import json

import pytest

from tests.integration.wake.conftest import ENGINES, Function

BOTOCORE = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "python_dateutil", "six", "urllib3")

ENVIRONMENT = """
    import ctypes, os, sys, time
    LIBC = ctypes.CDLL(None)
    LIBC.getenv.restype = ctypes.c_char_p
    os.environ["BOTH"] = "/first:" + os.environ["BOTH"] + ":/last"
    os.environ["SET"] = "by import"
    os.environ.setdefault("DEFAULT", "of import")
    os.environ.setdefault("OTHER_DEFAULT", "of import")
    os.environ.pop("DELETED", None)

    def handler(event, context):
        names = [os.fsencode(name) for name in os.environ] + [b"VANISHED", b"DELETED"]
        return {
            "environ": {os.fsencode(k).decode("latin-1"): os.fsencode(v).decode("latin-1") for k,
                v in os.environ.items()},
            "c": {
                name.decode("latin-1"): value.decode("latin-1")
                for name in names if (value := LIBC.getenv(name)) is not None
            },
            "zone": time.strftime("%Z", time.localtime(0)),
            "path": sys.path,
            "memory": context.memory_limit_in_mb, "stream": context.log_stream_name,
            "function": context.function_name,
        }
"""

COPIES = """
    import os
    from functools import partial
    from types import SimpleNamespace

    KEY = os.environ["AWS_ACCESS_KEY_ID"]
    STREAM = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
    class Slotted:
        __slots__ = ("token",)
    SLOTTED = Slotted()
    SLOTTED.token = os.environ["AWS_SESSION_TOKEN"]
    class Plain:
        def __init__(self): self.key = os.environ["AWS_SECRET_ACCESS_KEY"]
    PLAIN, NAMESPACE = Plain(), SimpleNamespace(key=os.environ["AWS_ACCESS_KEY_ID"])
    LIST = ["x", os.environ["AWS_ACCESS_KEY_ID"]]
    TABLE = {"deep": [{"key": os.environ["AWS_SECRET_ACCESS_KEY"]}]}
    def closure(secret=None):
        secret = os.environ["AWS_SECRET_ACCESS_KEY"]
        return lambda: secret
    CLOSED, KEYWORDS = closure(), partial(dict, key=os.environ["AWS_ACCESS_KEY_ID"])

    def handler(event, context):
        key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
        return {
            "global": KEY == key, "stream": STREAM == context.log_stream_name, "list": LIST == ["x", key],
            "slot": SLOTTED.token == os.environ["AWS_SESSION_TOKEN"], "attribute": PLAIN.key == secret,
            "namespace": NAMESPACE.key == key, "nested": TABLE == {"deep": [{"key": secret}]},
            "closure": CLOSED() == secret, "partial": KEYWORDS() == {"key": key},
        }
"""

CLIENTS = """
    import os
    import boto3, botocore.session
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest

    CLIENT = boto3.client("s3")
    SESSION = boto3.Session()
    OF_SESSION = SESSION.client("s3")
    RESOURCE = boto3.resource("s3").meta.client
    CORE = botocore.session.get_session().create_client("s3")
    BY_HAND = boto3.client(
        "s3", aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        aws_session_token=os.environ["AWS_SESSION_TOKEN"],
        aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    )
    OWN = boto3.client("s3", aws_access_key_id="OWN", aws_secret_access_key="own")
    CREDENTIALS = SESSION.get_credentials()

    def url(client):
        return client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})

    def handler(event, context):
        request = AWSRequest("GET", "https://example.com/")
        SigV4QueryAuth(CREDENTIALS, "s3", os.environ["AWS_REGION"]).add_auth(request)
        fresh = boto3.Session(
            aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
            aws_session_token=os.environ["AWS_SESSION_TOKEN"],
            aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"], region_name=os.environ["AWS_REGION"],
        ).client("s3")
        return {
            "key": os.environ["AWS_ACCESS_KEY_ID"], "signed": request.url, "own": url(OWN),
            "fresh": [client.meta.region_name for client in (fresh, SESSION.client("s3"),
                boto3.client("s3"))],
            "urls": [url(c) for c in (CLIENT, OF_SESSION, RESOURCE, CORE, BY_HAND, SESSION.client("s3"),
                boto3.client("s3"))],
            "method": CREDENTIALS.method, "frozen": CREDENTIALS.get_frozen_credentials().access_key,
            "kind": type(CREDENTIALS).__name__,
        }
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_python_and_c_agree_on_the_new_environment(engine: str, function: Function) -> None:
    function.write(ENVIRONMENT)
    old = {"BOTH": "old", "VANISHED": "1", "DELETED": "1", "KEPT": "old", "EMPTY": "full"}
    function.freeze(environ={**old, "TZ": "UTC"}, layout="lz4")
    new = {
        "BOTH": "new:newer",
        "DELETED": "2",
        "KEPT": "new",
        "EMPTY": "",
        "ODD": "\udcff\udc80",
        "EQUALS": "a=b",
    }
    new |= {"DEFAULT": "of environment", "TZ": "Asia/Tokyo", "PYTHONPATH": "/var/runtime:/opt/added"}
    answer, cold = (function.start(one, env=new, memory_mb=1024).answers[0] for one in (engine, "cold"))
    assert isinstance(answer, dict) and isinstance(cold, dict)
    assert answer["c"] == answer["environ"]
    varying = {"AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_LOG_STREAM_NAME", "_X_AMZN_TRACE_ID", "QUICKTHAW_ENGINE"}
    varying |= {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
    assert {k: v for k, v in answer["environ"].items() if k not in varying} == {
        k: v for k, v in cold["environ"].items() if k not in varying
    }
    environ = answer["environ"]
    assert environ["BOTH"] == "/first:new:newer:/last"
    assert (environ["SET"], environ["DEFAULT"], environ["OTHER_DEFAULT"]) == (
        "by import",
        "of environment",
        "of import",
    )
    assert environ["ODD"].encode("latin-1") == b"\xff\x80"
    assert answer["zone"] == cold["zone"] == "JST"
    assert (
        (answer["memory"], answer["function"]) == (cold["memory"], cold["function"]) == ("1024", "function")
    )
    assert answer["stream"] == environ["AWS_LAMBDA_LOG_STREAM_NAME"]
    assert environ["_X_AMZN_TRACE_ID"].startswith("Root=1-")
    assert "/opt/added" in answer["path"], "imports to come look there, too"


@pytest.mark.parametrize("engine", ENGINES)
def test_who_would_win_is_not_guessed(engine: str, function: Function) -> None:
    function.write(
        "import os\nos.environ['LEVEL'] = 'quiet'\ndef handler(event, context): return os.environ['LEVEL']"
    )
    function.freeze(layout="lz4")
    assert function.thaw(engine) == "quiet"
    assert function.thaw(engine, env={"LEVEL": "quiet"}) == "quiet"
    assert "freeze with --env LEVEL=" in function.reason(engine, env={"LEVEL": "loud"})


@pytest.mark.parametrize("engine", ENGINES)
def test_what_the_import_copied_out_of_the_environment_is_the_new_value(
    engine: str, function: Function
) -> None:
    function.write(COPIES)
    function.freeze({})
    answer = function.thaw(engine)
    assert answer == dict.fromkeys(answer, True)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("expires", [None, "2020-01-01T00:00:00Z"], ids=["static", "refreshable"])
def test_clients_made_at_import_sign_with_the_new_keys(expires: str | None, function: Function) -> None:
    function.write(CLIENTS, *BOTOCORE)
    # With an end, botocore makes credentials that want to be refreshed.
    environ = {"AWS_CREDENTIAL_EXPIRATION": "2099-01-01T00:00:00Z"} if expires else {}
    function.freeze({}, environ=environ, layout="lz4")
    for engine in ENGINES:
        answer = function.thaw(engine)
        assert answer["kind"] == ("RefreshableCredentials" if expires else "Credentials")
        for url in (*answer["urls"], answer["signed"]):
            assert answer["key"] in url and "DUMMY" not in url, json.dumps(answer, indent=1)
        assert "OWN" in answer["own"]
        assert answer["frozen"] == answer["key"]
    lasting = {"AWS_CREDENTIAL_EXPIRATION": "2098-01-01T00:00:00Z"}
    answer = function.thaw("native", env=lasting)
    assert answer["frozen"] == answer["key"]


@pytest.mark.timeout(240)
def test_clients_of_another_region_are_not_served(function: Function) -> None:
    function.write(CLIENTS, *BOTOCORE)
    function.freeze(layout="lz4")
    elsewhere = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"}
    for engine in ENGINES:
        reason = function.reason(engine, env=elsewhere)
        assert "clients for us-east-1 (s3" in reason and "--env AWS_DEFAULT_REGION=eu-west-1" in reason


def test_a_function_without_clients_runs_in_any_region(function: Function) -> None:
    function.write("import os\ndef handler(event, context): return os.environ['AWS_REGION']")
    function.freeze(layout="lz4")
    elsewhere = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"}
    assert [function.thaw(engine, env=elsewhere) for engine in ENGINES] == ["eu-west-1"] * 2
