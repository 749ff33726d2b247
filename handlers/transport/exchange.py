"""One request of a client and its response, as the rooms see it."""

from __future__ import annotations

import socket
import struct
from asyncio import Transport
from collections.abc import Callable
from typing import Protocol

from handlers.transport.memo import Memo
from handlers.transport.request_head import RequestHead
from handlers.transport.responses import encode_head, has_no_body

Headers = list[tuple[bytes, bytes]]

_JOIN_BYTES_MAX = 32 * 1024
"""Up to here copying a body beside its head is cheaper than a second buffer in the system call."""
_SECOND_HEAD = "the response has already been started"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

_size_lines: Memo[int, bytes] = Memo(lambda length: b"%x\r\n" % length)
"""The line before a chunk of so many bytes: most events are of few sizes, and writing a number is what costs most of a chunk."""


class Completion(Protocol):
    """What an exchange tells its connection."""

    @property
    def draining(self) -> bool:
        """Connections shall end after their response."""

    def exchange_completed(self, *, keep_alive: bool) -> None:
        """The response is handed to the transport."""


class Responder(Protocol):
    """What answers a client: its exchange, or what stands for it while two passages race (gateway/hedging.py)."""

    head: RequestHead
    body: bytes
    received_at: float
    closed: bool
    on_disconnect: Callable[[], None] | None
    on_pause: Callable[[], None] | None
    on_resume: Callable[[], None] | None

    @property
    def started(self) -> bool:
        """A response head has been written."""

    def send(self, status: int, headers: Headers, body: bytes = b"", lines: bytes = b"") -> None:
        """A whole response."""

    def start(self, status: int, headers: Headers, lines: bytes = b"") -> None:
        """Begin a streamed response."""

    def write(self, data: bytes) -> None:
        """One piece of it."""

    def finish(self, data: bytes = b"") -> None:
        """Its last piece and its end."""

    def abort(self) -> None:
        """Break it off."""


class Exchange:
    """One request, whole, and the responder for it. Exactly one of `send`, `start`...`finish` and `abort` ends it.

    After the client has gone (`closed`) the responder's methods do nothing. All methods belong to the event loop's thread.
    """

    __slots__ = (
        "_bodiless", "_chunked", "_connection", "_held", "_transport", "body", "closed", "head", "on_disconnect", "on_pause",
        "on_resume", "received_at", "started",
    )  # fmt: skip

    def __init__(
        self, connection: Completion, transport: Transport, head: RequestHead, body: bytes, received_at: float
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._bodiless = False
        self._chunked = False
        self._held = b""
        self.head = head
        self.body = body
        self.received_at = received_at
        """`time.monotonic()` at the request's first byte."""
        self.started = False
        """A response head has been written."""
        self.closed = False
        """The client is gone, or the exchange has been aborted or completed: nothing more can be written."""
        self.on_disconnect: Callable[[], None] | None = None
        """Called once when the client goes (or stalls for too long) before the response is complete."""
        self.on_pause: Callable[[], None] | None = None
        """The client reads slower than we write: stop writing."""
        self.on_resume: Callable[[], None] | None = None

    def __repr__(self) -> str:
        """Shows neither body nor headers."""
        return f"Exchange({self.head!r}, {len(self.body)} bytes)"

    def send(self, status: int, headers: Headers, body: bytes = b"", lines: bytes = b"") -> None:
        """A complete response. Raises ValueError for headers that would break the framing; nothing is written then.

        `lines` are further headers, as `encode_fields` has made them: for what is said again and again.
        """
        if self.closed:
            return
        if self.started:
            raise RuntimeError(_SECOND_HEAD)
        head = self.head
        bodiless = has_no_body(head.method, status)
        length = b"" if bodiless and head.method != b"HEAD" else f"content-length: {len(body)}\r\n".encode()
        keep_alive = head.keep_alive and not self._connection.draining
        block = encode_head(status, headers, lines + (length if keep_alive else length + b"connection: close\r\n"))
        self.started = self.closed = True
        if bodiless or not body:
            self._transport.write(block)
        elif len(body) <= _JOIN_BYTES_MAX:
            self._transport.write(block + body)
        else:
            self._transport.writelines((block, body))
        self._connection.exchange_completed(keep_alive=keep_alive)

    def start(self, status: int, headers: Headers, lines: bytes = b"") -> None:
        """Begin a streamed response: chunked, or ended by closing for HTTP/1.0. Arguments and ValueError as `send`.

        The head goes out with what is written next: a system call less, where the first piece follows at once.
        """
        if self.closed:
            return
        if self.started:
            raise RuntimeError(_SECOND_HEAD)
        head = self.head
        self._bodiless = has_no_body(head.method, status)
        self._chunked = bool(head.minor) and not self._bodiless
        framing = b"transfer-encoding: chunked\r\n" if self._chunked else b""
        if not head.keep_alive or self._connection.draining:
            head.keep_alive = False
            framing += b"connection: close\r\n"
        self._held = encode_head(status, headers, lines + framing)
        self.started = True

    def write(self, data: bytes) -> None:
        """One piece of a streamed body, handed to the transport at once."""
        if self.closed or not data or self._bodiless:
            return
        before, self._held = self._held, b""
        if not self._chunked:
            self._transport.write(before + data)
        elif len(data) <= _JOIN_BYTES_MAX:
            self._transport.write(b"".join((before, _size_lines[len(data)], data, b"\r\n")))
        else:
            self._transport.writelines((b"%b%x\r\n" % (before, len(data)), data, b"\r\n"))

    def finish(self, data: bytes = b"") -> None:
        """The last piece and the end of a streamed response, in one write."""
        if self.closed:
            return
        if not self._chunked:
            self.write(data)
            self._flush()
        else:
            before, self._held = self._held, b""
            last = (_size_lines[len(data)], data, b"\r\n") if data else ()
            self._transport.write(b"".join((before, *last, b"0\r\n\r\n")))
        self.closed = True
        self._connection.exchange_completed(keep_alive=self.head.keep_alive)

    def abort(self) -> None:
        """Close without a terminator, after what was written: the client can see that the response is incomplete."""
        if self.closed:
            return
        self._flush()
        self.closed = True
        if self.started and not self._chunked and not self._bodiless:
            # Closing would look like the regular end of an HTTP/1.0 body; only a reset says that it is not.
            peer_socket: socket.socket | None = self._transport.get_extra_info("socket")
            if peer_socket is not None and peer_socket.family != socket.AF_UNIX:
                peer_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._transport.abort()
        self._connection.exchange_completed(keep_alive=False)

    def _flush(self) -> None:
        """A head with nothing behind it."""
        if self._held and not self.closed:
            self._transport.write(self._held)
            self._held = b""

    def release_callbacks(self) -> None:
        """Drop what the handler hung on us, so that a served request leaves no reference cycle behind."""
        self.on_disconnect = self.on_pause = self.on_resume = None
