"""One client connection of the HTTP server.

Theory of operation
    HEAD      waiting for, or reading, a request head       deadline: idle, then head
    BODY      reading the body                              deadline: average rate
    BUSY      the exchange is with the handler              no deadline but the write stall; further bytes are kept, bounded
    LINGER    refused; the answer is written, input is discarded so that the client gets to read it
    CLOSING   closed on our side, flushing                  deadline: write stall, then abort

    A connection serves one request at a time. Bytes that arrive early wait; after any refusal nothing more is read as HTTP.
    A client that closes its side while its request is being served counts as gone: that is the only sign there is.
    Deadlines are plain numbers which the server's sweep compares once a second: no timer per request.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from time import monotonic
from typing import Protocol, cast

from handlers.errors import InvalidRequest, PayloadTooLarge, RequestTimeout, TheRouterError, Unavailable
from handlers.transport.bodies import ChunkedDecoder, MalformedChunks, Pieces
from handlers.transport.exchange import Exchange, Headers
from handlers.transport.limits import ServerLimits
from handlers.transport.request_head import RepeatedHead, RequestHead, check_partial_head

HEAD, BODY, BUSY, LINGER, CLOSING = range(5)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Server(Protocol):
    """What a connection needs of its server."""

    handler: Callable[[Exchange], None]
    admit: Callable[[RequestHead], int]
    render_error: Callable[[TheRouterError, RequestHead | None], tuple[int, Headers, bytes]]
    limits: ServerLimits
    draining: bool

    @property
    def connections(self) -> int:
        """How many are open."""

    def opened(self, connection: ServerConnection) -> None:
        """A connection exists."""

    def closed(self, connection: ServerConnection) -> None:
        """A connection is gone."""


class ServerConnection(asyncio.Protocol):
    """The protocol object of one client connection."""

    __slots__ = (
        "_body_started_at", "_buffer", "_decoder", "_early", "_early_overflow", "_head", "_heads", "_limit", "_peer", "_pieces",
        "_received_at", "_scanned", "_server", "_transport", "_write_paused", "deadline", "exchange", "phase",
        "write_deadline",
    )  # fmt: skip

    def __init__(self, server: Server) -> None:
        self._server = server
        self.phase = HEAD
        self.exchange: Exchange | None = None
        self.deadline = math.inf
        self.write_deadline = math.inf
        self._buffer: bytearray | None = None
        """An incomplete head."""
        self._scanned = 0
        self._heads = RepeatedHead()
        self._early = b""
        """Bytes of the next request, which came before this response was complete."""
        self._early_overflow = False
        self._write_paused = False
        self._received_at = 0.0
        self._body_started_at = 0.0
        self._limit = 0
        self._head: RequestHead | None = None
        self._pieces: Pieces | None = None
        self._decoder: ChunkedDecoder | None = None

    @property
    def draining(self) -> bool:
        """Whether the server wants connections to end after their response."""
        return self._server.draining

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection in, or answer 503 when there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        self.deadline = monotonic() + self._server.limits.keep_alive_s
        self._server.opened(self)
        if self._server.connections > self._server.limits.connections:
            self._refuse(Unavailable("Too many connections; retry in a moment.", retry_after_s=1), None)

    def data_received(self, data: bytes) -> None:
        """Advance the state machine by what arrived."""
        phase = self.phase
        if phase == HEAD:
            if self._buffer is None:
                self._received_at = monotonic()
            self._read_head(data)
        elif phase == BODY:
            self._read_body(data)
        elif phase == BUSY:
            self._keep_early(data)

    def eof_received(self) -> bool:
        """The client closed its side: whatever it asked for, it cannot be assumed to be there."""
        if self.exchange is not None:
            self._disconnect()
            self._transport.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 the reason does not matter
        """Release what the connection holds, and tell the handler if it is at work."""
        self.phase = CLOSING
        self._server.closed(self)
        self._disconnect()

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._write_paused = True
        self.write_deadline = monotonic() + self._server.limits.write_stall_s
        exchange = self.exchange
        if exchange is not None and exchange.on_pause is not None:
            exchange.on_pause()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._write_paused = False
        self.write_deadline = math.inf
        exchange = self.exchange
        if exchange is not None and exchange.on_resume is not None:
            exchange.on_resume()

    # Reading

    def _read_head(self, data: bytes) -> None:
        buffer = self._buffer
        if buffer is None:
            end = data.find(b"\r\n\r\n")
        else:
            buffer += data
            end = buffer.find(b"\r\n\r\n", self._scanned)
        if end < 0:
            self._await_rest_of_head(data)
            return
        if buffer is not None:
            data = bytes(buffer)
            self._buffer = None
            self._scanned = 0
        head = None
        try:
            head = self._heads.read(data[:end], self._server.limits, self._peer)
            self._admit(head)
        except TheRouterError as error:
            self._answer(error, head, data[end + 4 :])
        except Exception as error:  # noqa: BLE001 the boundary: whatever admit lets out becomes a 500
            self._answer(_internal(error), head, data[end + 4 :])
        else:
            self._begin_body(head, data, end + 4)

    def _admit(self, head: RequestHead) -> None:
        self._limit = self._server.admit(head)
        if (head.body_length or 0) > self._limit:
            raise self._too_large()

    def _await_rest_of_head(self, data: bytes) -> None:
        buffer = self._buffer
        if buffer is None:
            buffer = self._buffer = bytearray(data)
            self.deadline = self._received_at + self._server.limits.head_s
        try:
            check_partial_head(buffer, max(0, self._scanned - 1), self._server.limits)
        except TheRouterError as error:
            self._refuse(error, None)
        self._scanned = max(0, len(buffer) - 3)

    def _begin_body(self, head: RequestHead, data: bytes, start: int) -> None:
        length = head.body_length
        if length is not None and len(data) - start >= length:
            end = start + length
            if len(data) > end:
                self._keep_early(data[end:])
            self._dispatch(head, data[start:end])
            return
        self._head = head
        self._pieces = Pieces()
        self._decoder = ChunkedDecoder() if length is None else None
        self.phase = BODY
        self._body_started_at = monotonic()
        self.deadline = self._body_started_at + self._server.limits.body_grace_s
        if len(data) > start:
            self._read_body(data[start:])
        elif head.expects_continue:
            self._transport.write(CONTINUE)

    def _read_body(self, data: bytes) -> None:
        pieces, head = self._pieces, self._head
        assert pieces is not None and head is not None  # noqa: S101, PT018 the phase says so
        if self._decoder is not None:
            self._read_chunked_body(data, self._decoder, pieces, head)
            return
        length = head.body_length or 0
        missing = length - pieces.length
        if len(data) < missing:
            pieces.add(data)
            return
        if len(data) > missing:
            self._keep_early(data[missing:])
            data = data[:missing]
        pieces.add(data)
        self._dispatch(head, pieces.join())

    def _read_chunked_body(self, data: bytes, decoder: ChunkedDecoder, pieces: Pieces, head: RequestHead) -> None:
        try:
            piece = decoder.feed(data)
        except MalformedChunks as error:
            self._refuse(InvalidRequest(str(error)), head)
            return
        if piece:
            pieces.add(piece)
            if pieces.length > self._limit:
                self._refuse(self._too_large(), head)
                return
        if decoder.done:
            if decoder.rest:
                self._keep_early(decoder.rest)
            self._dispatch(head, pieces.join())

    def _keep_early(self, data: bytes) -> None:
        if len(self._early) + len(data) > self._server.limits.pipelined_bytes:
            self._early = b""
            self._early_overflow = True
        elif not self._early_overflow:
            self._early += data

    # Answering

    def _dispatch(self, head: RequestHead, body: bytes) -> None:
        self._head = self._pieces = self._decoder = None
        self.phase = BUSY
        self.deadline = math.inf
        exchange = self.exchange = Exchange(self, self._transport, head, body, self._received_at)
        try:
            self._server.handler(exchange)
        except TheRouterError as error:
            self._fail(exchange, error)
        except Exception as error:  # noqa: BLE001 the boundary: whatever a handler lets out becomes a 500
            self._fail(exchange, _internal(error))
        if self._write_paused and not exchange.closed and exchange.on_pause is not None:
            exchange.on_pause()

    def _fail(self, exchange: Exchange, error: TheRouterError) -> None:
        if exchange.started:
            exchange.abort()
        else:
            exchange.send(*self._render(error, exchange.head))

    def exchange_completed(self, *, keep_alive: bool) -> None:
        """The exchange has written its last byte."""
        if self.exchange is not None:
            self.exchange.release_callbacks()
            self.exchange = None
        if not keep_alive or self._early_overflow or self._server.draining:
            self.close()
        elif self._early:
            asyncio.get_running_loop().call_soon(self._read_early)
        else:
            self.phase = HEAD
            self.deadline = monotonic() + self._server.limits.keep_alive_s

    def _read_early(self) -> None:
        if self.phase == BUSY:
            data, self._early = self._early, b""
            self.phase = HEAD
            self.deadline = math.inf
            self.data_received(data)

    def _answer(self, error: TheRouterError, head: RequestHead | None, rest: bytes) -> None:
        """Answer an error at the head; the connection survives it only if nothing else can have been meant."""
        if head is None or head.body_length != 0 or not head.keep_alive:
            self._refuse(error, head)
            return
        self.phase = BUSY
        if rest:
            self._keep_early(rest)
        exchange = self.exchange = Exchange(self, self._transport, head, b"", self._received_at)
        self._fail(exchange, error)

    def _refuse(self, error: TheRouterError, head: RequestHead | None) -> None:
        """Answer and close; input is discarded for a moment, since closing on unread input would destroy the answer."""
        answered = head or RequestHead(b"GET", b"*", [])
        answered.keep_alive = False
        self._buffer = self._head = self._pieces = self._decoder = None
        self._early_overflow = True
        self.phase = LINGER
        Exchange(self, self._transport, answered, b"", 0.0).send(*self._render(error, head))

    def _render(self, error: TheRouterError, head: RequestHead | None) -> tuple[int, Headers, bytes]:
        try:
            return self._server.render_error(error, head)
        except Exception:  # noqa: BLE001 an error page that fails must not leave the client without an answer
            return 500, [], b""

    def _too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(
            f"The request body is larger than {self._limit} bytes; send less.", detail={"limit_bytes": self._limit}
        )

    # Ending

    def close(self) -> None:
        """Close after flushing; a refused client first gets a moment to read the answer."""
        limits = self._server.limits
        if self.phase == LINGER:
            self.deadline = monotonic() + limits.linger_s
            if self._transport.can_write_eof():
                self._transport.write_eof()
            return
        self.phase = CLOSING
        self.deadline = monotonic() + limits.write_stall_s
        self._transport.close()

    def close_if_idle(self) -> None:
        """For draining: a connection between requests has nothing to lose."""
        if self.phase == HEAD and self._buffer is None:
            self.close()

    def expire(self, now: float) -> None:
        """A deadline has passed."""
        if self.write_deadline <= now or self.phase == CLOSING:
            self.kill()
        elif self.phase == LINGER:
            self.phase = CLOSING
            self.close()
        elif self.phase == BODY:
            self._judge_body_rate(now)
        elif self._buffer is not None:
            self._refuse(RequestTimeout("The request head was not complete in time."), None)
        else:
            self.close()

    def _judge_body_rate(self, now: float) -> None:
        received = self._pieces.length if self._pieces is not None else 0
        if received < self._server.limits.body_bytes_per_s * (now - self._body_started_at):
            self._refuse(RequestTimeout("The request body arrived too slowly."), self._head)
        else:
            self.deadline = now + self._server.limits.sweep_s

    def kill(self) -> None:
        """Drop the connection and all that was not flushed."""
        self._disconnect()
        self._transport.abort()

    def _disconnect(self) -> None:
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.closed = True
            on_disconnect = exchange.on_disconnect
            exchange.release_callbacks()
            if on_disconnect is not None:
                on_disconnect()


def _internal(cause: Exception) -> TheRouterError:
    """The error shown for an exception that nobody expected; `__cause__` is for counting by type, never for its text."""
    error = TheRouterError("An internal error occurred; retry, and tell us the request id if it persists.")
    error.__cause__ = cause
    return error
