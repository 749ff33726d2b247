"""`therouter bootstrap aliyun` against an account behind a port, its function against a database as RDS makes one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from aliyun.secrets import PLACEHOLDER
from aliyun.values import PLACEHOLDER_VALUE
from handlers.keys.grammar import MintKeys, parse_key
from handlers.local.postgres import PostgresServer
from handlers.operations.hangzhou.bootstrap import main
from handlers.operations.hangzhou.migrate import handler
from handlers.workloads import DATABASE_ROLES
from tests.handlers.operations.fresh_database import MASTER_PASSWORD, another, environment, fresh_database
from tests.handlers.operations.hangzhou.conftest import Account

PREFIX = "therouter/production/"
NAMES = (
    "keys/mint", "audit/checkpoint", "audit/digest", "seal/deepseek", "seal/public", "wire/deepseek", "provider/deepseek",
    "database/owner", *(f"database/{role}" for role in DATABASE_ROLES),
)  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with fresh_database() as database:
        yield database


@pytest.fixture
def deployed(account: Account, server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    account.values = {f"{PREFIX}{name}": PLACEHOLDER_VALUE for name in NAMES}
    account.secrets = dict.fromkeys(account.values, "2026-01-01T00:00:00Z")

    database = another(server)

    def function(name: str, payload: bytes) -> object:
        assert name == "therouter-production-migrate"
        wanted = ("database/owner", *(f"database/{role}" for role in DATABASE_ROLES))
        passwords = {secret: account.values[PREFIX + secret] for secret in wanted}
        for variable, text in environment(server, database, tmp_path / "secrets", "china", passwords).items():
            monkeypatch.setitem(os.environ, variable, text)
        return handler(msgspec.json.decode(payload), None)

    account.function = function
    return account


@pytest.fixture
def values(tmp_path: Path) -> Path:
    folder = tmp_path / "values"
    for name, text in (("provider/deepseek", "made-up-credential"), ("database/owner", MASTER_PASSWORD)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    return folder


def test_one_command_makes_a_fresh_deployment_ready(
    deployed: Account, values: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key_file = tmp_path / "first.key"
    assert main(["--values", str(values), "--owner", "founder@example.cn", "--key-file", str(key_file)]) == 0
    told = capsys.readouterr()
    assert all(not text.startswith("placeholder:") for text in deployed.values.values())
    assert not any(text in told.out + told.err for text in deployed.values.values())
    token = key_file.read_text().strip()
    parsed = parse_key(token.encode(), "china", "production")
    assert MintKeys.parse(deployed.values[f"{PREFIX}keys/mint"].encode()).vouch(parsed)

    held = dict(deployed.values)
    assert main([]) == 0
    assert deployed.values == held
    assert "0 migrations applied" in capsys.readouterr().out


def test_what_is_missing_stops_the_migration_with_its_name(
    deployed: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.refused = {"InvokeFunction"}
    assert main([]) == 2
    told = capsys.readouterr()
    assert "database/owner: MISSING" in told.out
    assert "the migrate function failed" in told.err


def test_a_value_is_never_overwritten(deployed: Account, values: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deployed.values[f"{PREFIX}provider/deepseek"] = "the operator's own"
    assert main(["--values", str(values)]) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert deployed.versions == set()


def test_an_identity_that_may_not_is_said(deployed: Account, capsys: pytest.CaptureFixture[str]) -> None:
    deployed.refused = {"ListSecrets"}
    assert main([]) == 2
    told = capsys.readouterr().err
    assert "kms ListSecrets was refused (403 Forbidden.RAM)" in told
    assert "canary" not in told


def test_nothing_deployed_is_said(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stage", "staging"]) == 2
    assert "deploy the stacks first" in capsys.readouterr().err
    assert account.calls == ["ListSecrets"]


def test_the_stacks_fill_new_containers_through_a_parameter_that_nobody_reads() -> None:
    assert PLACEHOLDER == "Placeholder"
    assert PLACEHOLDER_VALUE.startswith("placeholder:")
