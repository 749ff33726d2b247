"""The migrate function on a database as a cloud makes it: a master that is no superuser, and nothing in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import boto3
import msgspec
import pytest
from botocore.exceptions import ClientError

from handlers.clouds.secrets import SecretError
from handlers.local.postgres import PostgresServer
from handlers.operations.beginning import Founder
from handlers.operations.journal import EventError
from handlers.operations.migrate import handler
from handlers.store.connection import open_connection
from handlers.workloads import DATABASE_ROLES
from tests.handlers.operations.fresh_database import MASTER_PASSWORD, another, environment, fresh_database

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with fresh_database() as database:
        yield database


@pytest.fixture
def database(server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = another(server)
    passwords = {f"database/{role}": f"made-up-{role}-" * 3 for role in DATABASE_ROLES}
    for variable, text in environment(server, name, tmp_path / "secrets", "global", passwords).items():
        monkeypatch.setitem(os.environ, variable, text)
    return name


def master_secret(password: str = MASTER_PASSWORD) -> str:
    content = msgspec.json.encode({"username": "therouter_master", "password": password}).decode()
    client = boto3.client("secretsmanager", region_name="us-east-2")
    return str(client.create_secret(Name="rds!db-1", SecretString=content)["ARN"])


def test_it_applies_everything_once_and_sets_passwords_each_time(server: PostgresServer, database: str) -> None:
    event = {"master_secret": master_secret()}
    first, second = handler(event, None), handler(event, None)
    assert len(first["applied"]) > 10  # type: ignore[arg-type]
    assert (second["applied"], second["founded"]) == ([], False)
    assert second["roles"] == list(DATABASE_ROLES)
    for role in DATABASE_ROLES:
        with closing(open_connection(server.dsn(role, f"made-up-{role}-" * 3, database), timeout_s=10)) as room:
            assert room.run("select current_user") == [[role]]


def test_the_first_tenant_begins_once(server: PostgresServer, database: str) -> None:
    founder = msgspec.to_builtins(Founder.of("founder@example.com", "u" + "0" * 15, "$2b$10$" + "a" * 53))
    event = {"master_secret": master_secret(), "founder": founder}
    assert handler(event, None)["founded"] is True
    again = {**founder, "key_id": "u" + "1" * 15}
    assert handler({**event, "founder": again}, None)["founded"] is False
    with closing(open_connection(server.superuser(database), timeout_s=10)) as behind:
        assert behind.run("select count(*) from therouter.api_key") == [[1]]
        held = behind.run("select rolpassword is null from pg_authid where rolname = 'founder'")
        assert held == [[True]], "nobody can be the founder any more"


@pytest.mark.usefixtures("database")
def test_a_wrong_password_says_nothing_of_it(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Exception) as refused:  # noqa: PT011 - whatever the driver raises; the platform reports a failure
        handler({"master_secret": master_secret("canary-password")}, None)
    assert "canary" not in str(refused.value) + caplog.text


@pytest.mark.usefixtures("database")
def test_an_event_of_nobodys_and_a_missing_secret_fail() -> None:
    with pytest.raises(EventError, match="colour"):
        handler({"colour": "red"}, None)
    with pytest.raises((ClientError, SecretError)):
        handler({"master_secret": "rds!db-2"}, None)
