"""How many requests may be at one provider's pod at a time: as many as it serves without making them wait.

Theory of operation
    Additive increase, multiplicative decrease, on the time that a request waits before its provider is asked. The gateway
    knows when it dispatched an attempt and when its first event came; the pod says how long the provider took. What is
    left was spent in queues: for a connection, in the pod's loop, in our own. A second in which most requests spent more
    than LATE_MS there lowers the limit to nine tenths of what is open; requests that were prompt near the limit raise it.
    One hiccup, or a quiet pod, changes nothing. Above the limit requests stand in line for at most WAIT_MS; whoever waited
    in vain goes on to the next provider of the plan, or is told 503. What has started is never touched.

Fairness between accounts (A75)
    An account may use all of a provider while nobody else does. Above the limit there is a RESERVE, open only to accounts
    that hold less than their equal share; so who comes to a provider that another has filled is served at once, and what
    the other lets go of is not given back to it before the reserve is free again. Of those in line the account that holds
    the fewest places is next, in order of arrival within an account; and no account's line is longer than LINE_MAX.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

LIMIT_MAX = 1_600
"""With the reserve, what the pool of connections to one pod carries."""
RESERVE = 0.25
"""Of the limit, above it, for accounts that hold less than their share."""
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
LINE_MAX = 256
"""Of one account."""
QUEUE_MAX = 4_096
"""Of all."""


class Place:
    """In line, or already at the provider."""

    __slots__ = ("_limit", "_timer", "account", "admitted", "given_up")

    def __init__(
        self, limit: ProviderLimit, account: str, admitted: Callable[[], None], given_up: Callable[[], None]
    ) -> None:
        self._limit = limit
        self.account = account
        self.admitted = admitted
        self.given_up = given_up
        self._timer = asyncio.get_running_loop().call_later(WAIT_MS / 1000, self._expire)

    def leave(self) -> None:
        """Stand in line no longer."""
        self._timer.cancel()
        self._limit.withdraw(self)

    def admit(self) -> None:
        """A place has become free."""
        self._timer.cancel()
        self.admitted()

    def _expire(self) -> None:
        self._limit.withdraw(self)
        self.given_up()


class ProviderLimit:
    """The limit of one provider, and who waits for it. All methods belong to the event loop's thread."""

    __slots__ = ("_held", "_late", "_lines", "_seen", "_window_at", "in_flight", "limit", "waiting")

    def __init__(self, limit: float = LIMIT_MAX) -> None:
        self.limit = limit
        self.in_flight = 0
        self.waiting = 0
        """How many stand in line."""
        self._held: dict[str, int] = {}
        """Account -> places that it holds, where there are any."""
        self._lines: dict[str, deque[Place]] = {}
        """Account -> who stands in line, where there is anybody."""
        self._window_at = 0.0
        self._seen = self._late = 0

    def try_enter(self, account: str) -> bool:
        """Take a place at the provider, if there is one for this account."""
        if (self.waiting or self.in_flight >= self.limit) and not self._may_use_reserve(account):
            return False
        self._hold(account)
        return True

    def _hold(self, account: str) -> None:
        self.in_flight += 1
        self._held[account] = self._held.get(account, 0) + 1

    def _may_use_reserve(self, account: str) -> bool:
        """It holds less than its equal share, and the reserve is not used up."""
        present = len(self._held.keys() | self._lines.keys() | {account})
        return (
            self._held.get(account, 0) < self.limit / present
            and present > 1
            and self.in_flight < self.limit * (1 + RESERVE)
        )

    def stand_in_line(self, account: str, admitted: Callable[[], None], given_up: Callable[[], None]) -> Place | None:
        """Wait for a place; one of the two is called later. None: the line is too long already."""
        line = self._lines.get(account)
        if self.waiting >= QUEUE_MAX or (line is not None and len(line) >= LINE_MAX):
            return None
        place = Place(self, account, admitted, given_up)
        self._lines.setdefault(account, deque()).append(place)
        self.waiting += 1
        return place

    def leave(self, account: str, waited_ms: float | None, now: float) -> None:
        """An attempt is over; `waited_ms` is what it spent in queues, None when that is not known."""
        if waited_ms is not None:
            self._learn(waited_ms, now)
        self.in_flight -= 1
        left = self._held.get(account, 0) - 1
        if left > 0:
            self._held[account] = left
        else:
            self._held.pop(account, None)
        while self._lines:
            following = min(self._lines, key=lambda name: self._held.get(name, 0))
            if self.in_flight >= self.limit and not self._may_use_reserve(following):
                return
            place = self._lines[following][0]
            self.withdraw(place)
            self._hold(following)
            place.admit()

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
        line = self._lines.get(place.account)
        if line is None or place not in line:
            return
        line.remove(place)
        self.waiting -= 1
        if not line:
            del self._lines[place.account]
