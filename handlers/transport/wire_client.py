"""The gateway's end of the wire: one exchange at a time per connection, connections pooled.

Rules
    A sink hears `ended` or `lost` exactly once, and nothing after that or after `cancel`.
    A call is never sent twice: a pod that died may have called its provider already, and only the gateway's plan may decide
    to pay again. A connection returns to the pool only after a complete END with nothing behind it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import Protocol, cast

import msgspec

from handlers.translation.canonical.usage import Usage
from handlers.transport.addresses import connect, notice_silent_loss, widen
from handlers.transport.frames import (
    Frame,
    FrameReader,
    MalformedFrame,
    decode_answer,
    decode_end,
    decode_head,
    decode_usage,
    encode_opening,
)
from handlers.transport.memo import Memo
from handlers.transport.wire import SEMANTIC, FrameKind, WireEnd, WireHead, WireRequest

_JOIN_BYTES_MAX = 32 * 1024
_HEAD, _DATA, _USAGE, _END, _ANSWER = (
    int(kind) for kind in (FrameKind.HEAD, FrameKind.DATA, FrameKind.USAGE, FrameKind.END, FrameKind.ANSWER)
)
_known_heads: Memo[bytes, WireHead] = Memo(decode_head)
"""Pods send few different heads."""
KNOWN_HEAD_BYTES_MAX = 1_024
"""A longer one (many warnings) is read anew each time, so that what is kept stays small."""


class WireSink(Protocol):
    """What hears the answer; see the rules above."""

    def head_received(self, head: WireHead) -> None:
        """The response may start."""

    def data_received(self, data: bytes, semantic: bool) -> None:  # noqa: FBT001 positional by protocol: called per chunk
        """Client-ready bytes; `semantic` once they carry content."""

    def usage_received(self, usage: Usage) -> None:
        """Cumulative usage; replaces the one before."""

    def ended(self, end: WireEnd, final: bytes) -> None:
        """The exchange is over; `final` are the last bytes for the client."""

    def lost(self) -> None:
        """The pod could not be reached, or the connection broke or misbehaved before END."""


class WireCall:
    """One exchange under way."""

    __slots__ = ("_body", "_client", "_connection", "_request", "_task", "sink", "stopped")

    def __init__(self, client: WireClient, request: WireRequest, body: bytes, sink: WireSink) -> None:
        self._client = client
        self._request: WireRequest | None = request
        self._body = body
        self._connection: _Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self.sink: WireSink | None = sink
        """None once the call is over."""
        self.stopped = False
        """The connection is half closed and not to be used again."""

    def cancel(self) -> None:
        """Close the connection at once; the pod takes that as cancellation. The sink hears nothing more."""
        if self.sink is None:
            return
        self.sink = None
        if self._connection is not None:
            self._connection.kill()
        elif self._task is not None:
            self._task.cancel()
        else:
            self._client.withdraw(self)

    def stop(self) -> None:
        """Ask the pod to cancel and to say in END what was produced; the sink hears that END, or `lost`."""
        sink, connection = self.sink, self._connection
        if sink is None or self.stopped:
            return
        if connection is None:
            self.cancel()
            asyncio.get_running_loop().call_soon(sink.lost)
            return
        self.stopped = True
        connection.resume()
        connection.transport.write_eof()

    def abandon(self) -> None:
        """Close the connection at once; the sink hears `lost`."""
        if self._connection is not None and self.sink is not None:
            self._connection.kill()

    def pause_reading(self) -> None:
        """Take no more data; the pod is slowed down by the socket's own buffers."""
        if self._connection is not None and self.sink is not None:
            self._connection.pause()

    def resume_reading(self) -> None:
        """Go on after `pause_reading`."""
        if self._connection is not None and self.sink is not None:
            self._connection.resume()

    # For the pool

    def send_over(self, connection: _Connection) -> None:
        """Hand the request to a connection."""
        request, body = self._request, self._body
        assert request is not None  # noqa: S101 a call is sent once
        self._request = None
        self._body = b""
        self._connection = connection
        connection.call = self
        opening = encode_opening(request, len(body))
        if len(body) <= _JOIN_BYTES_MAX:
            connection.transport.write(opening + body)
        else:
            connection.transport.writelines((opening, body))

    def open(self, address: str) -> None:
        """Connect for this call."""
        connection = _Connection(self._client)
        self._task = asyncio.get_running_loop().create_task(connect(lambda: connection, address))
        # A callback and not code within the task: a task that is cancelled before its first step runs none of its code.
        self._task.add_done_callback(partial(self._opened, connection))

    def _opened(self, connection: _Connection, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            self._client.open_failed(connection)
        elif task.exception() is not None:
            self._client.open_failed(connection)
            self.lose()
        elif self.sink is None:
            connection.kill()
        else:
            self.send_over(connection)

    def lose(self) -> None:
        """Tell the sink, once, that no END will come."""
        sink, self.sink = self.sink, None
        if sink is not None:
            sink.lost()


class WireClient:
    """A pool of connections to one pod address. All methods belong to the event loop's thread.

    Args:
        address: `unix:/path` or `host:port`.
        connections_max: open connections, and as many calls may wait for one; a further call is lost at once.
    """

    def __init__(self, address: str, *, connections_max: int) -> None:
        self._address = address
        self._connections_max = connections_max
        self._connections = 0
        self._open: set[_Connection] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._idle: list[_Connection] = []
        self._waiting: deque[WireCall] = deque()
        self._closed = False

    @property
    def connections(self) -> int:
        """Connections open or being opened."""
        return self._connections

    def call(self, request: WireRequest, body: bytes, sink: WireSink) -> WireCall:
        """Send one request; the sink hears the answer, never before this returns."""
        call = WireCall(self, request, body, sink)
        if self._idle:
            call.send_over(self._idle.pop())
        elif self._closed or len(self._waiting) >= self._connections_max:
            asyncio.get_running_loop().call_soon(call.lose)
        elif self._connections < self._connections_max:
            self._connections += 1
            call.open(self._address)
        else:
            self._waiting.append(call)
        return call

    async def close(self) -> None:
        """Close all connections; open calls are lost."""
        self._closed = True
        waiting = list(self._waiting)
        self._waiting.clear()
        for call in waiting:
            call.lose()
        for connection in list(self._open):
            connection.kill()
        await self._empty.wait()

    # For calls and connections

    def withdraw(self, call: WireCall) -> None:
        """A waiting call was cancelled."""
        if call in self._waiting:
            self._waiting.remove(call)

    def opened(self, connection: _Connection) -> None:
        """A connection exists."""
        self._open.add(connection)
        self._empty.clear()

    def open_failed(self, connection: _Connection) -> None:
        """A connection could not be opened, or not in time."""
        if connection in self._open:
            # It came up while its call was being cancelled; its loss is counted when it is gone.
            connection.kill()
        else:
            self._connections -= 1
            self._open_for_waiting()

    def released(self, connection: _Connection) -> None:
        """A connection has completed an exchange cleanly."""
        if self._closed:
            connection.kill()
        elif self._waiting:
            self._waiting.popleft().send_over(connection)
        else:
            self._idle.append(connection)

    def lost(self, connection: _Connection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        if not self._open:
            self._empty.set()
        if connection in self._idle:
            self._idle.remove(connection)
        self._connections -= 1
        self._open_for_waiting()

    def _open_for_waiting(self) -> None:
        if self._waiting and not self._closed and self._connections < self._connections_max:
            self._connections += 1
            self._waiting.popleft().open(self._address)


class _Connection(asyncio.Protocol):
    __slots__ = ("_client", "_paused", "_reader", "call", "transport")

    def __init__(self, client: WireClient) -> None:
        self._client = client
        self._reader = FrameReader()
        self._paused = False
        self.call: WireCall | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        notice_silent_loss(transport)
        widen(transport)
        self._client.opened(self)

    def data_received(self, data: bytes) -> None:
        call = self.call
        if call is None or call.sink is None:
            self.kill()
            return
        try:
            self._deliver(call, self._reader.feed(data))
        except (MalformedFrame, msgspec.DecodeError, msgspec.ValidationError):
            self.kill()

    def _deliver(self, call: WireCall, frames: list[Frame]) -> None:
        for kind, flags, payload in frames:
            sink = call.sink
            if sink is None:
                # Cancelled from within an earlier frame of this read, or bytes after END.
                self.kill()
                return
            if kind == _DATA:
                sink.data_received(payload, flags == SEMANTIC)
            elif kind == _ANSWER:
                head, end, final = decode_answer(payload)
                sink.head_received(head)
                if call.sink is not None:
                    self._complete(call, sink, end, final)
            elif kind == _END:
                end, final = decode_end(payload)
                self._complete(call, sink, end, final)
            elif kind == _HEAD:
                is_short = len(payload) <= KNOWN_HEAD_BYTES_MAX
                sink.head_received(_known_heads[payload] if is_short else decode_head(payload))
            elif kind == _USAGE:
                sink.usage_received(decode_usage(payload))
            else:
                raise MalformedFrame("a pod sent a frame that only gateways send")

    def _complete(self, call: WireCall, sink: WireSink, end: WireEnd, final: bytes) -> None:
        call.sink = None
        self.call = None
        if self._paused:
            self.resume()
        if self._reader.clean and not call.stopped:
            self._client.released(self)
        else:
            self.kill()
        sink.ended(end, final)

    def pause(self) -> None:
        if not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 the reason does not matter
        self._client.lost(self)
        call, self.call = self.call, None
        if call is not None:
            call.lose()

    def kill(self) -> None:
        """Drop the connection; `connection_lost` does the rest."""
        self.transport.abort()
