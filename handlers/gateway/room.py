"""The gateway room: builds the parts, starts them, sweeps once a second, drains on the way out.

Everything that a request needs is an attribute here, built once per process. One sweep serves all open passages; one poller
learns of revocations; one recorder settles usage.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Coroutine
from typing import Any

from handlers.catalog.entries import Catalog
from handlers.compiled import is_in_use
from handlers.errors import NotFound, TheRouterError
from handlers.gateway import pipeline, queries
from handlers.gateway.arrival import Arrival
from handlers.gateway.attempts import Attempt
from handlers.gateway.byok import ByokBook
from handlers.gateway.byok_care import ByokCare
from handlers.gateway.claims import Claims
from handlers.gateway.concurrency import ProviderLimit
from handlers.gateway.credit import Credit
from handlers.gateway.eligibility import Eligibility
from handlers.gateway.health import Health
from handlers.gateway.hedging import HedgeBudget
from handlers.gateway.makers import PURPOSE, Maker, Makers
from handlers.gateway.observations import GatewayMetrics
from handlers.gateway.overload import Overload
from handlers.gateway.passage import Passage
from handlers.gateway.rates import RateGate
from handlers.gateway.recorder import Recorder
from handlers.gateway.refusals import Headers, render
from handlers.gateway.retries import RetryBudget
from handlers.gateway.revocation import RevocationPoller
from handlers.gateway.routes import Route, find_route
from handlers.gateway.spool import Spool
from handlers.gateway.sticky import Sticky
from handlers.gateway.usage_line import UsageLine
from handlers.keys.addresses import told_address
from handlers.keys.principal import Principal
from handlers.keys.verification import KeyVerifier
from handlers.settings import EDGE_HEADERS
from handlers.store.gateway import GatewayStore
from handlers.store.restoration import being_restored
from handlers.telemetry.logs import Dependency, DependencyLost, Level, Log, Room, Started, Stopped, identifier
from handlers.transport.server import Exchange, HttpServer, RequestHead
from handlers.transport.wire_client import WireClient

SWEEP_S = 1.0
KEEP_ALIVE_S = 10.0
"""Silence after which a waiting client hears that it is not forgotten."""
POD_CONNECTIONS_MAX = 2_048
SETTLE_PATIENCE_S = 5.0
_LOOPBACK = ("127.", "::1")
_OPERATOR_ROUTES = frozenset({"healthz", "readyz", "metrics"})


class Gateway:
    """One gateway process."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        enabled: frozenset[str],
        store: GatewayStore,
        verifier: KeyVerifier,
        wire_keys: dict[str, bytes],
        pods: dict[str, WireClient],
        spool: Spool,
        log: Log,
        behind_edge: bool = False,
    ) -> None:
        self.behind_edge = behind_edge
        self.catalog, self.enabled, self.store, self.verifier = catalog, enabled, store, verifier
        self.eligibility = Eligibility(catalog, enabled)
        self.wire_keys, self.pods, self.log = wire_keys, pods, log
        self.clock, self.monotonic = time.time, time.monotonic
        self.credit = Credit(store, time.monotonic, self.spawn)
        self.recorder = Recorder(spool, store.settle_quietly, log, settled=self.credit.line_settled)
        self.health = Health(seed=int.from_bytes(os.urandom(4), "big"))
        self.sticky = Sticky()
        self.makers = Makers(store, verifier.subkeys(PURPOSE), time.monotonic, self.spawn)
        self.keep_alive_s = KEEP_ALIVE_S
        self.overload = Overload()
        self.hedges = HedgeBudget(time.monotonic)
        self.limits = {slug: ProviderLimit() for slug in pods}
        self.retries = RetryBudget(time.monotonic)
        self.claims = Claims(store, self.spawn)
        self.rates = RateGate(store, time.monotonic, self.spawn)
        self.metrics = GatewayMetrics(sorted(enabled))
        self.byok = ByokBook(store.byok_records)
        self.revocation = RevocationPoller(store, verifier, log, self.byok.forget, self.byok.forget_all)
        self.byok_care = ByokCare(store, catalog, pods, wire_keys)
        self.passages: set[Passage] = set()
        self.server = HttpServer(self._handle, admit=self._admit_head, render_error=self._render_error)
        self._operator: HttpServer | None = None
        self.operator_address = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._seed = int.from_bytes(os.urandom(4), "big")
        self._spool = spool
        self.draining = False
        self.metrics.gauge(
            "therouter_broken_endpoints",
            "Endpoints (per credential) that are open or quarantined.",
            lambda: self.health.snapshot(self.monotonic()).broken,
        )
        self.metrics.gauge(
            "therouter_loop_lag_seconds", "Delay of the event loop's last tick.", lambda: self.overload.lag_ms / 1000
        )
        self.metrics.gauge("therouter_overload_level", "0 calm, 1 to 3: what is refused.", lambda: self.overload.level)
        self.metrics.gauge("therouter_open_requests", "Requests at a provider.", lambda: len(self.passages))
        self.metrics.gauge("therouter_connections", "Open client connections.", lambda: self.server.connections)
        self.metrics.gauge("therouter_spool_bytes", "Usage that is not settled yet.", spool.unsettled_bytes)

    # Life

    async def start(self, listen: str, operator_listen: str = "") -> str:
        """Serve; returns the address that clients use."""
        self.recorder.start()
        self.spawn(self.revocation.run())
        self.spawn(self.byok_care.run())
        self.spawn(self.health.figures.keep_sharing(self.store, asyncio.get_running_loop()))
        self._sweep()
        self.overload.start(asyncio.get_running_loop())
        address = await self.server.listen(listen)
        if operator_listen:
            self._operator = HttpServer(self._handle_operator, admit=self._admit_head, render_error=self._render_error)
            self.operator_address = await self._operator.listen(operator_listen)
        self.log.emit(Started(room=Room.GATEWAY, listen=identifier(address), compiled=is_in_use()))
        return address

    async def stop(self, drain_s: float) -> None:
        """Drain: finish what has started, settle, hand credit back."""
        self.draining = True
        await self.server.drain(drain_s)
        left = len(self.passages)
        for passage in list(self.passages):
            passage.disconnected()
        await self._until_quiet()
        await self.recorder.stop(SETTLE_PATIENCE_S)
        try:
            await self.credit.release_all()
        except TheRouterError:
            self.log.emit(DependencyLost(level=Level.WARNING, dependency=Dependency.DATABASE))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._sweeper is not None:
            self._sweeper.cancel()
        self.overload.stop()
        if self._operator is not None:
            await self._operator.drain(0)
        for pod in self.pods.values():
            await pod.close()
        self.log.emit(Stopped(room=Room.GATEWAY, drained=not left, open_exchanges=left))

    async def _until_quiet(self) -> None:
        for _ in range(20):
            if not self.passages:
                return
            await asyncio.sleep(0.1)

    def not_ready(self) -> list[str]:
        """What this process still waits for; empty when it can serve."""
        waiting = []
        if self.draining:
            waiting.append("draining")
        if not self.recorder.can_write:
            waiting.append("spool")
        if not self.revocation.caught_up:
            waiting.append("database")
        if self.revocation.restoration.behind:
            waiting.append("restore")
        return waiting

    def spawn(self, work: Coroutine[Any, Any, None] | Awaitable[None]) -> None:
        """Run work in the background; its errors are logged, never lost."""
        task = asyncio.ensure_future(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except TheRouterError:
            self.log.emit(DependencyLost(level=Level.WARNING, dependency=Dependency.DATABASE))
        except Exception as error:  # noqa: BLE001 - the last resort: a bug becomes one log line
            self.log.fault(Room.GATEWAY, error)

    def loop_fault(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What nobody caught: its type and place, never the traceback that the loop would print."""
        error = context.get("exception")
        if isinstance(error, BaseException):
            self.log.fault(Room.GATEWAY, error)

    def _sweep(self) -> None:
        now = self.monotonic()
        for passage in list(self.passages):
            passage.sweep(now)
        self.credit.sweep()
        self.rates.sweep()
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    # Requests

    @staticmethod
    def arrival(head: RequestHead) -> Arrival:
        """The notes on a head, begun if there are none; NotFound or MethodNotAllowed when it has no route."""
        notes: Arrival | None = head.notes
        if notes is None:
            notes = head.notes = Arrival(head, find_route(head.method, head.path))
        return notes

    def _admit_head(self, head: RequestHead) -> int:
        return self.arrival(head).route.body_bytes_max

    def _handle(self, exchange: Exchange) -> None:
        arrival: Arrival = exchange.head.notes  # since the head was admitted
        route = arrival.route
        if route.operation:
            pipeline.serve(self, exchange, arrival)
        elif route.method == b"GET":
            queries.answer(self, exchange, route)
        else:
            pipeline.explain(self, exchange, route)

    def _handle_operator(self, exchange: Exchange) -> None:
        route = find_route(exchange.head.method, exchange.head.path)
        if route.name not in _OPERATOR_ROUTES:
            raise NotFound("This listener serves health and metrics only.", code="route_not_found")
        if route.name == "metrics":
            queries.send_metrics(self, exchange)
        else:
            queries.answer(self, exchange, route)

    def _render_error(self, error: TheRouterError, head: RequestHead | None) -> tuple[int, Headers, bytes]:
        cause = error.__cause__
        if cause is not None:
            self.log.fault(Room.GATEWAY, cause)
        self.metrics.refusals.add(str(error.http_status))
        return render(error, _dialect_of(head))

    def is_local(self, exchange: Exchange) -> bool:
        """The request comes from this machine itself."""
        return exchange.head.peer.startswith(_LOOPBACK) or not exchange.head.peer

    # What the stages ask for

    def address_for(self, principal: Principal, head: RequestHead) -> str:
        """Where the client is, for a key that is bound to addresses; empty for any other and when the edge did not say."""
        if not principal.limits.ip_ranges:
            return ""
        if not self.behind_edge:
            return head.peer
        told = head.get(EDGE_HEADERS[self.catalog.region].encode()) or b""
        return told_address(self.catalog.region, told.decode("latin-1"))

    def next_seed(self) -> int:
        """A new seed for each plan; the plan can be made again from it."""
        self._seed = (self._seed * 6364136223846793005 + 1442695040888963407) & 0xFFFF_FFFF_FFFF_FFFF
        return self._seed >> 32

    def refuse_while_closed(self) -> None:
        """Unavailable before the database is known to be the latest: see handlers.store.restoration."""
        if not self.revocation.restoration.open:
            raise being_restored()

    async def recognise(self, token: bytes) -> Principal:
        """Whose key this is, with everything that planning its requests takes; as KeyVerifier.authenticate."""
        self.refuse_while_closed()
        principal = self.verifier.cached(token) or await self.verifier.authenticate(token)
        await self.byok.load(principal.account)
        return principal

    def standing(self, principal: Principal) -> bytes:
        """What the key may still spend, and what is left of its limits if it has any, as header lines."""
        credit_nano = self.credit.remaining_nano(principal.key_id)
        credit = b"" if credit_nano is None else f"x-therouter-credit-remaining: {decimal(credit_nano)}\r\n".encode()
        if self.rates.passes(principal):
            return credit
        left = self.rates.standing(principal)
        if left.requests_limit is None and left.tokens_limit is None:
            return credit
        named = (
            (b"x-ratelimit-limit-requests", left.requests_limit),
            (b"x-ratelimit-remaining-requests", left.requests_remaining),
            (b"x-ratelimit-limit-tokens", left.tokens_limit),
            (b"x-ratelimit-remaining-tokens", left.tokens_remaining),
            (b"x-ratelimit-reset", left.reset_s),
        )
        return credit + b"".join(b"%b: %d\r\n" % (name, value) for name, value in named if value is not None)

    def status_at_edge(self, status: int) -> int:
        """Behind the edge a provider's failure is a 503: for a 502 or 504 the edge would show its page for a dead origin."""
        return 503 if self.behind_edge and status in {502, 504} else status

    def minted(self, account: str, attempt: Attempt, fingerprints: tuple[str, ...]) -> None:
        """An answer carried material that only this attempt's credential can read."""
        self.makers.made(account, Maker(attempt.provider.slug, attempt.health_key), fingerprints)

    def pod_lost(self, provider: str) -> None:
        """A pod went away in the middle of an exchange."""
        self.log.emit(DependencyLost(level=Level.ERROR, dependency=Dependency.POD, name=identifier(provider)))

    def count(self, line: UsageLine) -> None:
        """Metrics of one finished request."""
        self.claims.recorded(line.request_id)
        self.metrics.count(line)


def decimal(nano: int) -> str:
    """Nano-units as units of currency, exact, with nine decimals; never below zero."""
    # Neither a format with a width nor `max`: each touches so much code that a first event waits for it.
    digits = str(nano).zfill(10) if nano > 0 else "0" * 10
    return f"{digits[:-9]}.{digits[-9:]}"


def _dialect_of(head: RequestHead | None) -> str:
    if head is None:
        return "openai_chat"
    try:
        return find_route(b"POST", head.path).dialect
    except TheRouterError:
        return "openai_chat"


__all__ = ["Gateway", "Route"]
