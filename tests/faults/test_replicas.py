"""Three gateways over one database: budgets are never overshot, limits admit exactly their number, what is free is free."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest

from handlers.keys.principal import KeyLimits
from handlers.ledger.quote import quote
from handlers.local.access import LOCAL_USER
from handlers.store.connection import open_connection
from tests.http_client import Answer, Client
from tests.system import RunningSystem, running_system
from tests.upstreams.scripted import ScriptedUpstream
from tests.waiting import PATIENCE_S, until

MODEL = "openai/gpt-4o-mini"
FREE_MODEL = "google/gemma-3-27b-it:free"


def body_for(model: str) -> bytes:
    said = [{"role": "user", "content": "{{play well n=3 delay_ms=5}}"}]
    return msgspec.json.encode({"model": model, "max_tokens": 100, "messages": said})


BODY = body_for(MODEL)


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as scripted:
        yield scripted


@pytest.fixture(scope="module")
def system(upstream: ScriptedUpstream) -> Iterator[RunningSystem]:
    addresses = {"openai": f"{upstream.url}/v1", "openrouter": f"{upstream.url}/v1"}
    with running_system(addresses, log_level="error") as running:
        running.local.add_replica()
        running.local.add_replica()
        yield running


def ports(system: RunningSystem) -> list[int]:
    listens = [child._environment["THEROUTER_LISTEN"] for child in system.local.replicas]
    return [system.port, *(int(listen.rpartition(":")[2]) for listen in listens)]


async def burst(system: RunningSystem, key: str, each: int, at_once: int, body: bytes = BODY) -> list[Answer]:
    """`each` requests through every gateway, `at_once` of them in parallel per gateway."""

    async def lane(port: int, count: int) -> list[Answer]:
        client = Client(port, key)
        answers = [await client.post("/v1/chat/completions", body) for _ in range(count)]
        client.close()
        return answers

    lanes = [lane(port, each // at_once) for port in ports(system) for _ in range(at_once)]
    return [answer for answers in await asyncio.gather(*lanes) for answer in answers]


def statuses(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


@pytest.mark.claim("A60")
def test_a60_three_gateways_never_overshoot_a_budget_and_refuse_nothing_that_fits(system: RunningSystem) -> None:
    endpoint = system.local.catalog.models[MODEL].endpoints[0]
    worst = quote([endpoint], prompt_bytes=len(BODY), output_tokens_cap=100)
    probe = system.new_key("probe")
    first = asyncio.run(burst(system, probe, 1, 1))[0]
    assert Decimal(first.headers["x-therouter-credit-remaining"]) > 0
    cost = price(system, first)
    # Room for 50 finished requests and the hold of the next one: fewer than 50 would be a false refusal.
    limit = 49 * cost + worst
    key = system.new_key("budget", KeyLimits(spend_nano=limit, spend_period="daily"))
    served: list[Answer] = []
    for _ in range(20):  # a refusal while holds are open is right; what is free again must be given
        answers = asyncio.run(burst(system, key, 20, 10))
        served += [answer for answer in answers if answer.status == 200]
        assert set(statuses(answers)) <= {200, 402}, statuses(answers)
        if len(served) >= 50:
            break
    answers = asyncio.run(burst(system, key, 60, 20))
    served += [answer for answer in answers if answer.status == 200]
    spent = sum(price(system, answer) for answer in served)
    assert spent <= limit, f"{spent} of {limit}"
    assert len(served) >= 50
    refused = next(answer for answer in answers if answer.status == 402)
    told = msgspec.json.decode(refused.body)["error"]
    assert told["code"] == "key_budget_exceeded"
    assert int(refused.headers["retry-after"]) == told["reset_s"] <= 86_400
    assert all(rule.difference == 0 for rule in system.access.store.check_ledger())


@pytest.mark.claim("A60")
def test_a60_six_hundred_at_once_against_a_budget_for_fifty(system: RunningSystem) -> None:
    """3 gateways x 200 at the same moment: nothing is overshot, and nothing is refused that had room."""
    endpoint = system.local.catalog.models[MODEL].endpoints[0]
    worst = quote([endpoint], prompt_bytes=len(BODY), output_tokens_cap=100)
    limit = 50 * worst
    key = system.new_key("fifty", KeyLimits(spend_nano=limit))
    answers = asyncio.run(burst(system, key, 200, 200))
    assert set(statuses(answers)) == {200, 402}, statuses(answers)
    spent = sum(price(system, answer) for answer in answers if answer.status == 200)
    assert statuses(answers)[200] >= 50, "there was room for fifty"
    assert spent <= limit
    served: list[Answer] = []

    def all_served() -> bool:
        again = asyncio.run(burst(system, key, 1, 1))
        served.extend(answer for answer in again if answer.status == 200)
        return statuses(again) == {200: 3}

    for _ in range(3):  # what the fifty did not use is there for others, as soon as it is settled
        until(all_served)
    spent += sum(price(system, answer) for answer in served)
    assert spent <= limit - worst, "or else a refusal would have been right"
    assert all(rule.difference == 0 for rule in system.access.store.check_ledger())
    sys.stdout.write(f"3 x 200 at once: {dict(statuses(answers))}, spent {spent} of {limit}\n")


def price(system: RunningSystem, answer: Answer) -> int:
    from tests.faults.crashes import price_again  # noqa: PLC0415 - the one independent price computation

    told: dict[str, Any] = msgspec.json.decode(answer.body)
    return price_again(system, told["usage"])


def test_sixty_a_minute_over_three_gateways_are_exactly_sixty(system: RunningSystem) -> None:
    key = system.new_key("sixty", KeyLimits(requests_per_minute=60))
    answers = asyncio.run(burst(system, key, 40, 20))
    assert statuses(answers) == {200: 60, 429: 60}
    refused = next(answer for answer in answers if answer.status == 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 61


def test_five_at_once_over_three_gateways_are_never_six(system: RunningSystem, upstream: ScriptedUpstream) -> None:
    key = system.new_key("five", KeyLimits(concurrent_requests=5))
    before = len(upstream.received)
    answers = asyncio.run(burst(system, key, 20, 10))
    counted = statuses(answers)
    assert set(counted) == {200, 429}
    assert counted[200] >= 5
    assert len(upstream.received) - before == counted[200]
    until(lambda: statuses(asyncio.run(burst(system, key, 1, 1))) == {200: 3})  # every place comes back


@pytest.fixture(scope="module")
def manager(system: RunningSystem) -> Iterator[httpx.Client]:
    """The admin API, as the tenant's owner."""
    key = system.access.create_management_key("limits")
    base = system.local.admin_url.removesuffix("/admin")
    with httpx.Client(
        base_url=base, headers={"authorization": f"Bearer {key}"}, trust_env=False, timeout=PATIENCE_S
    ) as client:
        yield client


