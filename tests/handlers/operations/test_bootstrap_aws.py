"""`therouter bootstrap aws` against an account in this process, its function against a database as RDS makes one."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import msgspec
import pytest
from moto import mock_aws

from handlers.clouds.aws import is_placeholder
from handlers.keys.grammar import MintKeys, parse_key
from handlers.keys.hashing import verify_secret
from handlers.local.postgres import PostgresServer
from handlers.operations import migrate
from handlers.operations.beginning import Founder
from handlers.operations.bootstrap_aws import AwsContainers, main
from handlers.store.connection import open_connection
from handlers.workloads import DATABASE_ROLES
from stacks.secrets import PLACEHOLDER
from tests.handlers.operations.fresh_database import MASTER_PASSWORD, another, environment, fresh_database

NAMES = (
    "keys/mint", "audit/checkpoint", "audit/digest", "seal/openai", "seal/public", "wire/openai", "provider/openai",
    *(f"database/{role}" for role in DATABASE_ROLES),
)  # fmt: skip
FRESH = '{"placeholder":"","value":"' + "x" * 64 + '"}'
"""What Secrets Manager makes of the stack's template."""
FUNCTION = {
    "Type": "AWS::Lambda::Function",
    "Properties": {
        "Code": {"ZipFile": "def handler(event, context): ..."},
        "Handler": "index.handler",
        "Runtime": "python3.13",
        "Role": "arn:aws:iam::123456789012:role/migrate",
    },
}
DATABASE = {
    "Type": "AWS::RDS::DBInstance",
    "Properties": {
        "Engine": "postgres",
        "DBInstanceClass": "db.m7g.large",
        "AllocatedStorage": 100,
        "MasterUsername": "therouter_master",
        "ManageMasterUserPassword": True,
    },
}


def client(service: str) -> Any:
    return boto3.client(service, region_name="us-east-2")  # type: ignore[call-overload]


def value(name: str) -> str:
    wanted = {"SecretId": f"therouter/production/{name}", "VersionStage": "AWSCURRENT"}
    return str(client("secretsmanager").get_secret_value(**wanted)["SecretString"])


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with fresh_database() as database:
        yield database


@dataclass
class Invoked:
    """What the function was called with; told to fail, it does."""

    database: str
    calls: list[Any] = field(default_factory=list)
    fails: bool = False


