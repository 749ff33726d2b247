"""The pod's end of the wire.

Rules
    One exchange at a time per connection; the gateway closing its half is the cancellation, to which a reply's listener may answer
    with `end` at once; without that END, or when the gateway closes altogether, nothing more is sent. A handler answers now or later,
    with any number of `head`, `data` and `usage` and exactly one `end`, or with `refuse`. What a handler raises closes the
    connection: the gateway then counts the attempt as lost.
    Data goes out at once. HEAD and USAGE wait for what follows them within the same turn of the loop, because a system call
    costs more than all the Python around it: a complete answer is one write.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol, cast

import msgspec

from handlers.translation.canonical.usage import Usage
from handlers.transport.addresses import bound_address, listen, notice_silent_loss
from handlers.transport.frames import (
    FrameReader,
    MalformedFrame,
    decode_request,
    encode_answer,
    encode_end,
    encode_frame,
    encode_frame_header,
    encode_json,
)
from handlers.transport.wire import SEMANTIC, FrameKind, WireEnd, WireHead, WireRequest

_JOIN_BYTES_MAX: Final = 32 * 1024
_REQUEST: Final = FrameKind.REQUEST.value
_BODY: Final = FrameKind.BODY.value
_HEAD: Final = FrameKind.HEAD.value
_DATA: Final = FrameKind.DATA.value
_USAGE: Final = FrameKind.USAGE.value


class ReplyListener(Protocol):
    """What hears how the gateway takes the answer."""

    def cancel(self) -> None:
        """Called once when the gateway closes, or half closes, before `end`. While half closed, `end` still arrives."""

    def pause_reading(self) -> None:
        """The gateway reads slower than we write."""

    def resume_reading(self) -> None:
        """It has caught up."""


class WireReply:
    """One request of a gateway and the answer to it. All methods belong to the event loop's thread."""

    __slots__ = (
        "_connection",
        "_held",
        "_transport",
        "body",
        "cancelled",
        "listener",
        "open",
        "request",
    )

    def __init__(
        self, connection: _Connection, transport: asyncio.Transport, request: WireRequest, body: bytes
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._held = b""
        """HEAD and USAGE frames of this turn of the loop."""
        self.request = request
        self.body = body
        self.open = True
        """Neither ended, nor refused, nor cancelled."""
        self.cancelled = False
        self.listener: ReplyListener | None = None

    def __repr__(self) -> str:
        """Shows neither body nor token."""
        return f"WireReply({self.request.request_id!r}, {len(self.body)} bytes)"

    def head(self, head: WireHead) -> None:
        """Start the client's response."""
        if self.open:
            self._hold(encode_frame(_HEAD, 0, head.encoded))

    def start(self, head: WireHead, data: bytes, semantic: bool) -> None:  # noqa: FBT001 as `data`
        """Start the client's response with its first bytes."""
        if self.open:
            self._held += encode_frame(_HEAD, 0, head.encoded)
            self.data(data, semantic)

    def data(self, data: bytes, semantic: bool) -> None:  # noqa: FBT001 positional by protocol: called per chunk
        """Client-ready bytes."""
        if not self.open:
            return
        header = encode_frame_header(_DATA, SEMANTIC if semantic else 0, len(data))
        if self._held:
            header = self._held + header
            self._held = b""
        if len(data) <= _JOIN_BYTES_MAX:
            self._transport.write(header + data)
        else:
            self._transport.writelines((header, data))

    def usage(self, usage: Usage) -> None:
        """Cumulative usage so far."""
        if self.open:
            self._hold(encode_frame(_USAGE, 0, encode_json(usage)))

    def end(self, end: WireEnd, final: bytes = b"") -> None:
        """The one END frame."""
        if self.open:
            self._finish(encode_end(end, final))

    def answer(self, head: WireHead, end: WireEnd, final: bytes) -> None:
        """The one ANSWER frame, in place of HEAD and END."""
        if self.open:
            self._finish(encode_answer(head.encoded, end, final))

    def _finish(self, frame: bytes) -> None:
        self.open = False
        self._transport.write(self._held + frame)
        self._held = b""
        self._connection.completed()

    def _hold(self, frame: bytes) -> None:
        if not self._held:
            asyncio.get_running_loop().call_soon(self._flush)
        self._held += frame

    def _flush(self) -> None:
        if self._held and self.open:
            self._transport.write(self._held)
            self._held = b""

    def refuse(self) -> None:
        """Close without a frame: the request's token did not verify."""
        if self.open:
            self.open = False
            self._connection.reply = None
            self._transport.abort()


class WireServer:
    """Serves requests of gateways to a synchronous handler, for as long as someone holds this object.

    Args:
        handler: called with each complete request.
        on_fault: hears the exceptions that a handler lets out, to count them by type (their text may hold content).
    """

    def __init__(
        self, handler: Callable[[WireReply], None], *, on_fault: Callable[[Exception], None] | None = None
    ) -> None:
        self.handler = handler
        self.on_fault = on_fault
        self.draining = False
        self._listeners: list[asyncio.Server] = []
        self._open: set[_Connection] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def open_replies(self) -> int:
        """Exchanges under way."""
        return sum(connection.reply is not None for connection in self._open)

    async def listen(self, address: str) -> str:
        """Serve `unix:/path` or `host:port`; returns the address with the real port. Raises OSError when it is taken."""
        listener = await listen(lambda: _Connection(self), address)
        self._listeners.append(listener)
        return bound_address(listener)

    async def drain(self, seconds: float) -> None:
        """Stop accepting, let open exchanges end for so long, then drop what is left."""
        self.draining = True
        for listener in self._listeners:
            listener.close()
        for connection in list(self._open):
            connection.close_if_idle()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), seconds)
        for connection in list(self._open):
            connection.kill()
        await self._empty.wait()

    def opened(self, connection: _Connection) -> None:
        """A connection exists."""
        self._open.add(connection)
        self._empty.clear()

    def closed(self, connection: _Connection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        if not self._open:
            self._empty.set()


class _Connection(asyncio.Protocol):
    __slots__ = ("_half_closed", "_paused", "_reader", "_request", "_server", "_transport", "reply")

    def __init__(self, server: WireServer) -> None:
        self._server = server
        self._reader = FrameReader()
        self._request: WireRequest | None = None
        """Read, and waiting for its BODY."""
        self._half_closed = False
        self._paused = False
        self._transport: asyncio.Transport
        self.reply: WireReply | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        notice_silent_loss(transport)
        self._server.opened(self)

    def data_received(self, data: bytes) -> None:
        try:
            for kind, _, payload in self._reader.feed(data):
                self._accept(kind, payload)
        except (MalformedFrame, msgspec.DecodeError, msgspec.ValidationError):
            self.kill()

    def _accept(self, kind: int, payload: bytes) -> None:
        if self.reply is not None:
            raise MalformedFrame("a gateway spoke before its turn")
        if kind == _REQUEST and self._request is None:
            self._request = decode_request(payload)
        elif kind == _BODY and self._request is not None:
            request, self._request = self._request, None
            self._dispatch(WireReply(self, self._transport, request, payload))
        else:
            raise MalformedFrame("a gateway sends REQUEST, then BODY")

    def _dispatch(self, reply: WireReply) -> None:
        self.reply = reply
        try:
            self._server.handler(reply)
        except Exception as error:  # noqa: BLE001 the boundary: the gateway learns of it by the closed connection
            reply.refuse()
            if self._server.on_fault is not None:
                self._server.on_fault(error)
        if self._paused and reply.open and reply.listener is not None:
            reply.listener.pause_reading()

    def completed(self) -> None:
        """The exchange has ended; the connection waits for the next."""
        if self.reply is not None:
            self.reply.listener = None  # a served request leaves no reference cycle behind
            self.reply = None
        if self._server.draining or self._half_closed:
            self._transport.close()

    def pause_writing(self) -> None:
        self._paused = True
        if self.reply is not None and self.reply.listener is not None:
            self.reply.listener.pause_reading()

    def resume_writing(self) -> None:
        self._paused = False
        if self.reply is not None and self.reply.listener is not None:
            self.reply.listener.resume_reading()

    def eof_received(self) -> bool:
        # The gateway wants no more but the END with what was produced: its listener may still `end`.
        self._half_closed = True
        reply = self.reply
        if reply is not None:
            self._tell_cancelled(reply)
            if not reply.open:
                # Its END is on its way; `completed` closes after flushing.
                return True
        self.kill()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 the reason does not matter
        self._server.closed(self)
        self._cancel()

    def _cancel(self) -> None:
        reply, self.reply = self.reply, None
        if reply is not None:
            reply.open = False
            self._tell_cancelled(reply)
            reply.listener = None

    @staticmethod
    def _tell_cancelled(reply: WireReply) -> None:
        if not reply.cancelled:
            reply.cancelled = True
            if reply.listener is not None:
                reply.listener.cancel()

    def close_if_idle(self) -> None:
        """For draining."""
        if self.reply is None:
            self._transport.close()

    def kill(self) -> None:
        """Drop the connection; `connection_lost` does the rest."""
        self._transport.abort()
