"""Live figures per endpoint, from metadata alone: uptime, time to the first token, tokens per second.

Theory of operation
    Durations and rates fall into buckets that grow by a quarter, so a distribution is 64 counts, two of them add up, and a
    percentile is right to about a tenth. Each process counts what it sees since it last shared; every SHARE_S it adds that
    to the table of minutes in PostgreSQL and reads the sums of all replicas over the windows. What it shows is those sums
    and what it has not shared yet. No request waits for any of this, and while the database is down each process shows what
    it knows by itself.
    Percentile p of a latency is what p percent of the answers stayed within; of a throughput, what p percent reached.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from itertools import accumulate
from math import log
from operator import add
from typing import Protocol

import msgspec

from handlers.errors import TheRouterError
from handlers.gateway.figure_shapes import (
    BUCKETS,
    NO_COUNTS,
    NO_WINDOW,
    PERCENTILES,
    Counted,
    EndpointFigures,
    SharedFigures,
    Window,
)
from handlers.store.figures import FigureSums

GROWTH = 1.25
SHARE_S = 12.0
REFRESH_S = 2.0
UNSHARED_S_MAX = 300.0
"""What could not be shared for so long is older than the window for routing, and forgotten."""
_SCALE = 1 / log(GROWTH)
_MIDDLES: tuple[float, ...] = tuple(GROWTH ** (bucket + 0.5) for bucket in range(BUCKETS))


class FigureStore(Protocol):
    """The part of the store that figures need; see handlers.store.gateway."""

    async def add_figures(self, rows: bytes) -> None:
        """Add a JSON array of `Counted` to this minute."""

    async def read_figures(self) -> list[FigureSums]:
        """The sums of all replicas."""


def bucket_of(value: float) -> int:
    """The bucket of a duration in milliseconds or a rate per second."""
    return min(int(log(value) * _SCALE), BUCKETS - 1) if value > 1 else 0


def percentile(counts: tuple[int, ...], share: float) -> float:
    """The value that `share` of the counted ones stay within; 0 when nothing was counted."""
    total = sum(counts)
    wanted = share * total - 1e-9
    for bucket, reached in enumerate(accumulate(counts)):
        if reached and reached >= wanted:
            return _MIDDLES[bucket]
    return 0.0


class LiveFigures:
    """What this process counts, and what it knows of the other replicas."""

    def __init__(self) -> None:
        self._counted: dict[str, Counted] = {}
        self._counted_since = 0.0
        self._shared: dict[str, SharedFigures] = {}
        self._known: dict[str, EndpointFigures] = {}
        self._changed: set[str] = set()
        self._refreshed_at = float("-inf")

    # Counting

    def succeeded(self, endpoint: str) -> None:
        """An attempt was completed."""
        counted = self._counted.get(endpoint) or self._begin(endpoint)
        counted.succeeded += 1
        self._changed.add(endpoint)

    def failed(self, endpoint: str) -> None:
        """An attempt failed for a reason that says something about the endpoint."""
        counted = self._counted.get(endpoint) or self._begin(endpoint)
        counted.failed += 1
        self._changed.add(endpoint)

    def measured(self, endpoint: str, first_event_ms: float, tokens_per_s: float) -> None:
        """The figures of one completed answer."""
        counted = self._counted.get(endpoint) or self._begin(endpoint)
        counted.first_event[bucket_of(first_event_ms)] += 1
        counted.rate[bucket_of(tokens_per_s)] += 1
        self._changed.add(endpoint)

    def _begin(self, endpoint: str) -> Counted:
        counted = self._counted[endpoint] = Counted(endpoint)
        return counted

    # Showing

    def snapshot(self, now: float) -> dict[str, EndpointFigures]:
        """Everything known; the same object until something has changed and REFRESH_S have passed. Never changed."""
        if self._changed and now - self._refreshed_at >= REFRESH_S:
            known = dict(self._known)
            for endpoint in self._changed:
                known[endpoint] = self._figures_of(endpoint)
            self._known, self._refreshed_at = known, now
            self._changed.clear()
        return self._known

    def _figures_of(self, endpoint: str) -> EndpointFigures:
        shared, counted = self._shared.get(endpoint), self._counted.get(endpoint)
        own = counted.window() if counted else NO_WINDOW
        if shared is None:
            return describe(own, own, own)
        return describe(shared.last_5m + own, shared.last_30m + own, shared.last_day + own)

    # Sharing

    async def share(self, store: FigureStore, now: float) -> None:
        """Add what was counted to the database and read the sums of all. Raises Unavailable, having lost nothing recent."""
        rows, self._counted = self._counted, {}
        try:
            if rows:
                await store.add_figures(msgspec.json.encode(list(rows.values())))
        except TheRouterError:
            if now - self._counted_since < UNSHARED_S_MAX:
                self._take_back(rows)
            else:
                self._counted_since = now
            raise
        self._counted_since = now
        shared = {row.endpoint: _shared(row) for row in await store.read_figures()}
        self._changed.update(shared, self._shared)
        self._shared = shared

    def _take_back(self, rows: dict[str, Counted]) -> None:
        for endpoint, row in rows.items():
            later = self._counted.get(endpoint)
            if later is not None:
                row.succeeded += later.succeeded
                row.failed += later.failed
                row.first_event = list(map(add, row.first_event, later.first_event))
                row.rate = list(map(add, row.rate, later.rate))
            self._counted[endpoint] = row

    async def keep_sharing(self, store: FigureStore, loop: asyncio.AbstractEventLoop) -> None:
        """Share for as long as the process lives, replicas not all at once."""
        while True:
            await asyncio.sleep(SHARE_S * random.uniform(0.85, 1.15))  # noqa: S311 - jitter
            try:
                await self.share(store, loop.time())
            except TheRouterError:
                continue  # the database's absence is told by those who need it


def _shared(row: FigureSums) -> SharedFigures:
    last_5m = Window(row.succeeded_5m, row.failed_5m, _counts(row.first_event_5m), _counts(row.rate_5m))
    last_30m = Window(row.succeeded_30m, row.failed_30m, _counts(row.first_event_30m), _counts(row.rate_30m))
    return SharedFigures(last_5m, last_30m, Window(row.succeeded_day, row.failed_day))


def _counts(counts: list[int]) -> tuple[int, ...]:
    return tuple(counts) if counts else NO_COUNTS


def describe(last_5m: Window, last_30m: Window, last_day: Window) -> EndpointFigures:
    """Sums as figures."""
    return EndpointFigures(
        throughput=_reached(last_5m.rate),
        latency_ms=_within(last_5m.first_event),
        throughput_30m=_reached(last_30m.rate),
        latency_30m_ms=_within(last_30m.first_event),
        uptime_5m=last_5m.uptime,
        uptime_30m=last_30m.uptime,
        uptime_1d=last_day.uptime,
    )


def _within(counts: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(percentile(counts, share) for share in PERCENTILES)


def _reached(counts: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(percentile(counts, 1 - share) for share in PERCENTILES)


def named(values: Iterable[float], *, divisor: float = 1.0) -> dict[str, float] | None:
    """Percentiles by name for an answer; None when nothing was measured."""
    rounded = [round(value / divisor, 3) for value in values]
    return dict(zip(("p50", "p75", "p90", "p99"), rounded, strict=True)) if any(rounded) else None


NO_FIGURES = describe(NO_WINDOW, NO_WINDOW, NO_WINDOW)
