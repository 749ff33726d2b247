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
    While nobody has spoken the race keeps the client company with comments, which commit to nobody; the head has left by
    then, so a comment names the loser instead.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from handlers.gateway.passage import Passage
from handlers.gateway.request_ids import new_request_id

if TYPE_CHECKING:
    from handlers.gateway.attempts import RoutePlan
    from handlers.gateway.authorize import Grant
    from handlers.gateway.call import Call
    from handlers.gateway.room import Gateway
    from handlers.transport.exchange import Exchange, Headers, Responder

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
    """One passage's view of the client in a race; a `Responder` like the exchange itself."""

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
        """A head has been written: this lane's, or that of a client who is kept company."""
        return self._exchange.started

    def start(self, status: int, headers: Headers, lines: bytes = b"") -> None:
        """Take the client and begin."""
        if not self.closed and self._race.take(self):
            self._exchange.start(status, self._race.disclosed(self, headers), lines)

    def write(self, data: bytes) -> None:
        """More of the answer."""
        if not self.closed and self._race.take(self):
            self._exchange.write(self._race.told_late(self) + data)

    def finish(self, data: bytes = b"") -> None:
        """The end of the answer."""
        if not self.closed and self._race.take(self):
            self.closed = True
            self._exchange.finish(self._race.told_late(self) + data)

    def send(self, status: int, headers: Headers, body: bytes = b"", lines: bytes = b"") -> None:
        """A whole answer."""
        if not self.closed and self._race.take(self):
            self.closed = True
            self._exchange.send(status, self._race.disclosed(self, headers), body, lines)

    def abort(self) -> None:
        """Break off."""
        if not self.closed:
            self.closed = True
            self._exchange.abort()


class Race:
    """Two lanes and one client."""

    def __init__(self, exchange: Exchange, *, events: bool) -> None:
        self._exchange = exchange
        self._events = events
        """The answer is a stream of events, which may hold comments."""
        self.lanes: list[Lane] = []
        self.winner: Lane | None = None
        self._owes_names = events and exchange.started
        """The head left before there was a winner, so it does not name who lost."""
        exchange.on_disconnect = self._client_gone
        exchange.on_pause = lambda: self._tell_winner("on_pause")
        exchange.on_resume = lambda: self._tell_winner("on_resume")

    def lane(self, provider: str, request_id: str) -> Lane:
        """A lane for a passage."""
        lane = Lane(self, self._exchange, f"{provider} {request_id}".encode())
        self.lanes.append(lane)
        return lane

    def goes_on_without(self, failing: Responder) -> bool:
        """Whether another lane still runs; if so, the one that fails keeps silent from now on."""
        others = any(lane is not failing and not lane.closed for lane in self.lanes)
        if others:
            failing.closed = True
        return others

    def reassure(self, headers: Headers, lines: bytes, sign_of_life: bytes) -> None:
        """Keep the waiting client company; commits to neither lane."""
        if self.winner is not None or self._exchange.closed:
            return
        if not self._exchange.started:
            self._exchange.start(200, headers, lines)
            self._owes_names = self._events
        self._exchange.write(sign_of_life)

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
        return [*headers, (b"x-therouter-hedge-lost", self._losers(winner))]

    def told_late(self, winner: Lane) -> bytes:
        """The same as a comment, once, where the headers left too early."""
        if not self._owes_names:
            return b""
        self._owes_names = False
        return b": hedge lost by " + self._losers(winner) + b"\n\n"

    def _losers(self, winner: Lane) -> bytes:
        return b", ".join(lane.name for lane in self.lanes if lane is not winner)

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
    is_over = passage.closed or passage.committed or exchange.closed
    # A key with limits is counted per request: its rival would be one more than was admitted.
    if is_over or passage.attempts >= len(plan.attempts) or not gateway.rates.passes(principal):
        return
    attempt = plan.attempts[passage.attempts]
    alone = replace(plan, attempts=(attempt,))
    hold = gateway.credit.try_hold(principal, alone, call)
    if hold is None:
        return
    if not gateway.hedges.spend():
        gateway.credit.release(hold)
        return
    race, request_id = Race(exchange, events=passage.events), new_request_id()
    others = tuple(each for each in plan.attempts if each is not attempt)
    slug = plan.attempts[passage.attempts - 1].provider.slug
    mine = race.lane(slug, passage.request_id)
    passage.join(race, mine, replace(plan, attempts=others))
    rival = race.lane(attempt.provider.slug, request_id)
    Passage(gateway, rival, call, grant, alone, hold, request_id, race).start()
