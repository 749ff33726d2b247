"""Limits per minute and places, against a store that is shared by several processes, slow, or away."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any

import msgspec
import pytest

from handlers.errors import RateLimited, Unavailable
from handlers.gateway.rates import PLACE_RENEW_S, RateGate
from handlers.keys.principal import KeyLimits, Principal, SubjectLimits
from handlers.store.gateway import RateClaim, RateGrant
from tests.handlers.gateway.test_credit import call, principal


class Counts:
    """What PostgreSQL counts for all processes."""

    def __init__(self) -> None:
        self.used: Counter[tuple[str, str]] = Counter()
        self.places: Counter[tuple[str, str]] = Counter()
        self.renewed = self.asked = 0
        self.down = False

    async def admit_rates(self, process: str, claims: Sequence[RateClaim], ttl_s: int) -> RateGrant:
        assert ttl_s > PLACE_RENEW_S
        await asyncio.sleep(0)
        self.asked += 1
        if self.down:
            raise Unavailable("down")
        left = [claim.limit - self._taken(claim) for claim in claims]
        for number, claim in enumerate(claims, 1):
            if left[number - 1] < claim.need:
                return RateGrant(number, 17, [0] * len(claims), [max(rest, 0) for rest in left])
        granted = [
            min(max(claim.need, claim.want), rest) if claim.kind != "places" else 1
            for claim, rest in zip(claims, left, strict=True)
        ]
        for claim, nano in zip(claims, granted, strict=True):
            if claim.kind == "places":
                self.places[claim.subject, process] += 1
            else:
                self.used[claim.subject, claim.kind] += nano
        return RateGrant(0, 0, granted, [rest - nano for rest, nano in zip(left, granted, strict=True)])

    def _taken(self, claim: RateClaim) -> int:
        if claim.kind == "places":
            return sum(count for (subject, _), count in self.places.items() if subject == claim.subject)
        return self.used[claim.subject, claim.kind]

    async def settle_rates(self, process: str, places: list[str], tokens: list[str], difference: int) -> None:
        for subject in places:
            assert self.places[subject, process] > 0
            self.places[subject, process] -= 1
        for subject in tokens:
            self.used[subject, "tokens"] += difference

    async def renew_places(self, process: str, ttl_s: int) -> None:
        assert ttl_s > PLACE_RENEW_S
        self.renewed += any(of == process for _, of in self.places)


class Process:
    """One gateway's gate, with a clock that the test moves."""

    def __init__(self, counts: Counts, limits: KeyLimits, *shared: SubjectLimits, key: str = "k") -> None:
        self.now = 1_000.0
        self.tasks: list[asyncio.Task[None]] = []
        self.gate = RateGate(counts, lambda: self.now, self.spawn)
        self.who: Principal = msgspec.structs.replace(principal(limits=limits), key_id=key, shared_limits=shared)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    async def ask(self) -> bool:
        try:
            await self.gate.admit(self.who, call())
        except RateLimited:
            return False
        return True

    async def end(self, tokens: int = 0) -> None:
        self.gate.settle(self.who, len(call().body), tokens)
        while self.tasks:
            await self.tasks.pop()


def test_open_requests_of_three_processes_are_counted_together() -> None:
    async def scenario() -> None:
        counts = Counts()
        processes = [Process(counts, KeyLimits(concurrent_requests=4)) for _ in range(3)]
        admitted = await asyncio.gather(*(process.ask() for process in processes * 5))
        assert sum(admitted) == 4
        holder = next(p for p, ok in zip(processes * 5, admitted, strict=True) if ok)
        await holder.end()
        assert [await processes[0].ask(), await processes[1].ask()] == [True, False]

    asyncio.run(scenario())


def test_places_are_given_back_whatever_the_order_of_ends_and_admissions() -> None:
    async def scenario() -> None:
        counts = Counts()
        process = Process(counts, KeyLimits(concurrent_requests=3))
        assert await process.ask()
        asking = asyncio.get_running_loop().create_task(process.ask())
        await asyncio.sleep(0)
        await process.end()  # the first ends while the second is being asked for
        assert await asking
        while process.tasks:
            await process.tasks.pop()
        assert sum(counts.places.values()) == 1
        await process.end()
        assert sum(counts.places.values()) == 0

    asyncio.run(scenario())


def test_places_in_use_are_renewed_and_others_are_not() -> None:
    async def scenario() -> None:
        counts = Counts()
        process = Process(counts, KeyLimits(concurrent_requests=3))
        process.gate.sweep()
        assert await process.ask()
        process.gate.sweep()
        process.gate.sweep()
        await asyncio.gather(*process.tasks)
        assert counts.renewed == 1
        await process.end()
        process.now += 2 * PLACE_RENEW_S
        process.gate.sweep()
        assert counts.renewed == 1

    asyncio.run(scenario())


