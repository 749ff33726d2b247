"""A provider's pod gets as many requests as it serves promptly; nobody stands in line for long, or is forgotten there."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from handlers.gateway.concurrency import (
    LATE_MS,
    LIMIT_MAX,
    LIMIT_MIN,
    LINE_MAX,
    QUEUE_MAX,
    RESERVE,
    SAMPLES_MIN,
    WAIT_MS,
    ProviderLimit,
)
from handlers.gateway.room import POD_CONNECTIONS_MAX

ONE = "one account"


def seconds(limit: ProviderLimit, in_flight: int, waited_ms: float, *, count: int, start: float = 0.0) -> None:
    """So many seconds in which requests end at that concurrency, having waited so long."""
    for second in range(count):
        for sample in range(SAMPLES_MIN * 2):
            limit.in_flight = in_flight
            limit.leave(ONE, waited_ms, start + second + sample / 100)
            limit.in_flight = 0


def test_lasting_waits_lower_it_to_what_is_served() -> None:
    limit = ProviderLimit()
    seconds(limit, 500, LATE_MS + 1, count=5)
    assert 250 < limit.limit < 500
    seconds(limit, 500, LATE_MS + 1, count=100, start=100)
    assert limit.limit == LIMIT_MIN


def test_few_requests_are_never_the_cause() -> None:
    limit = ProviderLimit()
    seconds(limit, LIMIT_MIN - 1, 10_000, count=100)
    assert limit.limit == LIMIT_MAX


def test_one_hiccup_changes_nothing() -> None:
    limit = ProviderLimit()
    limit.in_flight = 1_000
    limit.leave(ONE, 5_000, 1.0)
    assert limit.limit == LIMIT_MAX


def test_prompt_answers_near_the_limit_raise_it_again() -> None:
    limit = ProviderLimit(100)
    for second in range(10):
        seconds(limit, int(limit.limit), 1, count=1, start=second)
    assert limit.limit > 140
    before = limit.limit
    seconds(limit, 10, 1, count=10, start=50)
    assert limit.limit == before, "far below the limit nothing is learned about it"


def test_first_come_first_served_and_nobody_waits_for_long() -> None:
    async def run() -> list[str]:
        limit, heard = ProviderLimit(1), list[str]()
        assert limit.try_enter(ONE)
        assert not limit.try_enter(ONE)
        for name in ("a", "b", "c"):
            place = limit.stand_in_line(ONE, partial(heard.append, name), partial(heard.append, f"not {name}"))
            assert place is not None
        limit.leave(ONE, None, 0.0)
        assert heard == ["a"]
        assert not limit.try_enter(ONE), "those in line come first"
        await asyncio.sleep(WAIT_MS / 1000 * 1.5)
        assert limit.waiting == 0
        return heard

    assert asyncio.run(run()) == ["a", "not b", "not c"]


def test_who_leaves_the_line_is_not_called() -> None:
    async def run() -> None:
        limit, heard = ProviderLimit(0), list[str]()
        place = limit.stand_in_line(ONE, lambda: heard.append("in"), lambda: heard.append("out"))
        assert place is not None
        place.leave()
        await asyncio.sleep(WAIT_MS / 1000 * 1.2)
        assert heard == []

    asyncio.run(run())


def test_the_line_is_bounded() -> None:
    async def run() -> None:
        limit = ProviderLimit(0)
        mine = [limit.stand_in_line(ONE, lambda: None, lambda: None) for _ in range(LINE_MAX + 1)]
        assert mine[-1] is None, "of one account"
        accounts = [f"account {number % 50}" for number in range(QUEUE_MAX)]
        others = [limit.stand_in_line(name, lambda: None, lambda: None) for name in accounts]
        assert limit.waiting == QUEUE_MAX
        assert others[-1] is None, "of all"
        for place in mine + others:
            if place is not None:
                place.leave()
        assert limit.waiting == 0

    asyncio.run(run())


def test_the_reserve_fits_into_the_pool_of_connections() -> None:
    assert LIMIT_MAX * (1 + RESERVE) <= POD_CONNECTIONS_MAX


def test_a_lone_account_may_use_all_and_not_the_reserve() -> None:
    limit = ProviderLimit(8)
    assert [limit.try_enter(ONE) for _ in range(9)] == [True] * 8 + [False]


@pytest.mark.claim("A75")
def test_a75_who_comes_to_a_provider_that_another_has_filled_is_served_at_once() -> None:
    async def run() -> None:
        limit, heard = ProviderLimit(64), list[str]()
        while limit.try_enter("noisy"):
            pass
        for _ in range(100):  # and it asks for far more than that
            limit.stand_in_line("noisy", lambda: heard.append("noisy"), lambda: None)
        assert limit.in_flight == 64
        for _ in range(16):
            assert limit.try_enter("quiet"), "the reserve is for it"
        assert not limit.try_enter("quiet")
        limit.stand_in_line("quiet", lambda: heard.append("quiet"), lambda: None)
        for _ in range(4):
            limit.leave("noisy", None, 0.0)
        assert heard == ["quiet"], "whoever holds less goes first, and the noisy one pays back what it holds too much"
        assert limit.try_enter("third"), "a newcomer finds a place, however many others wait"

    asyncio.run(run())


@pytest.mark.claim("A75")
def test_a75_places_even_out_between_accounts_that_all_want_more() -> None:
    async def run() -> dict[str, int]:
        limit = ProviderLimit(60)
        held = dict.fromkeys(("noisy", "b", "c"), 0)

        def take(account: str) -> None:
            held[account] += 1

        for account, wanted in (("noisy", 600), ("b", 100), ("c", 100)):
            for _ in range(wanted):
                if limit.try_enter(account):
                    take(account)
                else:
                    limit.stand_in_line(account, partial(take, account), lambda: None)
        for _ in range(120):  # requests end, those that have run for longest first
            account = max(held, key=lambda name: held[name])
            held[account] -= 1
            limit.leave(account, None, 0.0)
        return held

    held = asyncio.run(run())
    assert max(held.values()) - min(held.values()) <= 2, held
