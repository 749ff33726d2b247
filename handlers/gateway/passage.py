"""Dispatch and meter: one request's way through its attempts, driven by what the provider pods send.

Rules
    Until the first semantic bytes go to the client nothing is committed, and a failed attempt is followed by the next one
    of the plan, from the same frozen call. After that, no other attempt is made: nothing of two providers is ever spliced.
    Bytes that tell the client "finished" are sent only after the usage line is in the spool.
    Exactly one usage line per passage, whatever happens: completed, failed, cancelled by the client, pod killed.

Theory of operation
    A passage is the sink of a wire call. It has no task and no future of its own: `head_received`, `data_received`,
    `usage_received`, `ended` and `lost` arrive as plain calls from the wire connection's protocol, and each does its work
    and returns. Data is forwarded without being read. What is held back before the commit (a head, role-only chunks) is
    bounded by UNCOMMITTED_BYTES_MAX.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from handlers.errors import FAILURES, FailureClass
from handlers.gateway.disclosure import adaptations, answer_lines, facts, failure_error, opening, with_facts
from handlers.gateway.dispatch import failed_attempt, wire_request
from handlers.gateway.metering import estimate, line_for
from handlers.gateway.refusals import DEFAULT_KEEP_ALIVE, KEEP_ALIVE, render, stream_error
from handlers.translation.canonical.usage import NO_USAGE, Usage
from handlers.transport.wire import PLAIN_HEAD, WireEnd, WireHead

if TYPE_CHECKING:
    from handlers.gateway.attempts import Attempt, RoutePlan
    from handlers.gateway.authorize import Grant
    from handlers.gateway.call import Call
    from handlers.gateway.concurrency import Place, ProviderLimit
    from handlers.gateway.credit import Hold
    from handlers.gateway.hedging import Race
    from handlers.gateway.room import Gateway
    from handlers.transport.exchange import Responder
    from handlers.transport.wire_client import WireCall

UNCOMMITTED_BYTES_MAX = 256 * 1024
CANCEL_PATIENCE_S = 1.0
MEASURED_S_MIN = 0.02
"""An answer that came faster was ready before it was streamed; its tokens per second say nothing."""
JSON_ANSWERS = frozenset({"chat", "completions", "embeddings", "moderations", "rerank", "images", "count_tokens"})
"""Operations whose whole answer is one JSON value, before which white space means nothing."""
_SSE = "text/event-stream"
_JSON = "application/json"


class Passage:
    """One request between its hold and its record."""

    __slots__ = (
        "_admitted_at_s", "_attempt", "_call", "_cancelled_at", "_committed_at", "_dispatched_at", "_exchange",
        "_gateway", "_grant", "_head", "_held_back", "_hold", "_index", "_limit", "_place", "_plan", "_previous", "_race",
        "_started_at", "_usage", "_wire", "attempts", "bytes_out", "closed", "committed", "events", "first_event_ms",
        "quiet_since", "request_id",
    )  # fmt: skip

    def __init__(
        self,
        gateway: Gateway,
        exchange: Responder,
        call: Call,
        grant: Grant,
        plan: RoutePlan,
        hold: Hold,
        request_id: str,
        race: Race | None = None,
    ) -> None:
        self._race = race
        self._gateway, self._exchange, self._call, self._grant = gateway, exchange, call, grant
        self._plan, self._hold, self.request_id = plan, hold, request_id
        self._index = 0
        self._attempt: Attempt = plan.attempts[0]
        self._wire: WireCall | None = None
        self._head: WireHead | None = None
        self._held_back: list[bytes] = []
        self._usage: Usage = NO_USAGE
        self._previous: list[tuple[Attempt, FailureClass]] = []
        self._limit: ProviderLimit
        self._place: Place | None = None
        self.events = call.stream and not (call.route.dialect == "google_generate" and "alt=sse" not in call.target)
        """The answer is a stream of server-sent events."""
        self._started_at = exchange.received_at
        self._admitted_at_s = int(gateway.clock())
        self.quiet_since = exchange.received_at
        self._cancelled_at = self._dispatched_at = self._committed_at = 0.0
        self.attempts = 1
        self.bytes_out = 0
        self.first_event_ms: int | None = None
        self.committed = self.closed = False

    # The way in

    def start(self) -> None:
        """Make the first attempt."""
        exchange = self._exchange
        exchange.on_disconnect = self.disconnected
        exchange.on_pause, exchange.on_resume = self._pause, self._resume
        self._gateway.passages.add(self)
        self._gateway.retries.requested()
        self._enter()

    def join(self, race: Race, lane: Responder, plan: RoutePlan) -> None:
        """Go on beside a rival, for a client that both share (hedging.py); `plan` is what is left for this one."""
        self._race, self._exchange, self._plan = race, lane, plan
        lane.on_disconnect, lane.on_pause, lane.on_resume = self.disconnected, self._pause, self._resume

    def _try(self, index: int) -> None:
        """Make another attempt."""
        self._index = index
        self.attempts += 1
        self._attempt = self._plan.attempts[index]
        self._head, self._usage = None, NO_USAGE
        self._held_back.clear()
        self._enter()

    def _enter(self) -> None:
        limit = self._limit = self._gateway.limits[self._attempt.provider.slug]
        account = self._grant.principal.account
        if limit.try_enter(account):
            self._dispatch()
            return
        self._place = limit.stand_in_line(account, self._admitted, self._turned_away)
        if self._place is None:
            self._turned_away()

    def _admitted(self) -> None:
        """The provider has a place for us."""
        self._place = None
        self._dispatch()

    def _turned_away(self) -> None:
        """We waited for a place in vain: our shortage, which says nothing about the provider."""
        self._end_undispatched(FailureClass.OVERLOADED)

    def _end_undispatched(self, failure: FailureClass) -> None:
        self._place = None
        if self.attempts > 1:
            self._gateway.retries.failed(self._attempt.endpoint.id, FailureClass.CANCELLED)
        self._conclude(failure, WireEnd(failure=failure), b"", monotonic())

    def _dispatch(self) -> None:
        attempt, gateway, call = self._attempt, self._gateway, self._call
        account = self._grant.principal.account
        gateway.health.begin(attempt.endpoint.id, attempt.health_key)
        now = self._dispatched_at = monotonic()
        request = wire_request(
            attempt,
            call,
            self._exchange,
            request_id=self.request_id,
            account=account,
            number=self.attempts,
            key=gateway.wire_keys[attempt.provider.slug],
            now_s=int(gateway.clock()) if self.attempts > 1 else self._admitted_at_s,
            byok_sealed=gateway.byok.sealed(account, attempt.record) if attempt.record else "",
            output_tokens_max=self._hold.output_tokens_max,
            elapsed_ms=int((now - self._started_at) * 1000) if self.attempts > 1 else 0,
        )
        self._wire = gateway.pods[attempt.provider.slug].call(request, call.body, self)

    # What the wire says

    def head_received(self, head: WireHead) -> None:
        """Keep it until there is something to commit to."""
        self._head = head

    def data_received(self, data: bytes, semantic: bool) -> None:  # noqa: FBT001 - the wire's own signature
        """Forward, once committed; hold back what is not semantic before that."""
        self.bytes_out += len(data)
        if self.committed:
            self.quiet_since = monotonic()
            self._exchange.write(data)
            return
        self._held_back.append(data)
        if semantic or sum(map(len, self._held_back)) > UNCOMMITTED_BYTES_MAX:
            self._commit()

    def usage_received(self, usage: Usage) -> None:
        """Cumulative; the last one known serves if the pod dies."""
        self._usage = usage

    def ended(self, end: WireEnd, final: bytes) -> None:
        """The attempt is over."""
        self._wire = None
        self._usage = end.usage
        is_known = self._committed_at and end.first_event_ms
        waited_ms = (self._committed_at - self._dispatched_at) * 1000 - end.first_event_ms if is_known else None
        now = monotonic()
        self._limit.leave(self._grant.principal.account, waited_ms, now)
        if end.minted:
            self._gateway.minted(self._grant.principal.account, self._attempt, end.minted)
        if end.semantic and self.first_event_ms is None:
            self.first_event_ms = end.first_event_ms
        if end.failure is None:
            self._succeed(end, final, now)
        else:
            self._fail(end, final, now)

    def lost(self) -> None:
        """The pod went away without an end: what it produced so far is metered, flagged as estimated."""
        self._wire = None
        self._usage = estimate(self._usage, self._call, self.bytes_out)
        now = monotonic()
        self._limit.leave(self._grant.principal.account, None, now)
        self._gateway.pod_lost(self._attempt.provider.slug)
        failure = FailureClass.TRUNCATED if self.committed else FailureClass.CONNECT
        self._fail(WireEnd(usage=self._usage, failure=failure, semantic=self.committed), b"", now)

    # What the client does

    def disconnected(self) -> None:
        """The client is gone: stop the provider at once; its end frame tells what was produced."""
        if self._wire is not None and not self._cancelled_at:
            self._cancelled_at = monotonic()
            self._wire.stop()
        elif self._place is not None:
            self._place.leave()
            self._end_undispatched(FailureClass.CANCELLED)

    def _pause(self) -> None:
        if self._wire is not None:
            self._wire.pause_reading()

    def _resume(self) -> None:
        if self._wire is not None:
            self._wire.resume_reading()

    # The ways out

    def _commit(self) -> None:
        self.committed = True
        self.quiet_since = self._committed_at = monotonic()
        if self.first_event_ms is None:
            self.first_event_ms = int((self.quiet_since - self._started_at) * 1000)
        data = self._with_facts(b"".join(self._held_back))
        self._held_back.clear()
        exchange = self._exchange
        if not exchange.started:
            head = self._head or WireHead(status=200, content_type=_SSE)
            exchange.start(head.status, [], self._lines(head))
        exchange.write(data)

    def _with_facts(self, data: bytes) -> bytes:
        """The beginning of the body, which says who serves it where the head left too early or the client asks for it."""
        if not self._exchange.started and not self._exchange.head.notes.wants_facts:
            return data
        return with_facts(data, self._attempt, self.attempts, events=self.events)

    def _succeed(self, end: WireEnd, final: bytes, now: float) -> None:
        attempt, gateway = self._attempt, self._gateway
        gateway.health.succeeded(attempt.endpoint.id, attempt.health_key, self._grant.principal.account, now)
        gateway.retries.succeeded(attempt.endpoint.id, is_fallback=self.attempts > 1)
        if self._plan.conversation:
            gateway.sticky.remember(self._plan.conversation, attempt.endpoint.id, attempt.health_key, now)
        if self._call.stream and end.first_event_ms:
            span_s = now - self._dispatched_at - end.first_event_ms / 1000
            if span_s > MEASURED_S_MIN:
                rate = end.usage.completion_tokens / span_s
                gateway.health.measured(attempt.endpoint.id, end.first_event_ms, rate)
                gateway.metrics.rate.observe(rate, attempt.provider.slug)
        status = self._head.status if self._head else 200
        self._record(status, None, end, now)
        self._deliver(status, final)

    def _deliver(self, status: int, final: bytes) -> None:
        exchange = self._exchange
        if exchange.closed:
            return
        body = b"".join((*self._held_back, final)) if self._held_back else final
        body = body if self.committed else self._with_facts(body)
        if exchange.started:
            exchange.finish(body)
            return
        head = self._head or PLAIN_HEAD
        if self._call.stream and head.content_type.startswith(_SSE):
            exchange.start(status, [], self._lines(head))
            exchange.finish(body)
        else:
            exchange.send(status, [], body, self._lines(head))

    def _fail(self, end: WireEnd, final: bytes, now: float) -> None:
        failure = end.failure or FailureClass.MALFORMED
        attempt, gateway = self._attempt, self._gateway
        self._tell(end, failure, now)
        account = self._grant.principal.account
        retry_after_s = end.retry_after_ms / 1000
        gateway.health.failed(attempt.endpoint.id, attempt.health_key, account, failure, retry_after_s, now)
        if self.attempts > 1:
            gateway.retries.failed(attempt.endpoint.id, failure)
        self._conclude(failure, end, final, now)

    def _conclude(self, failure: FailureClass, end: WireEnd, final: bytes, now: float) -> None:
        """The attempt has failed: make the next one, or tell the client."""
        self._previous.append((self._attempt, failure))
        index = self._next_index(failure)
        if index is not None:
            self._try(index)
            return
        error = failure_error(failure, end, self._call, self._plan, self._previous)
        error.http_status = self._gateway.status_at_edge(error.http_status)
        self._record(error.http_status, failure, end, now)
        exchange = self._exchange
        if exchange.closed or (self._race is not None and self._race.goes_on_without(exchange)):
            return
        dialect = self._call.route.dialect
        if exchange.started and (self.events or final):
            exchange.finish(final or stream_error(error, dialect, self.request_id))
            return
        status, headers, body = render(error, dialect, self.request_id)
        if not exchange.started:
            exchange.send(status, headers + facts(self._attempt, self.attempts, self._hold.output_tokens_max), body)
        elif self.committed:
            exchange.abort()  # in the middle of one JSON value nothing can be told; the missing end tells it
        else:
            exchange.finish(body)

    def _next_index(self, failure: FailureClass) -> int | None:
        """Which attempt of the plan comes next, if any may.

        The last one is made once more when its provider, or its pod, could not be reached: another replica may answer.
        """
        if self.committed or self._exchange.closed or not FAILURES[failure].try_next:
            return None
        attempts = self._plan.attempts
        index = self._index + 1
        if index == len(attempts):
            if failure is not FailureClass.CONNECT or self.attempts > index:
                return None
            index = self._index
        return index if self._gateway.retries.allow(attempts[index].endpoint.id, failure) else None

    def _record(self, status: int, failure: FailureClass | None, end: WireEnd, now: float) -> None:
        self.closed = True
        gateway = self._gateway
        gateway.passages.discard(self)
        cancelled = self._exchange.closed and failure is not None and not end.semantic
        line = line_for(
            request_id=self.request_id,
            grant=self._grant,
            attempt=self._attempt,
            call=self._call,
            usage=end.usage,
            semantic=end.semantic or (failure is None),
            status=499 if cancelled else status,
            failure=failure,
            latency_ms=int((now - self._started_at) * 1000),
            first_event_ms=self.first_event_ms,
            attempts=self.attempts,
            hold=self._hold,
            admitted_at_s=self._admitted_at_s,
        )
        gateway.recorder.record(line)
        gateway.credit.settle(self._hold, line.cost_nano)
        gateway.rates.settle(self._grant.principal, len(self._call.body), line.prompt_tokens + line.completion_tokens)
        gateway.count(line)

    def _tell(self, end: WireEnd, failure: FailureClass, now: float) -> None:
        attempt, gateway = self._attempt, self._gateway
        ms = int((now - self._started_at) * 1000)
        gateway.metrics.failed_attempts.add(attempt.provider.slug, FAILURES[failure].code)
        gateway.log.emit(failed_attempt(attempt, self.request_id, self.attempts, ms, failure, end.upstream_status))

    def _lines(self, head: WireHead) -> bytes:
        """The headers of an answer, as lines."""
        clamp, streams = self._hold.output_tokens_max, self._call.stream
        lines = answer_lines(self._attempt, self.attempts, clamp, head.content_type, streams=streams)
        told = adaptations(head) if head.headers else b""
        standing = self._gateway.standing(self._grant.principal)
        return b"".join((lines, told, f"x-request-id: {self.request_id}\r\n".encode(), standing))

    # Once a second, from the gateway's sweep

    def sweep(self, now: float) -> None:
        """Who is kept waiting hears something from second 10 on, which commits to nothing.

        A stream of events gets a comment, or a ping; an answer that is one JSON value gets a space before it. With the first
        of them the status is 200: a failure is told in the body from then on. A pod that was told to stop and has not said
        what was produced within CANCEL_PATIENCE_S is cut off.
        """
        if self._cancelled_at and now - self._cancelled_at > CANCEL_PATIENCE_S and self._wire is not None:
            self._wire.abandon()
            return
        if self.closed or now - self.quiet_since < self._gateway.keep_alive_s:
            return
        call = self._call
        if not self.events and (self.committed or call.route.operation not in JSON_ANSWERS):
            return
        self.quiet_since = now
        sign = KEEP_ALIVE.get(call.route.dialect, DEFAULT_KEEP_ALIVE) if self.events else b" "
        standing = self._gateway.standing(self._grant.principal)
        headers = opening(self.request_id, _SSE if self.events else _JSON, streams=call.stream)
        if self._race is not None and not self.committed:
            self._race.reassure(headers, standing, sign)
            return
        if not self._exchange.started:
            self._exchange.start(200, headers, standing)
        self._exchange.write(sign)