def test_during_an_outage_each_process_keeps_the_limit_and_no_place_is_given_that_was_not_taken() -> None:
    async def scenario() -> None:
        counts = Counts()
        process = Process(counts, KeyLimits(concurrent_requests=2))
        counts.down = True
        assert [await process.ask() for _ in range(3)] == [True, True, False]
        counts.down = False
        await process.end()
        await process.end()
        assert sum(counts.places.values()) == 0

    asyncio.run(scenario())


def test_what_the_database_refuses_does_not_count_here_either() -> None:
    async def scenario() -> None:
        counts = Counts()
        process = Process(counts, KeyLimits(requests_per_minute=5))
        counts.used["k", "requests"] = 5  # other replicas used it up
        assert [await process.ask() for _ in range(20)] == [False] * 20
        counts.used.clear()
        assert [await process.ask() for _ in range(6)] == [True] * 5 + [False]

    asyncio.run(scenario())


def test_a_refusal_says_when_to_come_back_and_what_is_left_is_of_all_replicas() -> None:
    async def scenario() -> None:
        counts = Counts()
        process = Process(counts, KeyLimits(requests_per_minute=10, tokens_per_minute=1_000))
        counts.used["k", "requests"] = 8
        assert await process.ask()
        standing = process.gate.standing(process.who)
        assert (standing.requests_limit, standing.requests_remaining) == (10, 1)
        assert standing.tokens_remaining is not None
        assert standing.tokens_remaining < 1_000
        counts.used["k", "requests"] = 10
        with pytest.raises(RateLimited) as refusal:
            await process.gate.admit(process.who, call())
        assert refusal.value.retry_after_s == 17
        process.now += 61
        assert process.gate.standing(process.who).requests_remaining == 10

    asyncio.run(scenario())


def test_tokens_are_corrected_when_the_request_is_over() -> None:
    async def scenario() -> None:
        counts = Counts()
        process = Process(counts, KeyLimits(tokens_per_minute=1_000))
        assert await process.ask()
        await process.end(tokens=777)
        assert counts.used["k", "tokens"] == 777

    asyncio.run(scenario())


def test_keys_of_one_tenant_share_its_limit_and_a_refusal_costs_neither_of_them_anything() -> None:
    async def scenario() -> None:
        counts = Counts()
        tenant = SubjectLimits("tenant", "tenant:t", requests_per_minute=6)
        first = Process(counts, KeyLimits(requests_per_minute=4), tenant, key="one")
        second = Process(counts, KeyLimits(), tenant, key="two")
        assert [await first.ask() for _ in range(6)] == [True] * 4 + [False] * 2
        assert [await second.ask() for _ in range(4)] == [True] * 2 + [False] * 2
        assert dict(counts.used) == {("one", "requests"): 4, ("tenant:t", "requests"): 6}
        with pytest.raises(RateLimited, match="This account may make 6 requests a minute") as refusal:
            await second.gate.admit(second.who, call())
        assert refusal.value.detail == {"limit": "requests_per_minute", "scope": "tenant"}
        assert refusal.value.retry_after_s == 17

    asyncio.run(scenario())


def test_headers_show_the_tightest_limit() -> None:
    async def scenario() -> None:
        counts = Counts()
        shared = (
            SubjectLimits("user", "user:u", requests_per_minute=5, tokens_per_minute=900_000),
            SubjectLimits("tenant", "tenant:t", requests_per_minute=50, tokens_per_minute=1_000),
        )
        process = Process(counts, KeyLimits(requests_per_minute=20), *shared)
        assert await process.ask()
        standing = process.gate.standing(process.who)
        assert (standing.requests_limit, standing.requests_remaining) == (5, 4)
        assert standing.tokens_limit == 1_000
        assert standing.tokens_remaining == 1_000 - counts.used["tenant:t", "tokens"]

    asyncio.run(scenario())


def test_all_windows_are_one_question_and_blocks_save_it() -> None:
    async def scenario() -> None:
        counts = Counts()
        shared = (
            SubjectLimits("user", "user:u", requests_per_minute=6_000, concurrent_requests=50),
            SubjectLimits("tenant", "tenant:t", requests_per_minute=60_000),
        )
        process = Process(counts, KeyLimits(requests_per_minute=600), *shared)
        assert await process.ask()
        assert counts.asked == 1
        large = Process(counts, KeyLimits(), shared[1])
        assert [await large.ask() for _ in range(100)] == [True] * 100
        assert counts.asked == 2, "a block of a hundred"

    asyncio.run(scenario())


def test_what_a_block_gave_is_not_lost_when_another_window_refuses() -> None:
    async def scenario() -> None:
        counts = Counts()
        large = SubjectLimits("tenant", "tenant:t", requests_per_minute=6_000)
        process = Process(counts, KeyLimits(concurrent_requests=1), large)
        assert await process.ask()
        permits = process.gate._blocks["tenant:t", "requests"].permits
        counts.places["k", "another process"] = 5
        await process.end()
        assert not await process.ask()
        assert process.gate._blocks["tenant:t", "requests"].permits == permits == 9

    asyncio.run(scenario())
