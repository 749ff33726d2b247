"""A provider's pod gets as many requests as it serves promptly; nobody stands in line for long, or is forgotten there."""

from __future__ import annotations

import asyncio
from functools import partial

from handlers.gateway.concurrency import LATE_MS, LIMIT_MAX, LIMIT_MIN, QUEUE_MAX, SAMPLES_MIN, WAIT_MS, ProviderLimit


def seconds(limit: ProviderLimit, in_flight: int, waited_ms: float, *, count: int, start: float = 0.0) -> None:
    """So many seconds in which requests end at that concurrency, having waited so long."""
    for second in range(count):
        for sample in range(SAMPLES_MIN * 2):
            limit.in_flight = in_flight
            limit.leave(waited_ms, start + second + sample / 100)
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
    limit.leave(5_000, 1.0)
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
        assert limit.try_enter()
        assert not limit.try_enter()
        for name in ("a", "b", "c"):
            place = limit.stand_in_line(partial(heard.append, name), partial(heard.append, f"not {name}"))
            assert place is not None
        limit.leave(None, 0.0)
        assert heard == ["a"]
        assert not limit.try_enter(), "those in line come first"
        await asyncio.sleep(WAIT_MS / 1000 * 1.5)
        assert limit.waiting == 0
        return heard

    assert asyncio.run(run()) == ["a", "not b", "not c"]


def test_who_leaves_the_line_is_not_called() -> None:
    async def run() -> None:
        limit, heard = ProviderLimit(0), list[str]()
        place = limit.stand_in_line(lambda: heard.append("in"), lambda: heard.append("out"))
        assert place is not None
        place.leave()
        await asyncio.sleep(WAIT_MS / 1000 * 1.2)
        assert heard == []

    asyncio.run(run())


def test_the_line_is_bounded() -> None:
    async def run() -> None:
        limit = ProviderLimit(0)
        places = [limit.stand_in_line(lambda: None, lambda: None) for _ in range(QUEUE_MAX + 1)]
        assert places[-1] is None
        for place in places[:-1]:
            assert place is not None
            place.leave()

    asyncio.run(run())
