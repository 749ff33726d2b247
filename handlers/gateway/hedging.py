"""Hedging: when the first token is late, a second endpoint is asked as well, and whoever speaks first is the answer.

Off unless the client asks for it (`provider.hedge_after`, in seconds), for streams only, and within a budget: a race doubles
what a generation may cost upstream.

Theory of operation
    A race is two passages for one client. The second has its own request id, hold and usage line, so that every rule of a
    passage holds for both: one line each, nothing spliced, nothing sent before its line is in the spool. Each writes to a
    `Lane` that looks like the client's exchange. The first lane that begins its answer takes the client; the other hears
    that its client has gone, so its provider is cancelled within the second and its line says what was produced (nothing is
    charged for an answer of which nobody has seen anything). A lane that fails while the other still runs keeps silent.
    The winner's headers name the loser and its request id, under which its cost can be read (GET /v1/generation).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import msgspec

from handlers.gateway.passage import Passage
from handlers.gateway.usage_line import new_request_id

if TYPE_CHECKING:
    from handlers.gateway.authorize import Grant
    from handlers.gateway.gate import Call
    from handlers.gateway.plan import RoutePlan
    from handlers.gateway.room import Gateway
    from handlers.transport.exchange import Exchange, Headers

SHARE = 0.05
"""Of the requests of the window that asked for it, so many may be hedged."""
FLOOR = 2
WINDOW_S = 60.0


class HedgeBudget:
    """Counts requests that would be hedged, and races, over the window."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._asked: deque[float] = deque(maxlen=100_000)
        self._races: deque[float] = deque(maxlen=100_000)

    def asked(self) -> None:
        """A request may be hedged."""
        self._asked.append(self._monotonic())

    def spend(self) -> bool:
        """Whether one more race is within the budget; if so, it is counted."""
        now = self._monotonic()
        for series in (self._asked, self._races):
            while series and now - series[0] > WINDOW_S:
                series.popleft()
        if len(self._races) >= max(FLOOR, SHARE * len(self._asked)):
            return False
        self._races.append(now)
        return True


class Lane:
    """One passage's view of the client in a race; as `Exchange`, as far as a passage uses it."""

    def __init__(self, race: Race, exchange: Exchange, name: bytes) -> None:
        self._race = race
        self._exchange = exchange
        self.name = name
        """Provider and request id of its passage, for the other's headers."""
        self.head = exchange.head
        self.body = exchange.body
        self.received_at = exchange.received_at
        self.closed = False
        self.on_disconnect: Callable[[], None] | None = None
        self.on_pause: Callable[[], None] | None = None
        self.on_resume: Callable[[], None] | None = None

    @property
    def started(self) -> bool:
        """This lane's head has been written."""
        return self._race.winner is self and self._exchange.started

    def start(self, status: int, headers: Headers) -> None:
        """Take the client and begin."""
        if not self.closed and self._race.take(self):
            self._exchange.start(status, self._race.disclosed(self, headers))

    def write(self, data: bytes) -> None:
        """More of the answer."""
        if not self.closed:
            self._exchange.write(data)

    def finish(self, data: bytes = b"") -> None:
        """The end of the answer."""
        if not self.closed:
            self.closed = True
            self._exchange.finish(data)

    def send(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """A whole answer; a failure is told only when nobody is left who may still succeed."""
        if self.closed:
            return
        if status >= 400 and self._race.may_still_succeed(self):
            self.closed = True
        elif self._race.take(self):
            self.closed = True
            self._exchange.send(status, self._race.disclosed(self, headers), body)

    def abort(self) -> None:
        """Break off."""
        if not self.closed:
            self.closed = True
            self._exchange.abort()


class Race:
    """Two lanes and one client."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.lanes: list[Lane] = []
        self.winner: Lane | None = None
        exchange.on_disconnect = self._client_gone
        exchange.on_pause = lambda: self._tell_winner("on_pause")
        exchange.on_resume = lambda: self._tell_winner("on_resume")

    def lane(self, provider: str, request_id: str) -> Lane:
        """A lane for a passage."""
        lane = Lane(self, self._exchange, f"{provider} {request_id}".encode())
        self.lanes.append(lane)
        return lane

    def may_still_succeed(self, failing: Lane) -> bool:
        """Whether another lane than this one still runs."""
        return any(lane is not failing and not lane.closed for lane in self.lanes)

    def take(self, lane: Lane) -> bool:
        """Make this lane the answer, unless another one is; the others' clients are gone then."""
        if self.winner is None:
            self.winner = lane
            for other in self.lanes:
                if other is not lane:
                    _leave(other)
        return self.winner is lane

    def disclosed(self, winner: Lane, headers: Headers) -> Headers:
        """Headers that also name who lost."""
        lost = b", ".join(lane.name for lane in self.lanes if lane is not winner)
        return [*headers, (b"x-therouter-hedge-lost", lost)]

    def _client_gone(self) -> None:
        for lane in self.lanes:
            _leave(lane)

    def _tell_winner(self, name: str) -> None:
        told = getattr(self.winner, name, None)
        if told is not None:
            told()


def _leave(lane: Lane) -> None:
    """Tell a lane's passage that its client has gone."""
    if not lane.closed:
        lane.closed = True
        if lane.on_disconnect is not None:
            lane.on_disconnect()


def arm(
    gateway: Gateway, passage: Passage, exchange: Exchange, call: Call, grant: Grant, plan: RoutePlan, after_s: float
) -> None:
    """Watch a stream's passage that has just started: silent for so long, it gets another endpoint as a rival."""
    gateway.hedges.asked()
    loop = asyncio.get_running_loop()
    loop.call_later(after_s, _hedge, gateway, passage, exchange, call, grant, plan)


def _hedge(gateway: Gateway, passage: Passage, exchange: Exchange, call: Call, grant: Grant, plan: RoutePlan) -> None:
    principal = grant.principal
    is_over = passage.closed or passage.committed or exchange.started or exchange.closed
    # A key with limits is counted per request: its rival would be one more than was admitted.
    if is_over or passage.attempts >= len(plan.attempts) or not gateway.rates.passes(principal):
        return
    attempt = plan.attempts[passage.attempts]
    alone = msgspec.structs.replace(plan, attempts=(attempt,))
    hold = gateway.credit.try_hold(principal, alone, call)
    if hold is None:
        return
    if not gateway.hedges.spend():
        gateway.credit.release(hold)
        return
    race, request_id = Race(exchange), new_request_id()
    others = tuple(each for each in plan.attempts if each is not attempt)
    slug = plan.attempts[passage.attempts - 1].provider.slug
    passage.race(cast("Exchange", race.lane(slug, passage.request_id)), msgspec.structs.replace(plan, attempts=others))
    rival = cast("Exchange", race.lane(attempt.provider.slug, request_id))
    racing = Passage(gateway, rival, call, grant, alone, hold, request_id)
    racing.is_racing = True
    racing.start()
