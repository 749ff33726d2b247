"""Live figures: right to about a tenth, added over replicas, kept through an outage, and nobody waits for them."""

from __future__ import annotations

import asyncio

import pytest

from handlers.errors import Unavailable
from handlers.gateway.figures import REFRESH_S, UNSHARED_S_MAX, LiveFigures
from handlers.store.figures import FigureSums
from handlers.store.gateway import GatewayStore
from tests.database import Database

E = "author/model@provider"


def fill(figures: LiveFigures, answers: int = 100) -> None:
    for number in range(1, answers + 1):
        figures.succeeded(E)
        figures.measured(E, first_event_ms=10.0 * number, tokens_per_s=float(number))


def test_percentiles_are_right_to_about_a_tenth() -> None:
    figures = LiveFigures()
    fill(figures)
    known = figures.snapshot(0.0)[E]
    assert known.latency_ms == pytest.approx((500, 750, 900, 990), rel=0.13)
    # A throughput's percentile is what so many percent of the answers reached.
    assert known.throughput == pytest.approx((50, 25, 10, 1.1), rel=0.13)


def test_uptime_counts_attempts() -> None:
    figures = LiveFigures()
    for _ in range(9):
        figures.succeeded(E)
    figures.failed(E)
    assert figures.snapshot(0.0)[E].uptime_5m == pytest.approx(0.9)


def test_a_snapshot_never_changes_and_is_made_again_no_more_often_than_every_two_seconds() -> None:
    figures = LiveFigures()
    fill(figures)
    before = figures.snapshot(0.0)
    fill(figures)
    assert figures.snapshot(REFRESH_S - 0.1) is before
    assert figures.snapshot(REFRESH_S + 0.1) is not before


def test_two_replicas_see_the_same(database: Database) -> None:
    stores = [GatewayStore(database.pool("gateway"), pod=name) for name in ("a", "b")]
    replicas = [LiveFigures(), LiveFigures()]
    fill(replicas[0])
    fill(replicas[1])
    replicas[1].failed(E)

    async def share() -> None:
        for _ in range(2):
            for replica, store in zip(replicas, stores, strict=True):
                await replica.share(store, now=1.0)

    asyncio.run(share())
    first, second = (replica.snapshot(10.0)[E] for replica in replicas)
    assert first == second
    assert first.uptime_5m == first.uptime_30m == first.uptime_1d == pytest.approx(200 / 201)
    assert first.latency_30m_ms == pytest.approx((500, 750, 900, 990), rel=0.13)
    assert database.query("select sum(succeeded) from therouter.endpoint_minute") == [[200]]


def test_old_minutes_leave_the_windows_and_then_the_table(database: Database) -> None:
    store, figures = GatewayStore(database.pool("gateway"), pod="a"), LiveFigures()
    fill(figures)
    asyncio.run(figures.share(store, now=1.0))
    database.query("update therouter.endpoint_minute set minute = minute - interval '10 minutes'")
    asyncio.run(figures.share(store, now=2.0))
    known = figures.snapshot(10.0)[E]
    assert known.uptime_5m is None
    assert not any(known.latency_ms)
    assert known.uptime_30m == 1.0
    database.query("update therouter.endpoint_minute set minute = minute - interval '1 hour'")
    figures.succeeded(E)
    asyncio.run(figures.share(store, now=3.0))
    assert database.query("select count(*) from therouter.endpoint_minute") == [[1]]


class Outage:
    """A database that is down."""

    async def add_figures(self, rows: bytes) -> None:  # noqa: ARG002 - a protocol's signature
        raise Unavailable("down")

    async def read_figures(self) -> list[FigureSums]:
        raise Unavailable("down")


def test_an_outage_loses_nothing_recent_and_keeps_nothing_old() -> None:
    figures = LiveFigures()
    fill(figures)
    with pytest.raises(Unavailable):
        asyncio.run(figures.share(Outage(), now=10.0))
    figures.succeeded(E)
    assert figures.snapshot(20.0)[E].latency_ms[0] > 0
    with pytest.raises(Unavailable):
        asyncio.run(figures.share(Outage(), now=UNSHARED_S_MAX + 1))
    figures.succeeded(E)
    assert figures.snapshot(UNSHARED_S_MAX + 20)[E].latency_ms == (0, 0, 0, 0)
