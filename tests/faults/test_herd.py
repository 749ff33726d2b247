"""A crowd at once, against processes that know nothing yet: the database hears little, and nobody hears a 401 for it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import httpx
import msgspec
import pytest

from handlers.store.connection import open_connection
from tests.acceptance.test_openai_client import eventually
from tests.gateways import Haste, extra_gateway
from tests.http_client import Client
from tests.system import RunningSystem, running_system
from tests.upstreams.scripted import ScriptedUpstream

CROWD = 300
ACCOUNTS = 4
STATISTICS_S = 2.5
"""By then PostgreSQL has added up what processes that ended have counted."""
OF_EACH_LINE = frozenset({"uuid7_at", "refuse_purged_usage"})
"""What the database does with each usage line of a batch."""
BY_THE_CLOCK = frozenset({"gateway_watch", "gateway_changes"})
"""What each gateway asks once a second, for however long the test may take."""
MODEL = "meta-llama/llama-3.3-70b-instruct"
PATH = "/v1/chat/completions"
BODY = msgspec.json.encode({"model": MODEL, "max_tokens": 16, "messages": [{"role": "user", "content": "hi"}]})


@dataclass
class Place:
    system: RunningSystem
    upstream: ScriptedUpstream


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with ScriptedUpstream() as upstream, running_system({"groq": f"{upstream.url}/openai/v1"}) as system:
        with closing(open_connection(system.local.postgres.superuser("therouter"), timeout_s=30)) as connection:
            connection.autocommit = True
            connection.run("alter system set track_functions = 'all'")
            connection.run("select pg_reload_conf()")
        yield Place(system, upstream)


def questions(system: RunningSystem) -> Counter[str]:
    """How often each function of the database has been called."""
    time.sleep(STATISTICS_S)
    with closing(open_connection(system.local.postgres.superuser("therouter"), timeout_s=30)) as connection:
        rows = connection.run("select funcname, calls from pg_stat_user_functions") or []
    return Counter({str(name): int(calls) for name, calls in rows})


async def crowd(port: int, keys: list[str]) -> Counter[int]:
    async def one(number: int) -> int:
        client = Client(port, keys[number % len(keys)])
        answer = await client.post(PATH, BODY)
        client.close()
        return answer.status

    return Counter(await asyncio.gather(*(one(number) for number in range(CROWD))))


@pytest.mark.claim("A81")
def test_a81_a_crowd_after_a_restart_is_one_question_for_each_account(place: Place) -> None:
    keys = [place.system.new_account(f"herd {number}") for number in range(ACCOUNTS)]
    before = questions(place.system)
    with extra_gateway(place.system, Haste(), "fresh") as gateway:
        assert asyncio.run(crowd(gateway.port, keys)) == {200: CROWD}, "nobody is refused, whoever comes first"
    asked = questions(place.system) - before
    for name in ("gateway_key", "gateway_byok", "credit_lease_for_key"):
        assert ACCOUNTS <= asked[name] <= 2 * ACCOUNTS, f"{name}: {asked[name]} times for {ACCOUNTS} accounts"
    often = {name for name, calls in asked.items() if calls >= CROWD / 10}
    assert often <= OF_EACH_LINE | BY_THE_CLOCK, "nothing is asked for each request"
    assert all(asked[name] < CROWD for name in BY_THE_CLOCK)


@pytest.mark.claim("A72")
def test_a72_two_tenants_with_everything_alike_share_nothing(place: Place) -> None:
    system = place.system
    keys = [system.new_account(name) for name in ("alike one", "alike two")]
    body = {
        "model": MODEL,
        "max_tokens": 16,
        "user": "same-user",
        "session_id": "same-session",
        "prompt_cache_key": "same-key",
        "messages": [{"role": "user", "content": "the same prompt"}],
    }
    before = len(place.upstream.received)
    ids = []
    for key in keys:
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "same-idempotency-key"}
        answer = httpx.post(f"{system.url}{PATH}", headers=headers, json=body, timeout=30)
        assert answer.status_code == 200, "the other's claim is no claim of this one"
        again = httpx.post(f"{system.url}{PATH}", headers=headers, json=body, timeout=30)
        assert again.status_code == 409, "its own is"
        ids.append(answer.headers["x-request-id"])
    assert len(place.upstream.received) == before + 2, "each asked the provider for itself: no answer is shared"
    for key, own in zip(keys, ids, strict=True):
        eventually(system, key, own)
    for key, other in zip(keys, reversed(ids), strict=True):
        headers = {"Authorization": f"Bearer {key}"}
        answer = httpx.get(f"{system.url}/v1/generation?id={other}", headers=headers, timeout=30)
        assert answer.status_code == 404
