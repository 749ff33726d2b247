"""The HTTP/1.1 client for provider pods: calls, and the pool of connections per origin.

Rules
    A sink hears `response_finished` or `response_failed` exactly once, and nothing after that or after `cancel`.
    A connection returns to its pool only after a complete, clean response; on any doubt it is destroyed.
    Redirects are never followed. The only retry: a kept connection that dies before the first byte of a response had most
    likely been closed by the other end while idle, so the request goes out once more on a fresh one.
    One sweep compares all deadlines; no timer, task or future per request on a warm connection.
"""

from __future__ import annotations

import asyncio
import ssl as tls
from collections import deque
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final, Protocol

from handlers.errors import FailureClass
from handlers.transport.addresses import dial
from handlers.transport.client_connection import UpstreamConnection
from handlers.transport.limits import CallDeadlines, ClientLimits
from handlers.transport.requests import RequestHead, split_origin

__all__ = ["CallDeadlines", "ClientLimits", "RequestHead", "ResponseSink", "UpstreamCall", "UpstreamPool"]

_JOIN_BYTES_MAX: Final = 32 * 1024


class ResponseSink(Protocol):
    """What hears the response; see the rules above."""

    def response_started(self, status: int, headers: dict[str, str]) -> None:
        """The head: the headers that are read (responses.READ_NAMES), and those of the framing; names are lower-case."""

    def data_received(self, data: bytes) -> None:
        """Body bytes without transfer coding, mostly one call per read."""

    def response_finished(self) -> None:
        """The body is complete."""

    def response_failed(self, failure: FailureClass) -> None:
        """CONNECT, TIMEOUT, TRUNCATED or MALFORMED."""


