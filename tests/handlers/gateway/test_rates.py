"""Limits per minute and places, against a store that is shared by several processes, slow, or away."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest

from handlers.errors import RateLimited, Unavailable
from handlers.gateway.rates import PLACE_RENEW_S, RateGate
from handlers.keys.principal import KeyLimits, Principal
from handlers.store.gateway import RateGrant
from tests.handlers.gateway.test_credit import call, principal


class Counts:
    """What PostgreSQL counts for all processes."""

    def __init__(self) -> None:
        self.used: Counter[tuple[str, str]] = Counter()
        self.places: Counter[tuple[str, str]] = Counter()
        self.renewed = 0
        self.down = False

    async def take_rate(self, key_id: str, kind: str, need: int, want: int, limit: int) -> RateGrant:
        await asyncio.sleep(0)
        if self.down:
            raise Unavailable("down")
        left = limit - self.used[key_id, kind]
        if left < need:
            return RateGrant(0, max(left, 0), 17)
        granted = min(max(need, want), left)
        self.used[key_id, kind] += granted
        return RateGrant(granted, left - granted, 0)

    async def correct_rate(self, key_id: str, kind: str, difference: int) -> None:
        self.used[key_id, kind] += difference

    async def take_place(self, key_id: str, process: str, limit: int, ttl_s: int) -> bool:
        assert ttl_s > PLACE_RENEW_S
        await asyncio.sleep(0)
        if self.down:
            raise Unavailable("down")
        if sum(self.places.values()) >= limit:
            return False
        self.places[key_id, process] += 1
        return True

    async def give_place(self, key_id: str, process: str) -> None:
        assert self.places[key_id, process] > 0
        self.places[key_id, process] -= 1

    async def renew_places(self, process: str, ttl_s: int) -> None:
        assert ttl_s > PLACE_RENEW_S
        self.renewed += any(of == process for _, of in self.places)


class Process:
    """One gateway's gate, with a clock that the test moves."""

    def __init__(self, counts: Counts, limits: KeyLimits) -> None:
        self.now = 1_000.0
        self.tasks: list[asyncio.Task[None]] = []
        self.gate = RateGate(counts, lambda: self.now, self.spawn)
        self.who: Principal = principal(limits=limits)

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
