"""The migrate function in Hangzhou: the master's password is a secret of its own row."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.clouds.secrets import SecretError
from handlers.local.postgres import PostgresServer
from handlers.operations.hangzhou.migrate import handler
from handlers.operations.journal import EventError
from handlers.workloads import DATABASE_ROLES, functions
from tests.handlers.operations.fresh_database import MASTER_PASSWORD, another, environment, fresh_database


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with fresh_database() as database:
        yield database


def prepare(server: PostgresServer, folder: Path, monkeypatch: pytest.MonkeyPatch, **more: str) -> None:
    secrets = {f"database/{role}": f"made-up-{role}-" * 3 for role in DATABASE_ROLES}
    secrets |= {f"database/{name}": value for name, value in more.items()}
    for variable, text in environment(server, another(server), folder, "china", secrets).items():
        monkeypatch.setitem(os.environ, variable, text)


def test_it_signs_in_with_the_owners_secret(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(server, tmp_path / "secrets", monkeypatch, owner=MASTER_PASSWORD)
    assert handler({}, None)["roles"] == list(DATABASE_ROLES)
    with pytest.raises(EventError):
        handler({"colour": "red"}, None)


def test_without_the_owners_secret_it_says_which_is_missing(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(server, tmp_path / "secrets", monkeypatch)
    with pytest.raises(SecretError, match="database/owner"):
        handler({}, None)


def test_the_row_of_this_region_reads_it() -> None:
    (row,) = [row for row in functions("china") if row.name == "migrate"]
    assert "database/owner" in row.secrets