@contextmanager
def limited(manager: httpx.Client, **limits: object) -> Iterator[None]:
    """Limits of the tenant, or with `user_id` of a user, for a while. Keys that are made meanwhile have them at once."""
    assert manager.put("/admin/limits", json=limits).status_code == 200
    yield
    user = {name: value for name, value in limits.items() if name == "user_id"}
    assert manager.put("/admin/limits", json=user).json() == []


def test_sixty_a_minute_of_a_tenant_over_three_gateways_and_two_keys_are_exactly_sixty(
    system: RunningSystem, manager: httpx.Client
) -> None:
    async def both() -> list[Answer]:
        keys = [system.new_key(name) for name in ("one", "two")]
        answers = await asyncio.gather(*(burst(system, key, 20, 10) for key in keys))
        return [answer for some in answers for answer in some]

    with limited(manager, requests_per_minute=60):
        answers = asyncio.run(both())
        headers = {"authorization": f"Bearer {system.new_key('three')}"}
        shown = httpx.get(f"{system.url}/v1/key", headers=headers, timeout=PATIENCE_S)
    assert shown.json()["data"]["shared_rate_limits"] == [
        {"scope": "tenant", "requests_per_minute": 60, "tokens_per_minute": None, "concurrent_requests": None}
    ]
    assert statuses(answers) == {200: 60, 429: 60}
    refused = next(answer for answer in answers if answer.status == 429)
    told = msgspec.json.decode(refused.body)["error"]
    assert (told["limit"], told["scope"]) == ("requests_per_minute", "tenant")
    assert told["message"].startswith("This account may make 60 requests a minute")
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    served = [answer.headers for answer in answers if answer.status == 200]
    assert {headers["x-ratelimit-limit-requests"] for headers in served} == {"60"}
    left = [int(headers["x-ratelimit-remaining-requests"]) for headers in served]
    assert 0 <= min(left) < max(left) < 60, "as far as each gateway was told"


