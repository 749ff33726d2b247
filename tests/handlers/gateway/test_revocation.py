"""A revocation reaches every gateway process within five seconds, while they are busy."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from handlers.local.access import LOCAL_TENANT
from tests.acceptance.cast import CAST
from tests.gateways import Haste, extra_gateway
from tests.system import RunningSystem, running_system
from tests.waiting import eventually

CLOSED = "http://127.0.0.1:9/v1"
WITHIN_S = 5.0
LOAD = 8
"""Requests at a time, for each process, all along."""


async def refusal_times(
    urls: list[str], token: str, others: list[str], served_at: dict[str, float], revoke: asyncio.Event
) -> None:
    """Note when each process last served the token, by the monotonic clock, until all refuse it; a 503, "we cannot decide", serves nobody."""
    over = asyncio.Event()

    async def load(client: httpx.AsyncClient, url: str, key: str) -> None:
        while not over.is_set():
            answer = await client.get(f"{url}/v1/key", headers={"authorization": f"Bearer {key}"})
            assert answer.status_code in {200, 503}

    async def watch(client: httpx.AsyncClient, url: str) -> None:
        while True:
            answer = await client.get(f"{url}/v1/key", headers={"authorization": f"Bearer {token}"})
            if answer.status_code == 401:
                assert revoke.is_set()
                return
            assert answer.status_code in {200, 503}
            if answer.status_code == 200:
                served_at[url] = time.monotonic()
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)

    deadline = time.monotonic() + 60
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        busy = [asyncio.create_task(load(client, url, others[i % len(others)])) for url in urls for i in range(LOAD)]
        await asyncio.gather(*(watch(client, url) for url in urls))
        over.set()
        await asyncio.gather(*busy)


def revoked_within(system: RunningSystem, urls: list[str]) -> float:
    """The longest time from a revocation to the last request that was served all the same, in seconds."""
    token, others = system.new_key("to revoke"), [system.new_key(f"busy {number}") for number in range(3)]
    key_id = token[9:25]

    async def story() -> float:
        revoke, served_at = asyncio.Event(), dict[str, float]()
        watching = asyncio.create_task(refusal_times(urls, token, others, served_at, revoke))
        await eventually(lambda: served_at.keys() == set(urls) or watching.done())
        revoke.set()
        revoked_at = time.monotonic()
        await asyncio.to_thread(system.access.store.revoke_key, str(LOCAL_TENANT), key_id)
        await watching
        return max(served_at.values()) - revoked_at

    return asyncio.run(story())


@pytest.mark.claim("C14")
def test_three_processes_refuse_a_revoked_key_within_five_seconds_under_load() -> None:
    with (
        running_system({CAST.first: CLOSED}) as system,
        extra_gateway(system, Haste(), "second") as second,
        extra_gateway(system, Haste(), "third") as third,
    ):
        assert revoked_within(system, [system.url, second.url, third.url]) < WITHIN_S
