"""All of the byte path at once: client, HTTP server, wire, pod, upstream client, upstream."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from handlers.errors import FailureClass
from handlers.translation.canonical.usage import Usage
from handlers.transport.client import CallDeadlines, RequestHead, UpstreamCall, UpstreamPool
from handlers.transport.exchange import Exchange
from handlers.transport.server import HttpServer
from handlers.transport.wire import WireEnd, WireHead
from handlers.transport.wire_client import WireCall, WireClient
from handlers.transport.wire_server import WireReply, WireServer
from tests.handlers.transport.recorders import dial, read_request, render_error, run, scripted, wire_request
from tests.waiting import eventually

TOTAL = 40_000_000
PIECE = b"x" * 50_000


class Relay:
    """A pod's side of one exchange, as thin as it can be."""

    def __init__(self, reply: WireReply, pool: UpstreamPool, origin: str) -> None:
        self.reply = reply
        head = RequestHead(origin, b"POST", b"/", [])
        self.call: UpstreamCall = pool.send(head, reply.body, self, CallDeadlines())
        reply.listener = self.call

    def response_started(self, status: int, headers: dict[str, str]) -> None:  # noqa: ARG002
        self.reply.head(WireHead(status, "x"))

    def data_received(self, data: bytes) -> None:
        self.reply.data(data, semantic=True)

    def response_finished(self) -> None:
        self.reply.end(WireEnd())

    def response_failed(self, failure: FailureClass) -> None:
        self.reply.end(WireEnd(failure=failure))


class Forward:
    """A gateway's side of one exchange, as thin as it can be."""

    def __init__(self, exchange: Exchange, client: WireClient) -> None:
        self.exchange = exchange
        self.call: WireCall = client.call(wire_request(), exchange.body, self)
        exchange.on_disconnect = self.call.cancel
        exchange.on_pause = self.call.pause_reading
        exchange.on_resume = self.call.resume_reading

    def head_received(self, head: WireHead) -> None:
        self.exchange.start(head.status, [])

    def data_received(self, data: bytes, semantic: bool) -> None:  # noqa: ARG002
        self.exchange.write(data)

    def usage_received(self, usage: Usage) -> None: ...

    def ended(self, end: WireEnd, final: bytes) -> None:
        if end.failure is None:
            self.exchange.finish(final)
        else:
            self.exchange.abort()

    def lost(self) -> None:
        self.exchange.abort()


class Upstream:
    """Sends a long answer, and knows how much it got rid of."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.sent = 0
        self.gone = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % TOTAL)
        try:
            while self.sent < (TOTAL // 2 if self.broken else TOTAL):
                writer.write(PIECE)
                await writer.drain()
                self.sent += len(PIECE)
        finally:
            self.gone = True


@asynccontextmanager
async def chain(
    upstream: Upstream, folder: Path
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, HttpServer]]:
    async with scripted(upstream) as address:
        pool = UpstreamPool()
        pod = WireServer(lambda reply: relays.append(Relay(reply, pool, f"http://{address}")))
        relays: list[Relay] = []
        client = WireClient(await pod.listen(f"unix:{folder}/pod"), connections_max=4)
        gateway = HttpServer(
            lambda exchange: forwards.append(Forward(exchange, client)), admit=lambda _: 100, render_error=render_error
        )
        forwards: list[Forward] = []
        reader, writer = await dial(await gateway.listen("127.0.0.1:0"))
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}")
        try:
            yield reader, writer, gateway
        finally:
            writer.transport.abort()
            await gateway.drain(0)
            await client.close()
            await pod.drain(0)
            await pool.close()


async def read_chunks(reader: asyncio.StreamReader) -> int:
    total = 0
    await reader.readuntil(b"\r\n\r\n")
    while size := int(await reader.readline(), 16):
        total += len(await reader.readexactly(size))
        await reader.readexactly(2)
    return total


@pytest.mark.claim("A26")
def test_a26_a_stalled_client_stops_the_upstream_and_memory_stays_bounded(tmp_path: Path) -> None:
    async def main() -> None:
        upstream = Upstream()
        async with chain(upstream, tmp_path) as (reader, _, _):
            tracemalloc.start()
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            await eventually(lambda: upstream.sent > 0)
            before = -1
            while before != upstream.sent:
                before = upstream.sent
                await asyncio.sleep(0.2)
            assert upstream.sent < TOTAL, "it waits for the client"
            reader._transport.resume_reading()  # type: ignore[attr-defined]
            assert await read_chunks(reader) == TOTAL
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 4_000_000

    run(main())


def test_a_client_that_goes_stops_the_upstream_within_a_second(tmp_path: Path) -> None:
    async def main() -> None:
        upstream = Upstream()
        async with chain(upstream, tmp_path) as (reader, writer, _):
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            await eventually(lambda: upstream.sent > 0)
            writer.transport.abort()
            await eventually(lambda: upstream.gone, 1)
            assert upstream.sent < TOTAL

    run(main())


def test_an_upstream_that_breaks_off_never_looks_complete(tmp_path: Path) -> None:
    async def main() -> None:
        async with chain(Upstream(broken=True), tmp_path) as (reader, _, gateway):
            with pytest.raises((asyncio.IncompleteReadError, ValueError)):
                await read_chunks(reader)
            await eventually(lambda: gateway.connections == 0)

    run(main())