class UpstreamCall:
    """One request under way."""

    __slots__ = (
        "_deadlines", "_phase_limit_ms", "_phase_started_at", "_pool", "_started_at", "_task", "alive", "body", "connection",
        "head", "origin", "paused", "sink",
    )  # fmt: skip

    def __init__(
        self,
        pool: UpstreamPool,
        origin: Origin,
        head: RequestHead,
        body: bytes,
        sink: ResponseSink | None,
        deadlines: CallDeadlines,
    ) -> None:
        self._pool = pool
        self._deadlines = deadlines
        self._started_at = self._phase_started_at = monotonic()
        self._phase_limit_ms = deadlines.connect_ms
        self._task: asyncio.Task[None] | None = None
        self.origin = origin
        self.head = head
        self.body = body
        """Kept until the first byte of the response, for the one retry."""
        self.sink = sink
        """None once the call is over."""
        self.connection: UpstreamConnection | None = None
        self.alive = False
        """Bytes arrived, or a phase began, since the last sweep: the sweep starts its clock anew, so that no chunk has to."""
        self.paused = False

    def cancel(self) -> None:
        """Close the connection at once. The sink, if there is one yet, hears nothing more."""
        if self in self._pool.calls:
            self._end()
            self._release_resources()

    def pause_reading(self) -> None:
        """Take no more data; the upstream is slowed down by TCP, and silence is not counted against it."""
        if self.connection is not None and self.sink is not None and not self.paused:
            self.paused = True
            self.connection.transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on after `pause_reading`."""
        if self.paused:
            self.paused = False
            self.alive = True
            if self.connection is not None:
                self.connection.transport.resume_reading()

    # For the pool and its connections

    def open(self) -> None:
        """Connect for this call."""
        connection = UpstreamConnection(self._pool, self.origin)
        self._task = asyncio.get_running_loop().create_task(self._pool.connect(connection))
        # A callback and not code within the task: a task that is cancelled before its first step runs none of its code.
        self._task.add_done_callback(partial(self._opened, connection))

    def _opened(self, connection: UpstreamConnection, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            self._pool.open_failed(connection)
        elif task.exception() is not None:
            self._pool.open_failed(connection)
            self.fail(FailureClass.CONNECT)
        elif self.sink is None:
            connection.kill()
        else:
            self.send_over(connection)

    def send_over(self, connection: UpstreamConnection) -> None:
        """Hand the request to a connection."""
        self.connection = connection
        self.alive = True
        self._phase_limit_ms = self._deadlines.headers_ms
        connection.begin(self)
        body = self.body
        head = self.head.encode(len(body))
        if len(body) <= _JOIN_BYTES_MAX:
            connection.transport.write(head + body)
        else:
            connection.transport.writelines((head, body))

    def head_completed(self) -> None:
        """From now on silence is what is timed."""
        self.alive = True
        self._phase_limit_ms = self._deadlines.between_bytes_ms

    def try_again(self) -> None:
        """The one retry: it goes over a fresh connection, whose loss is never followed by another."""
        self.connection = None
        self.alive = True
        self._phase_limit_ms = self._deadlines.connect_ms
        self._pool.assign(self, fresh=True)

    def finish(self) -> None:
        """The response is complete, and its connection has been dealt with."""
        sink = self._end()
        if sink is not None:
            sink.response_finished()

    def fail(self, failure: FailureClass) -> None:
        """End the call, once, with a failure."""
        sink = self._end()
        if sink is not None:
            self._release_resources()
            sink.response_failed(failure)

    def check_deadlines(self, now: float) -> None:
        """Fail when time is up."""
        if self.alive:
            self.alive = False
            self._phase_started_at = now
        phase_ms, total_ms = (now - self._phase_started_at) * 1000, (now - self._started_at) * 1000
        if total_ms >= self._deadlines.total_ms or (phase_ms >= self._phase_limit_ms and not self.paused):
            self.fail(FailureClass.CONNECT if self.connection is None else FailureClass.TIMEOUT)

    def _end(self) -> ResponseSink | None:
        sink, self.sink = self.sink, None
        self._pool.calls.discard(self)
        return sink

    def _release_resources(self) -> None:
        if self.connection is not None:
            self.connection.kill()
        elif self._task is not None:
            self._task.cancel()
        else:
            self._pool.withdraw(self)


@dataclass(slots=True, eq=False)
class Origin:
    """One scheme, host and port, with its connections."""

    host: str
    port: int
    encrypted: bool
    idle: list[UpstreamConnection]
    waiting: deque[UpstreamCall]
    connections: int = 0


def parse_origin(origin: str) -> Origin:
    """Read `scheme://host[:port]`; ValueError when it is anything else."""
    scheme, host, port, _ = split_origin(origin)
    return Origin(host, port, scheme == "https", [], deque())


class UpstreamPool:
    """Connections to every origin that this process calls. All methods belong to the event loop's thread."""

    def __init__(self, *, limits: ClientLimits | None = None, ssl_context: tls.SSLContext | None = None) -> None:
        """`ssl_context`: by default the system's trust store, names verified, TLS 1.2 or newer."""
        self.limits = limits or ClientLimits()
        self._ssl_context = ssl_context
        self._origins: dict[str, Origin] = {}
        self.calls: set[UpstreamCall] = set()
        """Those that are not over."""
        self._open: set[UpstreamConnection] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    def send(self, head: RequestHead, body: bytes, sink: ResponseSink | None, deadlines: CallDeadlines) -> UpstreamCall:
        """Start a call; the sink hears nothing before this returns.

        Who has no sink yet sets `call.sink` at once: a sink that takes long to make is made while the request is under way.
        """
        origin = self._origins.get(head.origin)
        if origin is None:
            origin = self._origins[head.origin] = parse_origin(head.origin)
        call = UpstreamCall(self, origin, head, body, sink, deadlines)
        self.assign(call)
        self.calls.add(call)
        if self._sweeper is None:
            self._start_sweeping()
        return call

    async def close(self) -> None:
        """Close all connections; open calls fail."""
        self._closed = True
        for call in list(self.calls):
            call.fail(FailureClass.CONNECT if call.connection is None else FailureClass.TRUNCATED)
        for connection in list(self._open):
            connection.kill()
        await self._empty.wait()
        if self._sweeper is not None:
            self._sweeper.cancel()

    # For calls and connections

    def assign(self, call: UpstreamCall, *, fresh: bool = False) -> None:
        """Find a connection for a call: an idle one (the most recent first), a new one, or the queue for one."""
        origin = call.origin
        while origin.idle and not fresh:
            connection = origin.idle.pop()
            if not connection.transport.is_closing():
                call.send_over(connection)
                return
        if self._closed or len(origin.waiting) >= self.limits.waiting_per_origin:
            asyncio.get_running_loop().call_soon(call.fail, FailureClass.CONNECT)
        elif origin.connections < self.limits.connections_per_origin:
            origin.connections += 1
            call.open()
        else:
            origin.waiting.append(call)

    async def connect(self, connection: UpstreamConnection) -> None:
        """Resolve, connect and shake hands. Raises OSError or ValueError."""
        origin = connection.origin
        context = (self._ssl_context or self._create_context()) if origin.encrypted else None
        await dial(lambda: connection, origin.host, origin.port, ssl=context)

    def _create_context(self) -> tls.SSLContext:
        self._ssl_context = context = tls.create_default_context()
        context.minimum_version = tls.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        return context

    def open_failed(self, connection: UpstreamConnection) -> None:
        """A connection could not be opened, or not in time."""
        if connection in self._open:
            connection.kill()
        else:
            self._vacate(connection.origin)

    def opened(self, connection: UpstreamConnection) -> None:
        """A connection exists."""
        self._open.add(connection)
        self._empty.clear()

    def released(self, connection: UpstreamConnection) -> None:
        """A connection has completed a response cleanly."""
        origin = connection.origin
        if self._closed:
            connection.kill()
        elif origin.waiting:
            origin.waiting.popleft().send_over(connection)
        else:
            origin.idle.append(connection)

    def lost(self, connection: UpstreamConnection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        if not self._open:
            self._empty.set()
        if connection in connection.origin.idle:
            connection.origin.idle.remove(connection)
        self._vacate(connection.origin)

    def _vacate(self, origin: Origin) -> None:
        origin.connections -= 1
        if origin.waiting and not self._closed and origin.connections < self.limits.connections_per_origin:
            origin.connections += 1
            origin.waiting.popleft().open()

    def withdraw(self, call: UpstreamCall) -> None:
        """A call has ended while it waited for a connection."""
        if call in call.origin.waiting:
            call.origin.waiting.remove(call)

    def _start_sweeping(self) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(self.limits.sweep_s, self._sweep)

    def _sweep(self) -> None:
        now = monotonic()
        for call in list(self.calls):
            call.check_deadlines(now)
        for origin in self._origins.values():
            for connection in origin.idle:
                connection.idle_since = connection.idle_since or now
            while origin.idle and now - origin.idle[0].idle_since > self.limits.idle_s:
                origin.idle.pop(0).kill()
        self._sweeper = None
        if self.calls or self._open:
            self._start_sweeping()