def test_a_users_places_are_shared_by_the_users_keys_and_the_tightest_limit_is_shown(
    system: RunningSystem, manager: httpx.Client, upstream: ScriptedUpstream
) -> None:
    async def both() -> list[Answer]:
        keys = [system.new_key(name, KeyLimits(requests_per_minute=5_000)) for name in ("third", "fourth")]
        answers = await asyncio.gather(*(burst(system, key, 10, 5) for key in keys))
        return [answer for some in answers for answer in some]

    before = len(upstream.received)
    with limited(manager, user_id=str(LOCAL_USER), concurrent_requests=3, requests_per_minute=1_000):
        answers = asyncio.run(both())
        counted = statuses(answers)
        assert set(counted) == {200, 429}
        assert counted[200] >= 3
        assert len(upstream.received) - before == counted[200]
        refused = next(answer for answer in answers if answer.status == 429)
        assert msgspec.json.decode(refused.body)["error"]["scope"] == "user"
        served = next(answer for answer in answers if answer.status == 200)
        assert served.headers["x-ratelimit-limit-requests"] == "1000"
        fifth = system.new_key("fifth")
        until(lambda: statuses(asyncio.run(burst(system, fifth, 1, 1))) == {200: 3})  # every place comes back


def test_a_free_model_answers_an_account_without_a_cent_and_a_priced_one_does_not(system: RunningSystem) -> None:
    key = system.new_account("penniless", credit_nano=0)
    free = asyncio.run(burst(system, key, 4, 2, body_for(FREE_MODEL)))
    assert statuses(free) == {200: 12}, free[0].body
    assert {answer.headers["x-therouter-provider"] for answer in free} == {"openrouter"}
    priced = asyncio.run(burst(system, key, 1, 1))
    assert statuses(priced) == {402: 3}
    told = msgspec.json.decode(priced[0].body)["error"]
    assert (told["code"], told["available_nano"]) == ("insufficient_credit", 0)
    again = asyncio.run(burst(system, key, 1, 1, body_for(FREE_MODEL)))
    assert statuses(again) == {200: 3}, "a refusal changes nothing for what is free"
    until(lambda: len(usage_of(system, key)) >= 15)  # usage lines gather for a moment before they are settled
    assert usage_of(system, key) == [0] * 15, "each is recorded, at no cost"
    assert all(rule.difference == 0 for rule in system.access.store.check_ledger())


def usage_of(system: RunningSystem, key: str) -> list[int]:
    """What each request of a key's tenant cost."""
    with closing(open_connection(system.local.postgres.superuser("therouter"), timeout_s=30)) as connection:
        rows = connection.run("select cost_nano from therouter.usage_event where key_id = :k", k=key.split("_")[1])
    return [cost for (cost,) in rows or []]


@pytest.mark.claim("A61")
def test_a61_the_same_idempotency_key_a_hundred_times_is_one_upstream_call(
    system: RunningSystem, upstream: ScriptedUpstream
) -> None:
    key = system.new_key("once")

    async def ask(port: int, name: str, body: bytes = BODY) -> Answer:
        client = Client(port, key, f"Idempotency-Key: {name}\r\n")
        answer = await client.post("/v1/chat/completions", body)
        client.close()
        return answer

    async def rush(name: str) -> list[Answer]:
        return await asyncio.gather(*(ask(port, name) for port in (ports(system) * 34)[:100]))

    before = len(upstream.received)
    answers = asyncio.run(rush("first"))
    assert statuses(answers) == {200: 1, 409: 99}
    assert len(upstream.received) - before == 1
    served = next(answer for answer in answers if answer.status == 200)
    others = {msgspec.json.decode(answer.body)["error"]["request_id"] for answer in answers if answer.status == 409}
    assert others == {served.headers["x-request-id"]}

    def completed() -> bool:
        again = asyncio.run(ask(system.port, "first"))
        assert again.status == 409
        return bool(msgspec.json.decode(again.body)["error"]["code"] == "already_completed")

    until(completed)  # usage lines gather for a moment before they are settled
    changed = asyncio.run(ask(system.port, "first", BODY.replace(b"n=3", b"n=4")))
    assert (changed.status, msgspec.json.decode(changed.body)["error"]["code"]) == (422, "idempotency_key_reused")
    assert asyncio.run(ask(system.port, "second")).status == 200
    assert len(upstream.received) - before == 2


@pytest.mark.claim("A61")
def test_a61_what_was_refused_or_failed_may_be_asked_again_under_its_key(system: RunningSystem) -> None:
    poor = system.new_key("poor", KeyLimits(spend_nano=1))

    async def ask(name: str, body: bytes) -> int:
        client = Client(system.port, poor, f"Idempotency-Key: {name}\r\n")
        answer = await client.post("/v1/chat/completions", body)
        client.close()
        return answer.status

    seen = [asyncio.run(ask("refused", BODY)) for _ in range(3)]
    assert seen[0] == 402
    assert set(seen) <= {402, 409}
    assert asyncio.run(ask("x" * 256, BODY)) == 400
    assert asyncio.run(ask("a b", BODY)) == 400