@pytest.fixture
def invoked(monkeypatch: pytest.MonkeyPatch, server: PostgresServer, tmp_path: Path) -> Iterator[Invoked]:
    """An account with everything deployed; an invocation of the function runs the handler itself."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    function = Invoked(another(server))

    def invoke(params: dict[str, Any], **_more: Any) -> tuple[Any, dict[str, Any]]:
        event = msgspec.json.decode(params["body"])
        function.calls.append((params["url_path"], event))
        if function.fails:
            told = io.BytesIO(b'{"errorMessage":"canary"}')
            return SimpleNamespace(status_code=200), {"FunctionError": "Unhandled", "Payload": told}
        passwords = {f"database/{role}": value(f"database/{role}") for role in DATABASE_ROLES}
        for name, text in environment(server, function.database, tmp_path / "secrets", "global", passwords).items():
            monkeypatch.setitem(os.environ, name, text)
        answer = msgspec.json.encode(migrate.handler(event, None))
        return SimpleNamespace(status_code=200), {"StatusCode": 200, "Payload": io.BytesIO(answer)}

    with mock_aws():
        boto3.setup_default_session()
        session: Any = boto3._get_default_session()._session
        session.register("before-call.lambda.Invoke", invoke)
        for name in NAMES:
            client("secretsmanager").create_secret(Name=f"therouter/production/{name}", SecretString=FRESH)
        client("iam").create_role(RoleName="migrate", AssumeRolePolicyDocument="{}")
        for intention, logical, resource in (
            ("Jobs", "Functionmigrate1234ABCD", FUNCTION),
            ("Database", "Instance", DATABASE),
        ):
            body = msgspec.json.encode({"Resources": {logical: resource}}).decode()
            client("cloudformation").create_stack(StackName=f"TheRouter-production-use2-{intention}", TemplateBody=body)
        (database,) = client("rds").describe_db_instances()["DBInstances"]
        database = client("rds").modify_db_instance(
            DBInstanceIdentifier=database["DBInstanceIdentifier"], ManageMasterUserPassword=True
        )["DBInstance"]
        master = msgspec.json.encode({"username": "therouter_master", "password": MASTER_PASSWORD}).decode()
        client("secretsmanager").put_secret_value(
            SecretId=database["MasterUserSecret"]["SecretArn"], SecretString=master
        )
        yield function
    boto3.setup_default_session()


@pytest.fixture
def values(tmp_path: Path) -> Path:
    folder = tmp_path / "values"
    (folder / "provider").mkdir(parents=True)
    path = folder / "provider" / "openai"
    path.write_text("made-up-credential\n")
    path.chmod(0o600)
    return folder


def everything_said(capsys: pytest.CaptureFixture[str]) -> str:
    told = capsys.readouterr()
    return told.out + told.err


def test_one_command_makes_a_fresh_deployment_ready(
    invoked: Invoked, values: Path, tmp_path: Path, server: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    key_file = tmp_path / "first.key"
    arguments = ["--values", str(values), "--owner", "founder@example.com", "--key-file", str(key_file)]
    assert main(arguments) == 0
    said = everything_said(capsys)
    held = {name: value(name) for name in NAMES}
    assert not any(is_placeholder(text.encode()) for text in held.values())
    assert held["provider/openai"] == "made-up-credential"
    assert not any(text in said for text in held.values())

    ((path, event),) = invoked.calls
    assert path.endswith("/invocations")
    assert "Functionmigrate" in path
    with closing(
        open_connection(server.dsn("gateway", held["database/gateway"], invoked.database), timeout_s=10)
    ) as room:
        assert room.run("select epoch from therouter.gateway_watch()") == [[0]]

    token = key_file.read_text().strip()
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert token not in said
    assert token not in str(event)
    parsed = parse_key(token.encode(), "global", "production")
    assert MintKeys.parse(held["keys/mint"].encode()).vouch(parsed)
    assert verify_secret(parsed.secret, event["founder"]["key_hash"])
    with closing(open_connection(server.superuser(invoked.database), timeout_s=10)) as behind:
        rows = behind.run("select email, role from therouter.app_user")
        assert rows == [["founder@example.com", "owner"]]

    # Again, as after the next image: nothing is made, put or founded a second time.
    assert main(["--owner", "founder@example.com", "--key-file", str(tmp_path / "second.key")]) == 0
    assert {name: value(name) for name in NAMES} == held
    assert "0 migrations applied" in (again := everything_said(capsys))
    assert "has a management key already" in again
    assert not (tmp_path / "second.key").exists()


def test_what_is_missing_is_named_and_everything_else_is_done(
    invoked: Invoked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 1
    assert "provider/openai: MISSING" in everything_said(capsys)
    assert is_placeholder(value("provider/openai").encode())
    assert len(invoked.calls) == 1


def test_a_value_is_never_overwritten(invoked: Invoked, values: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secrets = client("secretsmanager")
    secrets.put_secret_value(SecretId="therouter/production/provider/openai", SecretString="the operator's own")
    assert main(["--values", str(values)]) == 2
    assert "nothing is overwritten" in everything_said(capsys)
    assert value("provider/openai") == "the operator's own"
    assert is_placeholder(value("keys/mint").encode()), "refused before anything was written"
    assert invoked.calls == []


def test_two_who_run_at_once_cannot_both_win(invoked: Invoked) -> None:
    store = AwsContainers("production", client("secretsmanager"))
    assert store.read("keys/mint") is None
    client("secretsmanager").put_secret_value(SecretId="therouter/production/keys/mint", SecretString="the other's")
    with pytest.raises(RuntimeError, match="keys/mint was given a value by somebody else"):
        store.put("keys/mint", b"ours")
    assert value("keys/mint") == "the other's"
    assert invoked.calls == []


def test_a_function_that_fails_is_said_and_no_key_is_kept(
    invoked: Invoked, values: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    invoked.fails = True
    key_file = tmp_path / "first.key"
    assert main(["--values", str(values), "--owner", "a@example.com", "--key-file", str(key_file)]) == 2
    said = everything_said(capsys)
    assert "the migrate function failed" in said
    assert "canary" not in said
    assert not key_file.exists()


@pytest.mark.usefixtures("aws")
def test_nothing_deployed_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "deploy the stacks first" in everything_said(capsys)


def test_an_owner_needs_a_file_for_the_key(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--owner", "a@example.com"])
    assert "--key-file" in everything_said(capsys)


def test_a_founder_shows_nobody_a_hash() -> None:
    assert "hash" not in repr(Founder.of("a@example.com", "id", "a-hash"))
    assert Founder.of("a@example.com", "1", "x").tenant_id == Founder.of("b@example.com", "2", "y").tenant_id


def test_the_stacks_placeholder_is_the_one_that_no_room_takes() -> None:
    made = msgspec.json.decode(PLACEHOLDER) | {"value": "x" * 64}
    assert is_placeholder(msgspec.json.encode(made))
    assert FRESH.encode() == msgspec.json.encode(made)
