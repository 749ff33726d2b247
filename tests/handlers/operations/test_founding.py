from __future__ import annotations

import io
import secrets
from pathlib import Path

import pytest

from handlers.local.aws import ensure_secrets
from handlers.operations.founding import main
from handlers.settings import Variable
from handlers.store.control import Caller, ControlStore
from tests.database import Database


@pytest.mark.claim("A11")
def test_a11_the_first_tenant_comes_from_the_founder_and_from_no_room(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ensure_secrets(tmp_path, "global", "local", ["openai"])
    dsn = database.dsn("founder")
    for name, value in {
        Variable.SECRETS: str(tmp_path), Variable.DATABASE_HOST: str(dsn.socket_dir),
        Variable.DATABASE_PORT: str(dsn.port), Variable.DATABASE_NAME: dsn.database,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{secrets.token_hex(8)}\n"))
    assert main(["--name", "ACME", "--email", "owner@example.com"]) == 1
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{dsn.password}\n"))
    assert main(["--name", "ACME", "--email", "owner@example.com"]) == 0
    token = capsys.readouterr().out.split()[0]
    key_id = token.split("_")[1]
    standing = ControlStore(database.pool("admin")).standing(Caller(f"key:{key_id}", "r"))
    assert standing is not None
    assert (standing.role, "tenants:write" in standing.scopes) == ("owner", True)
    assert database.query("select name, operator from therouter.tenant") == [["ACME", True]]


def test_without_a_database_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    monkeypatch.delenv(Variable.DATABASE_HOST, raising=False)
    assert main(["--name", "ACME", "--email", "owner@example.com"]) == 1
    assert "THEROUTER_DATABASE_HOST is not set" in capsys.readouterr().err
