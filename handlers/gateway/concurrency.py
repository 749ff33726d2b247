"""How many requests may be at one provider's pod at a time: as many as it serves without making them wait.

Theory of operation
    Additive increase, multiplicative decrease, on the time that a request waits before its provider is asked. The gateway
    knows when it dispatched an attempt and when its first event came; the pod says how long the provider took. What is
    left was spent in queues: for a connection, in the pod's loop, in our own. A second in which most requests spent more
    than LATE_MS there lowers the limit to nine tenths of what is open; requests that were prompt near the limit raise it.
    One hiccup, or a quiet pod, changes nothing. Above the limit requests stand in line, first come first served, for at
    most WAIT_MS; whoever waited in vain goes on to the next provider of the plan, or is told 503. What has started is never
    touched.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

LIMIT_MAX = 2_048
"""The pool of connections to one pod."""
LIMIT_MIN = 64
"""Fewer than these cannot be what makes anybody wait."""
WAIT_MS = 100
LATE_MS = 250
WINDOW_S = 1.0
SAMPLES_MIN = 10
DECREASE = 0.9
INCREASE = 0.25
"""For each prompt request near the limit: a quarter more in the time of one request."""
NEAR = 0.9
QUEUE_MAX = 1_024


class Place:
    """In line, or already at the provider."""

    __slots__ = ("_line", "_timer", "admitted", "given_up")

    def __init__(self, line: ProviderLimit, admitted: Callable[[], None], given_up: Callable[[], None]) -> None:
        self._line = line
        self.admitted = admitted
        self.given_up = given_up
        self._timer = asyncio.get_running_loop().call_later(WAIT_MS / 1000, self._expire)

    def leave(self) -> None:
        """Stand in line no longer."""
        self._timer.cancel()
        self._line.withdraw(self)

    def admit(self) -> None:
        """A place has become free."""
        self._timer.cancel()
        self.admitted()

    def _expire(self) -> None:
        self._line.withdraw(self)
        self.given_up()


class ProviderLimit:
    """The limit of one provider, and who waits for it. All methods belong to the event loop's thread."""

    __slots__ = ("_late", "_queue", "_seen", "_window_at", "in_flight", "limit")

    def __init__(self, limit: float = LIMIT_MAX) -> None:
        self.limit = limit
        self.in_flight = 0
        self._queue: deque[Place] = deque()
        self._window_at = 0.0
        self._seen = self._late = 0

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._queue)

    def try_enter(self) -> bool:
        """Take a place at the provider, if there is one and nobody waits for it."""
        if self.in_flight >= self.limit or self._queue:
            return False
        self.in_flight += 1
        return True

    def stand_in_line(self, admitted: Callable[[], None], given_up: Callable[[], None]) -> Place | None:
        """Wait for a place; one of the two is called later. None: the line is too long already."""
        if len(self._queue) >= QUEUE_MAX:
            return None
        place = Place(self, admitted, given_up)
        self._queue.append(place)
        return place

    def leave(self, waited_ms: float | None, now: float) -> None:
        """An attempt is over; `waited_ms` is what it spent in queues, None when that is not known."""
        if waited_ms is not None:
            self._learn(waited_ms, now)
        self.in_flight -= 1
        while self._queue and self.in_flight < self.limit:
            self.in_flight += 1
            self._queue.popleft().admit()

    def _learn(self, waited_ms: float, now: float) -> None:
        self._seen += 1
        if waited_ms > LATE_MS:
            self._late += 1
        elif self.limit < LIMIT_MAX and self.in_flight >= NEAR * self.limit:
            self.limit = min(LIMIT_MAX, self.limit + INCREASE)
        if now - self._window_at < WINDOW_S:
            return
        if self._seen >= SAMPLES_MIN and 2 * self._late > self._seen and self.in_flight >= LIMIT_MIN:
            self.limit = max(LIMIT_MIN, min(self.limit, self.in_flight) * DECREASE)
        self._window_at = now
        self._seen = self._late = 0

    def withdraw(self, place: Place) -> None:
        """Somebody waits no longer."""
        if place in self._queue:
            self._queue.remove(place)
