"""A customer's own provider key, from the admin API to the upstream's authorization header, in real processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import msgspec
import pytest

from tests.acceptance.cast import CAST
from tests.system import CREDENTIAL, RunningSystem, running_system
from tests.upstreams.answering import Asked, Reply, answering

MODEL = CAST.first_model
SEEN_WITHIN_S = 5.0
OWN = "own-provider-key-of-a-customer"
ANSWER = msgspec.json.encode(
    {
        "id": "x", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }
)  # fmt: skip


@contextmanager
def upstream() -> Iterator[tuple[str, list[str]]]:
    """(address, the credentials that it was called with)."""
    seen: list[str] = []

    def answer(asked: Asked) -> Reply:
        seen.append(asked.credential)
        return Reply(ANSWER)

    with answering(answer) as address:
        yield address, seen


def until(holds: Callable[[], bool]) -> None:
    """A change is seen by every request that is sent five seconds after it, however long requests take on a busy machine."""
    changed_at = time.monotonic()
    while True:
        asked_at = time.monotonic()
        if holds():
            return
        assert asked_at - changed_at < SEEN_WITHIN_S
        time.sleep(0.1)


class Customer:
    def __init__(self, system: RunningSystem, seen: list[str]) -> None:
        self.url, self.admin, self.seen = system.url, system.local.admin_url, seen
        self.key, self.management = system.new_key(), system.access.create_management_key("test")
        self.client = httpx.Client(trust_env=False, timeout=30)

    def manage(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self.client.request(
            method, f"{self.admin}{path}", json=body, headers={"authorization": f"Bearer {self.management}"}
        )
        assert answer.status_code < 300, answer.text
        return answer.json()

    def ask(self, key: str | None = None) -> httpx.Response:
        body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
        return self.client.post(
            f"{self.url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key or self.key}"}
        )

    def close(self) -> None:
        self.client.close()

    def credential(self) -> str:
        """The credential that a request is made with, or its status."""
        before = len(self.seen)
        answer = self.ask()
        return self.seen[-1] if len(self.seen) > before else str(answer.status_code)


@pytest.mark.claim("C15", "C16")
def test_requests_go_out_under_the_customers_own_key_and_only_under_it() -> None:
    with (
        upstream() as (address, seen),
        running_system({CAST.first: address}) as system,
        closing(Customer(system, seen)) as customer,
    ):
        assert customer.credential() == CREDENTIAL
        record = customer.manage("POST", "/byok", {"provider": CAST.first, "key": OWN})["record_id"]
        until(lambda: customer.credential() == OWN)
        customer.manage("PATCH", f"/byok/{record}", {"key": OWN + "-2"})
        until(lambda: customer.credential() == OWN + "-2")
        customer.manage("PATCH", "/tenant", {"byok_mode": "only"})
        customer.manage("PATCH", f"/byok/{record}", {"scope": {"models": [f"{CAST.first}/another"]}})
        until(lambda: customer.credential() not in {OWN + "-2", CREDENTIAL})
        customer.manage("PATCH", f"/byok/{record}", {"scope": {"models": [f"{CAST.first_model[:-2]}*"]}})
        until(lambda: customer.credential() == OWN + "-2")
        customer.manage("DELETE", f"/byok/{record}")
        until(lambda: customer.credential() not in {OWN + "-2", CREDENTIAL})
        customer.manage("PATCH", "/tenant", {"byok_mode": "prefer"})
        until(lambda: customer.credential() == CREDENTIAL)
        assert OWN not in system.logs()
        assert customer.ask(customer.management).status_code == 403
