"""A revocation reaches every gateway process within five seconds, while they are busy."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from handlers.local.access import LOCAL_TENANT
from handlers.local.postgres import free_port
from handlers.local.processes import Child, plain_environment
from handlers.local.system import LocalSystem
from tests.acceptance.cast import CAST
from tests.system import RunningSystem, running_system

CLOSED = "http://127.0.0.1:9/v1"
WITHIN_S = 5.0
LOAD = 8
"""Requests at a time, for each process, all along."""


def further_gateway(local: LocalSystem, number: int) -> tuple[Child, str]:
    """One more process of the same room, with a port and a spool of its own."""
    port = free_port()
    spool = local.home.root / f"spool-{number}"
    spool.mkdir(mode=0o700)
    environment = {
        **local.gateway._environment, "THEROUTER_LISTEN": f"127.0.0.1:{port}", "THEROUTER_SPOOL": str(spool),
    }  # fmt: skip
    log = local.home.logs / f"gateway-{number}.log"
    child = Child(f"gateway {number}", local.gateway._command, plain_environment(environment), log)
    child.start()
    url = f"http://127.0.0.1:{port}"
    child.await_ready(lambda: answers(url), 30)
    return child, url


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=1, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


async def refusal_times(urls: list[str], token: str, others: list[str], revoke: asyncio.Event) -> list[float]:
    """When each process last served the token, by the monotonic clock; a 503, "we cannot decide", serves nobody."""
    over = asyncio.Event()

    async def load(client: httpx.AsyncClient, url: str, key: str) -> None:
        while not over.is_set():
            answer = await client.get(f"{url}/v1/key", headers={"authorization": f"Bearer {key}"})
            assert answer.status_code in {200, 503}

    async def watch(client: httpx.AsyncClient, url: str) -> float:
        served_at = 0.0
        while True:
            answer = await client.get(f"{url}/v1/key", headers={"authorization": f"Bearer {token}"})
            if answer.status_code == 401:
                assert served_at, "it was served before it was revoked"
                return served_at
            assert answer.status_code in {200, 503}
            if answer.status_code == 200:
                served_at = time.monotonic()
            assert not revoke.is_set() or time.monotonic() < deadline[0]
            await asyncio.sleep(0.01)

    deadline = [time.monotonic() + 60]
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        busy = [asyncio.create_task(load(client, url, others[i % len(others)])) for url in urls for i in range(LOAD)]
        times = await asyncio.gather(*(watch(client, url) for url in urls))
        over.set()
        await asyncio.gather(*busy)
    return list(times)


def revoked_within(system: RunningSystem, urls: list[str]) -> float:
    """The longest time from a revocation to its last refusal, in seconds."""
    token, others = system.new_key("to revoke"), [system.new_key(f"busy {number}") for number in range(3)]
    key_id = token[9:25]
    moment: list[float] = []

    async def story() -> list[float]:
        revoke = asyncio.Event()
        watching = asyncio.create_task(refusal_times(urls, token, others, revoke))
        await asyncio.sleep(1.5)
        moment.append(time.monotonic())
        await asyncio.to_thread(system.access.store.revoke_key, str(LOCAL_TENANT), key_id)
        revoke.set()
        return await watching

    return max(asyncio.run(story())) - moment[0]


@pytest.mark.claim("C14")
def test_three_processes_refuse_a_revoked_key_within_five_seconds_under_load() -> None:
    with running_system({CAST.first: CLOSED}) as system:
        children, urls = [], [system.url]
        try:
            for number in (2, 3):
                child, url = further_gateway(system.local, number)
                children.append(child)
                urls.append(url)
            assert revoked_within(system, urls) < WITHIN_S
        finally:
            for child in children:
                child.stop()
