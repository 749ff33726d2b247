"""One connection to an upstream: reads responses strictly, one call at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from handlers.errors import FailureClass
from handlers.transport.bodies import ChunkedDecoder, MalformedChunks
from handlers.transport.header_fields import MalformedHead
from handlers.transport.responses import CHUNKED, UNTIL_CLOSE, parse_response_head

if TYPE_CHECKING:
    from handlers.transport.client import Origin, UpstreamCall, UpstreamPool


class UpstreamConnection(asyncio.Protocol):
    """The protocol object of one upstream connection."""

    __slots__ = (
        "_buffer", "_call", "_decoder", "_heard", "_in_body", "_informational", "_keep_alive", "_missing", "_pool",
        "_reused", "idle_since", "origin", "transport",
    )  # fmt: skip

    def __init__(self, pool: UpstreamPool, origin: Origin) -> None:
        self._pool = pool
        self._call: UpstreamCall | None = None
        self._buffer = b""
        self._decoder: ChunkedDecoder | None = None
        self._heard = False
        """At least one byte of the response has arrived."""
        self._in_body = False
        self._informational = 0
        self._keep_alive = False
        self._missing = 0
        """Bytes of the body still to come, or UNTIL_CLOSE."""
        self._reused = False
        self.idle_since = 0.0
        """When the sweep first saw the connection idle; 0 until then."""
        self.origin = origin
        self.transport: asyncio.Transport

    def begin(self, call: UpstreamCall) -> None:
        """Expect the response to a request that is about to be written."""
        self._call = call
        self._heard = self._in_body = False
        self._informational = 0

    def kill(self) -> None:
        """Destroy the connection."""
        self.transport.abort()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is ready, TLS included."""
        self.transport = cast("asyncio.Transport", transport)
        self._pool.opened(self)

    def data_received(self, data: bytes) -> None:
        """Read on in the head or the body."""
        call = self._call
        if call is None or call.sink is None:
            # Unasked-for bytes on an idle connection, or the rest of a response that nobody wants.
            self.kill()
            return
        call.alive = True
        self._heard = True
        try:
            if self._in_body:
                self._read_body(call, data)
            else:
                self._read_head(call, data)
        except (MalformedHead, MalformedChunks):
            call.fail(FailureClass.MALFORMED)

    def connection_lost(self, exc: Exception | None) -> None:
        """Decide what the loss means for the call."""
        self._pool.lost(self)
        call, self._call = self._call, None
        if call is None or call.sink is None:
            return
        if self._in_body and self._missing == UNTIL_CLOSE and exc is None:
            call.finish()
        elif self._heard or not self._reused:
            call.fail(FailureClass.TRUNCATED)
        else:
            call.try_again()

    # Reading

    def _read_head(self, call: UpstreamCall, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        limits = self._pool.limits
        while True:
            end = data.find(b"\r\n\r\n", 0, limits.header_section_bytes)
            if end < 0:
                if len(data) >= limits.header_section_bytes or not b"HTTP/1.1 ".startswith(data[:7]):
                    raise MalformedHead("The response head is too long, or no HTTP.")
                self._buffer = data
                return
            head = parse_response_head(data[:end], call.head.method, limits.headers)
            data = data[end + 4 :]
            if head.status >= 200:
                break
            self._informational += 1
            if head.status == 101 or self._informational > limits.informational:
                raise MalformedHead("The response never starts, or switches protocols.")
            if not data:
                return
        call.body = b""
        call.head_completed()
        self._in_body = True
        self._keep_alive = head.keep_alive
        self._decoder = ChunkedDecoder() if head.body_length == CHUNKED else None
        self._missing = head.body_length
        if call.sink is not None:
            call.sink.response_started(head.status, head.headers)
        if data or self._missing == 0:
            self._read_body(call, data)

    def _read_body(self, call: UpstreamCall, data: bytes) -> None:
        rest = b""
        decoder = self._decoder
        if decoder is not None:
            data = decoder.feed(data)
            complete = decoder.done
            rest = decoder.rest
        elif self._missing == UNTIL_CLOSE:
            complete = False
        else:
            if len(data) > self._missing:
                rest = data[self._missing :]
                data = data[: self._missing]
            self._missing -= len(data)
            complete = self._missing == 0
        if data and call.sink is not None:
            call.sink.data_received(data)
        if complete and call.sink is not None:
            self._complete(call, rest)

    def _complete(self, call: UpstreamCall, rest: bytes) -> None:
        """Return to the pool, or go: surplus bytes or an unsent rest of the request make the connection worthless."""
        if call.paused:
            call.resume_reading()
        self._call = None
        self._decoder = None
        transport = self.transport
        if self._keep_alive and not rest and not transport.is_closing() and not transport.get_write_buffer_size():
            self._reused = True
            self.idle_since = 0.0
            self._pool.released(self)
        else:
            self.kill()
        call.finish()
