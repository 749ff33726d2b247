"""Stand-ins for the outside world: a transport in memory, sinks that remember, servers that do exactly what they are told."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from handlers.errors import FailureClass, TheRouterError
from handlers.translation.canonical.usage import Usage
from handlers.transport.exchange import Exchange, Headers
from handlers.transport.limits import ServerLimits
from handlers.transport.request_head import RequestHead
from handlers.transport.server import HttpServer
from handlers.transport.server_connection import ServerConnection
from handlers.transport.wire import WireDeadlines, WireEnd, WireHead, WireRequest, WireTerms

T = TypeVar("T")
BODY_LIMIT = 1000


def run(main: Coroutine[Any, Any, T], timeout_s: float = 60) -> T:
    """Run a coroutine on the loop that production uses; an exception that reached the loop itself fails the test."""
    stray: list[object] = []

    def note(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # A scripted peer of ours that is cut off in the middle of its play is reported by asyncio's streams.
        if "StreamReaderProtocol" not in context["message"] and "client_connected_cb" not in context["message"]:
            stray.append(context)

    async def bounded() -> T:
        asyncio.get_running_loop().set_exception_handler(note)
        return await asyncio.wait_for(main, timeout_s)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(bounded())
    assert stray == [], stray
    return result


class MemoryTransport(asyncio.Transport):
    """Remembers what was written and done to it."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("192.0.2.7", 1234)})
        self.protocol = protocol
        self.written = b""
        self.writes: list[bytes] = []
        self.closing = False
        self.aborted = False
        self.ended = False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self.closing:
            return
        self.writes.append(bytes(data))
        self.written += bytes(data)

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self.protocol.connection_lost(None)

    def abort(self) -> None:
        self.aborted = True
        self.close()


def render_error(error: TheRouterError, head: RequestHead | None) -> tuple[int, Headers, bytes]:
    """The code alone, so that tests can tell errors apart; `head` tells whether it could be read."""
    return error.http_status, [(b"x-code", error.code.encode()), (b"x-head", b"yes" if head else b"no")], b""


class Recorder:
    """A handler that remembers its exchanges, and answers each at once with the body it got unless told otherwise."""

    def __init__(self, answer: Callable[[Exchange], None] | None = None) -> None:
        self.exchanges: list[Exchange] = []
        self.answer = answer or (lambda exchange: exchange.send(200, [], exchange.body))

    def __call__(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        self.answer(exchange)

    @property
    def requests(self) -> list[tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]]:
        """(method, target, headers, body) of each."""
        return [(x.head.method, x.head.target, x.head.headers, x.body) for x in self.exchanges]


def serve(handler: Callable[[Exchange], None], limits: ServerLimits | None = None) -> HttpServer:
    """A server with a body limit of 1,000 bytes."""
    return HttpServer(handler, admit=lambda _: BODY_LIMIT, render_error=render_error, limits=limits)


def connect_in_memory(server: HttpServer) -> tuple[ServerConnection, MemoryTransport]:
    """One connection of a server, without a socket. Needs a running loop."""
    connection = ServerConnection(server)
    transport = MemoryTransport(connection)
    connection.connection_made(transport)
    return connection, transport


@asynccontextmanager
async def listening(server: HttpServer) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """One raw client connection to a listening server."""
    address = await server.listen("127.0.0.1:0")
    reader, writer = await dial(address)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await server.drain(0)


async def dial(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Raw streams to an address of ours."""
    if address.startswith("unix:"):
        return await asyncio.open_unix_connection(address.removeprefix("unix:"))
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


def exchange_bytes(data: bytes, handler: Recorder | None = None, limits: ServerLimits | None = None) -> bytes:
    """What one connection answers to these bytes, all in one read."""

    async def main() -> bytes:
        connection, transport = connect_in_memory(serve(handler or Recorder(), limits))
        connection.data_received(data)
        for _ in range(3):
            await asyncio.sleep(0)
        return transport.written

    return run(main())


class CallSink:
    """Remembers an upstream response."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.finished = 0
        self.failures: list[FailureClass] = []
        self.done = asyncio.Event()
        self.on_data: Callable[[], None] | None = None

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def outcome(self) -> FailureClass | None:
        """The failure, or None for a finished response; raises unless there was exactly one of the two."""
        assert self.finished + len(self.failures) == 1
        return self.failures[0] if self.failures else None

    def response_started(self, status: int, headers: dict[str, str]) -> None:
        assert not self.status
        self.status = status
        self.headers = headers

    def data_received(self, data: bytes) -> None:
        assert data
        self.pieces.append(data)
        if self.on_data is not None:
            self.on_data()

    def response_finished(self) -> None:
        self.finished += 1
        self.done.set()

    def response_failed(self, failure: FailureClass) -> None:
        self.failures.append(failure)
        self.done.set()


class ReplyEars:
    """Listens to what a gateway does with an answer, and does what it was given."""

    def __init__(
        self,
        cancel: Callable[[], None] = lambda: None,
        pause: Callable[[], None] = lambda: None,
        resume: Callable[[], None] = lambda: None,
    ) -> None:
        self.cancel = cancel
        self.pause_reading = pause
        self.resume_reading = resume


class FrameSink:
    """Remembers what came over the wire."""

    def __init__(self) -> None:
        self.head: WireHead | None = None
        self.pieces: list[tuple[bytes, bool]] = []
        self.usages: list[Usage] = []
        self.ends: list[tuple[WireEnd, bytes]] = []
        self.losses = 0
        self.done = asyncio.Event()

    def head_received(self, head: WireHead) -> None:
        self.head = head

    def data_received(self, data: bytes, semantic: bool) -> None:
        self.pieces.append((data, semantic))

    def usage_received(self, usage: Usage) -> None:
        self.usages.append(usage)

    def ended(self, end: WireEnd, final: bytes) -> None:
        self.ends.append((end, final))
        self.done.set()

    def lost(self) -> None:
        self.losses += 1
        self.done.set()


def wire_request(request_id: str = "req-1") -> WireRequest:
    """A request like any other."""
    terms = WireTerms(
        dialect="openai_chat",
        operation="chat",
        endpoint="m@p",
        public_model="m",
        stream=True,
        deadlines=WireDeadlines(1, 2, 3, 4, 5, 6),
    )
    return WireRequest(terms, request_id=request_id, token="t", account="a")


@asynccontextmanager
async def scripted(
    play: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[str]:
    """A TCP or TLS server that runs a play for each connection; yields its `host:port`."""

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await play(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """(head, body) of one request with Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(v[15:]) for v in head.lower().split(b"\r\n") if v.startswith(b"content-length:")), 0)
    return head, await reader.readexactly(length)


def certificate(tmp_path: Path, name: str, *, expired: bool = False) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server context, client context that trusts it) for a name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    alternative = x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=2))
        .not_valid_after(now + dt.timedelta(days=-1 if expired else 1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = signed.public_bytes(serialization.Encoding.PEM)
    path = tmp_path / "server.pem"
    path.write_bytes(
        pem
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=pem.decode())
