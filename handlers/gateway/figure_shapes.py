"""Sums of what was counted for an endpoint, and the figures that follow from them; figures.py tells what they mean."""

from __future__ import annotations

from operator import add

import msgspec

BUCKETS = 64
PERCENTILES = (0.50, 0.75, 0.90, 0.99)
NO_COUNTS = (0,) * BUCKETS


class EndpointFigures(msgspec.Struct, frozen=True):
    """What is known of one endpoint. Tuples hold one value for each of `PERCENTILES`."""

    throughput: tuple[float, ...]
    """Output tokens per second, last 5 minutes."""
    latency_ms: tuple[float, ...]
    """To the first semantic event, last 5 minutes."""
    throughput_30m: tuple[float, ...]
    latency_30m_ms: tuple[float, ...]
    uptime_5m: float | None
    """Share of attempts that the endpoint did not fail; None without attempts."""
    uptime_30m: float | None
    uptime_1d: float | None


class Window(msgspec.Struct, frozen=True):
    """Sums over one window."""

    succeeded: int = 0
    failed: int = 0
    first_event: tuple[int, ...] = NO_COUNTS
    rate: tuple[int, ...] = NO_COUNTS

    def __add__(self, other: Window) -> Window:
        return Window(
            self.succeeded + other.succeeded,
            self.failed + other.failed,
            tuple(map(add, self.first_event, other.first_event)),
            tuple(map(add, self.rate, other.rate)),
        )

    @property
    def uptime(self) -> float | None:
        """Between 0 and 1."""
        attempts = self.succeeded + self.failed
        return self.succeeded / attempts if attempts else None


NO_WINDOW = Window()


class SharedFigures(msgspec.Struct, frozen=True):
    """What all replicas have counted for one endpoint."""

    last_5m: Window
    last_30m: Window
    last_day: Window


class Counted(msgspec.Struct):
    """What one process has counted for one endpoint since it last shared; also the row that it shares."""

    endpoint: str
    succeeded: int = 0
    failed: int = 0
    first_event: list[int] = msgspec.field(default_factory=lambda: [0] * BUCKETS)
    rate: list[int] = msgspec.field(default_factory=lambda: [0] * BUCKETS)

    def window(self) -> Window:
        """As sums."""
        return Window(self.succeeded, self.failed, tuple(self.first_event), tuple(self.rate))
