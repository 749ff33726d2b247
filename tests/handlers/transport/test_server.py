from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path

import pytest

from handlers.transport.exchange import Exchange
from handlers.transport.limits import ServerLimits
from tests.handlers.transport.recorders import Recorder, certificate, dial, listening, run, serve
from tests.waiting import eventually

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
QUICK = ServerLimits(head_s=0.5, body_grace_s=0.5, keep_alive_s=0.8, write_stall_s=0.15, linger_s=0.5, sweep_s=0.01)


async def read_response(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    return head + await reader.readexactly(length)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_connection_is_reused(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        recorder = Recorder(lambda x: x.send(200, [], x.head.peer.encode()))
        server = serve(recorder)
        address = await server.listen("127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path}/s")
        reader, writer = await dial(address)
        for _ in range(50):
            writer.write(GET)
            assert (await read_response(reader)).endswith(b"127.0.0.1" if kind == "tcp" else b"\r\n\r\n")
        assert (len(recorder.exchanges), server.connections, server.open_exchanges) == (50, 1, 0)
        writer.close()
        await eventually(lambda: server.connections == 0)
        await server.drain(0)

    run(main())


@pytest.mark.claim("A26")
@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (b"GET / HT", b"HTTP/1.1 408"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\nx", b"HTTP/1.1 408"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", b"HTTP/1.1 408"),
        (GET, b"HTTP/1.1 200"),
    ],
)
def test_a26_clients_that_fall_silent_are_disconnected(sent: bytes, answer: bytes) -> None:
    async def main() -> None:
        async with listening(serve(Recorder(), QUICK)) as (reader, writer):
            writer.write(sent)
            response = await asyncio.wait_for(reader.read(), 5)
            assert response[:12] == answer

    run(main())


@pytest.mark.claim("A26")
def test_a26_a_drip_does_not_reset_the_clock() -> None:
    async def main() -> None:
        async with listening(serve(Recorder(), QUICK)) as (reader, writer):
            loop = asyncio.get_running_loop()
            started = loop.time()
            answer = asyncio.create_task(read_response(reader))
            for byte in b"GET /" + b"x" * 2000:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.005)
                if answer.done():
                    break
            assert (await answer).startswith(b"HTTP/1.1 408")
            assert loop.time() - started < 2

    run(main())


@pytest.mark.claim("A26")
def test_a26_a_stalled_reader_is_dropped_and_costs_bounded_memory() -> None:
    written = 0

    def answer(exchange: Exchange) -> None:
        """Writes for ever, as long as it may."""
        paused = asyncio.Event()
        exchange.on_pause = paused.set
        exchange.start(200, [])

        async def produce() -> None:
            nonlocal written
            while not paused.is_set() and not exchange.closed:
                exchange.write(b"x" * 8192)
                written += 8192
                await asyncio.sleep(0)

        tasks.append(asyncio.get_running_loop().create_task(produce()))

    tasks: list[asyncio.Task[None]] = []

    async def main() -> None:
        recorder = Recorder(answer)
        server = serve(recorder, QUICK)
        tracemalloc.start()
        async with listening(server) as (reader, writer):
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(GET)
            await eventually(lambda: len(recorder.exchanges) == 1)
            gone = asyncio.Event()
            recorder.exchanges[0].on_disconnect = gone.set
            await asyncio.wait_for(gone.wait(), 5)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert recorder.exchanges[0].closed
            assert peak < 1_000_000, (
                "what the kernel took is not ours; what it did not take is bounded by the high mark"
            )
        await asyncio.gather(*tasks)

    run(main())
    assert written < 50_000_000


def test_a_refusal_reaches_a_client_that_is_still_sending() -> None:
    async def main() -> None:
        async with listening(serve(Recorder(), QUICK)) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n" + b"x" * 5_000_000)
            assert (await reader.read()).startswith(b"HTTP/1.1 413")

    run(main())


