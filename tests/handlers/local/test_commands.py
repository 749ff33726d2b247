"""What a person types while a system runs: each command as `therouter` gets it, and what it prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from handlers.local.cli import main
from tests.acceptance.cast import CAST, REGION
from tests.acceptance.test_openai_client import eventually
from tests.system import RunningSystem, running_system
from tests.upstreams.scripted import ScriptedUpstream


@pytest.fixture(scope="module")
def system() -> Iterator[RunningSystem]:
    with ScriptedUpstream() as upstream, running_system({CAST.first: f"{upstream.url}/v1"}) as running:
        yield running


class Terminal:
    """Types commands and reads their JSON."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def type(self, *words: str, status: int = 0) -> str:
        assert main([*words, "--region", REGION]) == status
        told = self._capsys.readouterr()
        return told.out if status == 0 else told.err

    def read(self, *words: str) -> list[dict[str, Any]]:
        return msgspec.json.decode(self.type(*words, "--json"), type=list[dict[str, Any]])


@pytest.fixture
def terminal(system: RunningSystem, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("THEROUTER_HOME", str(system.local.home.root.parent))
    return Terminal(capsys)


def test_a_key_is_made_listed_and_revoked_once(terminal: Terminal) -> None:
    made = msgspec.json.decode(terminal.type("keys", "create", "--name", "laptop", "--json"), type=dict[str, str])
    (listed,) = [key for key in terminal.read("keys", "list") if key["name"] == "laptop"]
    assert listed["state"] == "active"
    assert listed["key_id"] in made["key"]
    assert "within five seconds" in terminal.type("keys", "revoke", listed["key_id"])
    assert "was revoked before" in terminal.type("keys", "revoke", listed["key_id"])
    (listed,) = [key for key in terminal.read("keys", "list") if key["name"] == "laptop"]
    assert listed["state"] == "revoked"


def test_what_a_key_asked_is_shown_with_its_cost_and_the_sums_agree(system: RunningSystem, terminal: Terminal) -> None:
    key = system.new_key("asker")
    body = {"model": CAST.first_model, "messages": [{"role": "user", "content": "hi"}]}
    url = f"{system.url}/v1/chat/completions"
    answer = httpx.post(url, json=body, headers={"authorization": f"Bearer {key}"}, trust_env=False, timeout=30)
    assert answer.status_code == 200, answer.text
    eventually(system, key, answer.headers["x-request-id"])
    (row,) = terminal.read("usage")
    assert (row["model"], row["provider"]) == (CAST.first_model, CAST.first)
    assert float(row["cost"]) > 0
    assert "all sums exact" in terminal.type("ledger", "check")
    assert CAST.first_model in {model["model"] for model in terminal.read("models")}


def test_credit_is_booked_once_under_its_name_and_listed(terminal: Terminal) -> None:
    words = ("credit", "add", "5", "--reason", "goodwill", "--key", "once", "--expires-days", "30")
    assert terminal.type(*words).strip() == "booked"
    assert "booked before" in terminal.type(*words)
    (booked,) = [row for row in terminal.read("credit", "list") if row["reason"] == "goodwill"]
    assert (float(booked["amount"]), float(booked["left"])) == (5, 5)
    assert booked["ends"]
    assert terminal.read("credit", "alerts") == []
    assert "is not stopped" in terminal.type("credit", "confirm", "u" + "0" * 15, status=1)
