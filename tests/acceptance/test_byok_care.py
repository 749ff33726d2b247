"""A provider key is tried by its provider's room when it is stored and when somebody asks, in real processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import msgspec
import pytest

from tests.acceptance.cast import CAST
from tests.acceptance.test_byok import ANSWER
from tests.system import RunningSystem, running_system
from tests.upstreams.answering import Asked, Reply, answering
from tests.waiting import PATIENCE_S

ANSWERS = {"good": 200, "unknown": 401, "forbidden": 403, "broken": 500, "busy": 429}
"""How the upstream answers a key that begins with this word."""
WORDS_OF_UPSTREAM = "words-that-only-the-provider-says"


@contextmanager
def upstream() -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """(address, the credentials and bodies that it was called with)."""
    seen: list[tuple[str, dict[str, Any]]] = []

    def answer(asked: Asked) -> Reply:
        seen.append((asked.credential, msgspec.json.decode(asked.body)))
        status = ANSWERS.get(asked.credential.partition("-")[0], 500)
        echo = {"error": {"message": f"{WORDS_OF_UPSTREAM} {asked.credential}", "type": "error"}}
        return Reply(ANSWER if status == 200 else msgspec.json.encode(echo), status)

    with answering(answer) as address:
        yield address, seen


class Administrator:
    def __init__(self, system: RunningSystem) -> None:
        self._admin, self._token = system.local.admin_url, system.access.create_management_key("test")
        self._client = httpx.Client(trust_env=False, timeout=30)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {self._token}"}
        return self._client.request(method, f"{self._admin}{path}", json=body, headers=headers)

    def store(self, key: str) -> str:
        answer = self.ask("POST", "/byok", {"provider": CAST.first, "key": key})
        assert answer.status_code == 201, answer.text
        assert answer.json()["check"] == {"due": True, "verdict": None, "checked_at": None}
        return str(answer.json()["record_id"])

    def verdict(self, record: str) -> str:
        """What the record says once it has been tried."""
        deadline = time.monotonic() + PATIENCE_S
        while (check := self.ask("GET", f"/byok/{record}").json()["check"])["due"]:
            assert time.monotonic() < deadline, "nobody tried the key"
            time.sleep(0.1)
        assert check["checked_at"]
        return str(check["verdict"])

    def close(self) -> None:
        self._client.close()


@pytest.mark.claim("C15", "C16")
def test_a_stored_key_is_tried_and_the_providers_words_stay_with_the_provider() -> None:
    with (
        upstream() as (address, seen),
        running_system({CAST.first: address}) as system,
        closing(Administrator(system)) as me,
    ):
        records = {word: me.store(f"{word}-key-of-a-customer") for word in ANSWERS}
        assert {word: me.verdict(record) for word, record in records.items()} == {
            "good": "valid", "unknown": "invalid_key", "forbidden": "cannot_tell", "broken": "cannot_tell", "busy": "cannot_tell",
        }  # fmt: skip
        tried = {credential.partition("-")[0]: body for credential, body in seen}
        assert set(tried) == set(ANSWERS)
        caps = {body.get("max_completion_tokens", body.get("max_tokens")) for body in tried.values()}
        assert caps == {16}

        # Asked again, and after another key has taken the place: each time once.
        assert me.ask("POST", f"/byok/{records['good']}/check").status_code == 202
        assert me.verdict(records["good"]) == "valid"
        assert me.ask("PATCH", f"/byok/{records['good']}", {"key": "unknown-key-now"}).status_code == 200
        assert me.verdict(records["good"]) == "invalid_key"
        assert [credential for credential, _ in seen].count("good-key-of-a-customer") == 2

        everything = system.logs() + me.ask("GET", "/byok").text + me.ask("GET", "/audit").text
        assert WORDS_OF_UPSTREAM not in everything
        assert "key-of-a-customer" not in everything
        usage = me.ask("GET", "/usage")
        assert usage.status_code == 200, usage.text