def test_tls(tmp_path: Path) -> None:
    async def main() -> None:
        server_context, client_context = certificate(tmp_path, "127.0.0.1")
        server = serve(Recorder(), ServerLimits(linger_s=0.5, sweep_s=0.01))
        address = await server.listen("127.0.0.1:0", ssl=server_context)
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=client_context)
        for _ in range(3):
            writer.write(GET)
            assert (await read_response(reader)).startswith(b"HTTP/1.1 200")
        writer.write(b"BAD\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400"), "a refusal is readable, and the connection ends"
        writer.close()
        await server.drain(1)

    run(main())


def test_connections_are_bounded() -> None:
    async def main() -> None:
        recorder = Recorder()
        server = serve(recorder, ServerLimits(linger_s=0.5, sweep_s=0.01, connections=3))
        address = await server.listen("127.0.0.1:0")
        streams = [await dial(address) for _ in range(3)]
        await eventually(lambda: server.connections == 3)
        reader, writer = await dial(address)
        assert (await reader.read()).startswith(b"HTTP/1.1 503")
        streams[0][1].write(GET)
        assert (await read_response(streams[0][0])).startswith(b"HTTP/1.1 200")
        for _, w in [*streams, (reader, writer)]:
            w.close()
        await server.drain(1)
        assert server.connections == 0

    run(main())


def test_draining_lets_open_exchanges_end_and_closes_the_rest() -> None:
    async def main() -> None:
        recorder = Recorder(lambda x: x.start(200, []))
        server = serve(recorder)
        address = await server.listen("127.0.0.1:0")
        idle_reader, idle_writer = await dial(address)
        reader, writer = await dial(address)
        late_reader, late_writer = await dial(address)
        writer.write(GET)
        late_writer.write(GET[:10])
        await eventually(lambda: server.open_exchanges == 1 and server.connections == 3)
        draining = asyncio.create_task(server.drain(5))
        assert await idle_reader.read() == b"", "idle connections are closed"
        with pytest.raises(OSError, match=r".*"):
            await dial(address)
        recorder.answer = lambda x: x.send(200, [])
        late_writer.write(GET[10:])
        assert b"connection: close" in await late_reader.read()
        assert not draining.done()
        recorder.exchanges[0].finish(b"end")
        assert (await reader.read()).endswith(b"3\r\nend\r\n0\r\n\r\n")
        await draining
        assert server.connections == 0
        for w in (idle_writer, writer, late_writer):
            w.close()

    run(main())


def test_draining_ends_what_does_not_end() -> None:
    async def main() -> None:
        recorder = Recorder(lambda x: x.start(200, []))
        server = serve(recorder)
        gone: list[int] = []
        async with listening(server) as (reader, writer):
            writer.write(GET)
            await eventually(lambda: server.open_exchanges == 1)
            recorder.exchanges[0].on_disconnect = lambda: gone.append(1)
            await server.drain(0.05)
            assert gone == [1]
            assert not (await reader.read()).endswith(b"0\r\n\r\n")

    run(main())


def test_the_sweep_sleeps_without_connections() -> None:
    async def main() -> None:
        server = serve(Recorder(), QUICK)
        for _ in range(2):
            async with listening(server) as (_, writer):
                await eventually(lambda: server._sweeper is not None)
                writer.close()
                await eventually(lambda: server.connections == 0 and server._sweeper is None)
            server.draining = False

    run(main())


@pytest.mark.claim("A26")
def test_a26_healthy_clients_are_served_among_many_slow_ones() -> None:
    async def main() -> None:
        recorder = Recorder()
        server = serve(recorder, ServerLimits(head_s=5, sweep_s=0.01))
        address = await server.listen("127.0.0.1:0")
        slow = [await dial(address) for _ in range(200)]
        for _, writer in slow:
            writer.write(b"GET / HTTP/1.1\r\nHost")
        reader, writer = await dial(address)
        for _ in range(100):
            writer.write(GET)
            await asyncio.wait_for(read_response(reader), 1)
        for _, w in [*slow, (reader, writer)]:
            w.transport.abort()
        await server.drain(1)

    run(main())
