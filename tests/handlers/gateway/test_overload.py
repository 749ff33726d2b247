"""Load is shed in the stated order, only when strain lasts, and comes back as it left."""

from __future__ import annotations

import asyncio
import time

import pytest

from handlers.errors import Unavailable
from handlers.gateway.overload import RETRY_S, STEP_S, TICK_S, Level, Overload, is_scarce


def ticks(overload: Overload, now: float, span_s: float, lag_ms: float, *, scarce: bool = False) -> float:
    for _ in range(int(span_s / TICK_S)):
        now += TICK_S
        overload.observe(lag_ms, now, scarce=scarce)
    return now


def test_levels_rise_one_by_one_while_strain_lasts_and_fall_one_by_one() -> None:
    overload, now = Overload(), 0.0
    for level in (Level.STRANGERS, Level.FREE, Level.ALL, Level.ALL):
        now = ticks(overload, now, STEP_S + TICK_S, 150)
        assert overload.level is level
    for level in (Level.FREE, Level.STRANGERS, Level.CALM, Level.CALM):
        now = ticks(overload, now, STEP_S + TICK_S, 1)
        assert overload.level is level


def test_hiccups_are_no_overload() -> None:
    overload, now = Overload(), 0.0
    for _ in range(100):
        now = ticks(overload, now, STEP_S - TICK_S, 500)
        now = ticks(overload, now, TICK_S, 1)
    assert overload.level is Level.CALM


def test_scarce_memory_or_files_are_strain() -> None:
    overload = Overload()
    ticks(overload, 0.0, STEP_S + TICK_S, 0, scarce=True)
    assert overload.level is Level.STRANGERS
    assert not is_scarce()


def test_what_is_refused_says_when_to_come_back() -> None:
    overload = Overload()
    overload.level = Level.FREE
    overload.refuse_from(Level.ALL)
    told = set()
    for _ in range(200):
        with pytest.raises(Unavailable) as caught:
            overload.refuse_from(Level.STRANGERS)
        told.add(caught.value.retry_after_s)
        assert caught.value.http_status == 503
    assert told == set(range(RETRY_S[0], RETRY_S[1] + 1))


def test_a_busy_loop_is_measured() -> None:
    async def run() -> float:
        overload = Overload()
        overload.start(asyncio.get_running_loop())
        await asyncio.sleep(TICK_S / 2)
        time.sleep(2 * TICK_S)  # noqa: ASYNC251 - what is to be measured: a tick falls into its first half at the latest
        await asyncio.sleep(0.01)
        overload.stop()
        return overload.lag_ms

    assert asyncio.run(run()) > TICK_S * 1000 / 2
