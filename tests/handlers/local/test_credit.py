"""`therouter credit` against a running database."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import msgspec
import pytest

from handlers.local import credit
from handlers.local.access import LOCAL_TENANT
from handlers.local.cli import build_parser, main
from handlers.local.credit import nano_of
from handlers.store.admin import AdminStore
from tests.database import Database


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("12.5", 12_500_000_000),
        ("-3", -3_000_000_000),
        ("0.000000001", 1),
        ("1e2", 100_000_000_000),
        ("1000000000", 10**18),
    ],
)
def test_an_amount_is_exact(text: str, nano: int) -> None:
    assert nano_of(text) == nano


@pytest.mark.parametrize("text", ["", "0", "x", "NaN", "inf", "1e-10", "0.0000000001", "1000000001", "1e400"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        nano_of(text)


@pytest.fixture
def store(database: Database, monkeypatch: pytest.MonkeyPatch) -> AdminStore:
    """The commands open this database instead of the one in the home folder."""
    database.altered = True
    admin = AdminStore(database.pool("founder"))
    admin.create_tenant(str(LOCAL_TENANT), "local")
    opened = SimpleNamespace(store=admin, ensure_tenant=lambda: False, close=lambda: None)
    monkeypatch.setattr(credit, "Access", SimpleNamespace(open=lambda _home: opened))
    return admin


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["credit", *arguments]) == 0
    return capsys.readouterr().out


def test_credit_is_booked_with_its_reason_and_listed(store: AdminStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert "booked" in said(capsys, "add", "5", "--reason", "goodwill", "--expires-days", "30", "--key", "welcome")
    assert "nothing was booked" in said(
        capsys, "add", "5", "--reason", "goodwill", "--expires-days", "30", "--key", "welcome"
    )
    said(capsys, "add", "-1.25", "--reason", "correction")
    rows = msgspec.json.decode(said(capsys, "list", "--json"))
    assert [(row["kind"], row["reason"], row["amount"], row["left"]) for row in rows] == [
        ("adjustment", "correction", "-1.250000000", ""),
        ("adjustment", "goodwill", "5.000000000", "5.000000000"),
    ]
    assert [rule for rule in store.check_ledger() if rule.difference] == []


@pytest.mark.usefixtures("store")
def test_a_key_that_is_not_stopped_cannot_be_confirmed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["credit", "confirm", "k" * 16]) == 1
    assert "not stopped" in capsys.readouterr().err
    assert main(["credit", "alerts"]) == 0
    assert "nothing to tell" in "".join(capsys.readouterr())


def test_a_reason_is_needed() -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["credit", "add", "5"])
