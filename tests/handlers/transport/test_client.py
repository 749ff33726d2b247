from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.errors import FailureClass
from handlers.transport.client import CallDeadlines, ClientLimits, RequestHead, UpstreamPool
from tests.handlers.transport.recorders import CallSink, certificate, read_request, run, scripted
from tests.waiting import eventually

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
QUICK = ClientLimits(sweep_s=0.01)
NO_NAME = f"{'x' * 64}.example"
"""Too long a label for a question: nobody on the network is asked."""


class Upstream:
    """Answers each request with what `answer` returns for it; None closes without an answer."""

    def __init__(self, answer: Callable[[int], bytes | None] = lambda _: OK) -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.closed = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head, body = await read_request(reader)
                self.heads.append(head)
                self.bodies.append(body)
                answer = self.answer(len(self.heads))
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
        finally:
            self.closed += 1


Request = tuple[RequestHead, bytes]


def to(address: str, method: bytes = b"POST", body: bytes = b"{}") -> Request:
    return RequestHead(f"http://{address}", method, b"/v1/x?y=z", [(b"x-a", b"1")]), body


async def send(pool: UpstreamPool, request: Request, deadlines: CallDeadlines | None = None) -> CallSink:
    sink = CallSink()
    pool.send(*request, sink, deadlines or CallDeadlines())
    await sink.done.wait()
    return sink


def test_requests_are_written_and_connections_reused() -> None:
    async def main() -> None:
        upstream = Upstream()
        async with scripted(upstream) as address:
            pool = UpstreamPool()
            for body in (b"{}", b"x" * 100_000, b""):
                sink = await send(pool, to(address, body=body))
                assert (sink.status, sink.body, sink.outcome) == (200, b"ok", None)
                assert sink.headers == {"content-length": "2"}
            await send(pool, to(address, b"GET", b""))
            assert upstream.bodies == [b"{}", b"x" * 100_000, b"", b""]
            assert upstream.heads[0] == (
                b"POST /v1/x?y=z HTTP/1.1\r\nhost: %b\r\nx-a: 1\r\ncontent-length: 2\r\n\r\n" % address.encode()
            )
            assert b"content-length: 0" in upstream.heads[2]
            assert b"content-length" not in upstream.heads[3]
            assert upstream.connections == 1
            await pool.close()

    run(main())


def test_the_most_recent_idle_connection_is_used() -> None:
    async def main() -> None:
        async with scripted(Upstream()) as address:
            pool = UpstreamPool()
            await asyncio.gather(*[send(pool, to(address)) for _ in range(3)])
            (origin,) = pool._origins.values()
            last = origin.idle[-1]
            await send(pool, to(address))
            assert (origin.idle[-1], len(origin.idle)) == (last, 3)
            await pool.close()
            assert (origin.idle, origin.connections) == ([], 0)

    run(main())


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"surplus",
        OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"),
        OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n",
    ],
)
def test_a_connection_in_doubt_is_not_reused(answer: bytes) -> None:
    async def main() -> None:
        upstream = Upstream(lambda _: answer)
        async with scripted(upstream) as address:
            pool = UpstreamPool()
            for _ in range(3):
                assert (await send(pool, to(address))).body == b"ok"
            assert upstream.connections == 3
            await pool.close()

    run(main())


def test_bytes_on_an_idle_connection_destroy_it() -> None:
    async def main() -> None:
        idle = asyncio.Event()

        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(OK)
            await idle.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
            await reader.read()

        async with scripted(play) as address:
            pool = UpstreamPool()
            await send(pool, to(address))
            (origin,) = pool._origins.values()
            assert origin.connections == 1
            idle.set()
            await eventually(lambda: origin.connections == 0)
            assert (await send(pool, to(address))).body == b"ok"
            await pool.close()

    run(main())


def test_a_kept_connection_that_dies_before_an_answer_is_retried_once() -> None:
    async def main() -> None:
        upstream = Upstream(lambda count: OK if count in {1, 3} else None)
        async with scripted(upstream) as address:
            pool = UpstreamPool()
            assert (await send(pool, to(address))).outcome is None
            sink = await send(pool, to(address, body=b"again"))
            assert (sink.outcome, sink.body) == (None, b"ok")
            assert upstream.bodies == [b"{}", b"again", b"again"]
            assert (await send(pool, to(address))).outcome == FailureClass.TRUNCATED, "both connections died"
            assert (await send(pool, to(address))).outcome == FailureClass.TRUNCATED, "a fresh one is not retried"
            assert len(upstream.heads) == 3 + 2 + 1
            await pool.close()

    run(main())


def test_a_kept_connection_that_dies_within_an_answer_is_not_retried() -> None:
    async def main() -> None:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(OK)
            heads.append(await read_request(reader))
            writer.write(b"H")

        heads: list[object] = []
        async with scripted(play) as address:
            pool = UpstreamPool()
            await send(pool, to(address))
            assert (await send(pool, to(address))).outcome == FailureClass.TRUNCATED
            assert len(heads) == 1
            await pool.close()

    run(main())


def test_an_origin_that_refuses_is_a_connect_failure() -> None:
    async def main() -> None:
        async with scripted(Upstream()) as address:
            pass
        pool = UpstreamPool()
        await asyncio.sleep(0.01)
        for origin in (f"http://{address}", f"http://{NO_NAME}", "http://127.0.0.1:0"):
            sink = await send(pool, (RequestHead(origin, b"GET", b"/", []), b""))
            assert sink.outcome == FailureClass.CONNECT
        await pool.close()

    run(main())


@pytest.mark.parametrize(
    ("deadlines", "answer", "failure"),
    [
        (CallDeadlines(headers_ms=50), b"", FailureClass.TIMEOUT),
        (CallDeadlines(headers_ms=50), b"HTTP/1.1 103 X\r\n\r\n", FailureClass.TIMEOUT),
        (CallDeadlines(between_bytes_ms=50), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", FailureClass.TIMEOUT),
        (CallDeadlines(total_ms=50), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", FailureClass.TIMEOUT),
    ],
)
def test_deadlines_of_an_answer(deadlines: CallDeadlines, answer: bytes, failure: FailureClass) -> None:
    async def main() -> None:
        upstream = Upstream(lambda _: answer)
        async with scripted(upstream) as address:
            pool = UpstreamPool(limits=QUICK)
            started = time.monotonic()
            sink = await send(pool, to(address), deadlines)
            assert sink.outcome == failure
            assert 0.045 < time.monotonic() - started < 1
            await eventually(lambda: upstream.closed == 1)
            await pool.close()

    run(main())


@pytest.mark.claim("A52")
def test_a52_bytes_keep_a_slow_answer_alive_until_the_total() -> None:
    async def main() -> None:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)

        async with scripted(play) as address:
            pool = UpstreamPool(limits=QUICK)
            sink = await send(pool, to(address), CallDeadlines(between_bytes_ms=500, total_ms=1_500))
            assert sink.outcome == FailureClass.TIMEOUT
            assert len(sink.body) > 10
            await pool.close()

    run(main())


@pytest.mark.claim("A58")
def test_a58_a_slow_handshake_is_a_connect_failure() -> None:
    async def main() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
            await reader.read()
            await asyncio.sleep(1)

        async with scripted(silent) as address:
            pool = UpstreamPool(limits=QUICK)
            request = RequestHead(f"https://{address}", b"GET", b"/", []), b""
            sink = await send(pool, request, CallDeadlines(connect_ms=100))
            assert sink.outcome == FailureClass.CONNECT
            (origin,) = pool._origins.values()
            await eventually(lambda: origin.connections == 0)
            await pool.close()

    run(main())


def test_cancelling_closes_at_once_and_silences_the_sink() -> None:
    async def main() -> None:
        upstream = Upstream(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
        async with scripted(upstream) as address:
            pool = UpstreamPool(limits=QUICK)
            sink = CallSink()
            call = pool.send(*to(address), sink, CallDeadlines())
            await eventually(lambda: sink.body == b"x")
            call.cancel()
            call.cancel()
            call.pause_reading()
            call.resume_reading()
            await eventually(lambda: upstream.closed == 1)
            early = CallSink()
            pool.send(*to(address), early, CallDeadlines()).cancel()
            connecting = CallSink()
            call = pool.send(*to(address), connecting, CallDeadlines())
            await asyncio.sleep(0)
            call.cancel()
            await asyncio.sleep(0.05)
            for silent in (sink, early, connecting):
                assert (silent.finished, silent.failures) == (0, [])
            (origin,) = pool._origins.values()
            await eventually(lambda: origin.connections == 0)
            await pool.close()

    run(main())


def test_a_sink_may_cancel_from_within_its_callback() -> None:
    async def main() -> None:
        async with scripted(Upstream()) as address:
            pool = UpstreamPool()
            sink = CallSink()
            call = pool.send(*to(address), sink, CallDeadlines())
            sink.on_data = call.cancel
            await eventually(lambda: sink.body == b"ok")
            await asyncio.sleep(0.01)
            assert (sink.finished, sink.failures) == (0, [])
            await pool.close()

    run(main())


def test_open_connections_and_waiting_calls_are_bounded() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await read_request(reader)
                await gate.wait()
                writer.write(OK)

        async with scripted(play) as address:
            pool = UpstreamPool(limits=ClientLimits(connections_per_origin=2, waiting_per_origin=3, sweep_s=0.01))
            sinks = [CallSink() for _ in range(6)]
            calls = [pool.send(*to(address), sink, CallDeadlines()) for sink in sinks]
            await sinks[5].done.wait()
            assert sinks[5].outcome == FailureClass.CONNECT
            (origin,) = pool._origins.values()
            assert (origin.connections, len(origin.waiting)) == (2, 3)
            calls[4].cancel()
            gate.set()
            for sink in sinks[:4]:
                await sink.done.wait()
                assert sink.outcome is None
            assert sinks[4].finished == 0
            await pool.close()

    run(main())


def test_a_call_that_waits_too_long_for_a_connection_fails() -> None:
    async def main() -> None:
        async with scripted(Upstream(lambda _: b"")) as address:
            pool = UpstreamPool(limits=ClientLimits(connections_per_origin=1, sweep_s=0.01))
            first = CallSink()
            pool.send(*to(address), first, CallDeadlines())
            second = await send(pool, to(address), CallDeadlines(connect_ms=50))
            assert second.outcome == FailureClass.CONNECT
            await pool.close()
            assert first.outcome == FailureClass.TRUNCATED

    run(main())


def test_a_waiting_call_gets_the_place_of_a_failed_one() -> None:
    async def main() -> None:
        upstream = Upstream(lambda count: None if count == 1 else OK)
        async with scripted(upstream) as address:
            pool = UpstreamPool(limits=ClientLimits(connections_per_origin=1, sweep_s=0.01))
            first, second = await asyncio.gather(send(pool, to(address)), send(pool, to(address)))
            assert (first.outcome, second.outcome) == (FailureClass.TRUNCATED, None)
            await pool.close()

    run(main())


def test_idle_connections_age() -> None:
    async def main() -> None:
        upstream = Upstream()
        async with scripted(upstream) as address:
            pool = UpstreamPool(limits=ClientLimits(idle_s=0.05, sweep_s=0.01))
            await send(pool, to(address))
            (origin,) = pool._origins.values()
            await eventually(lambda: origin.connections == 0)
            await eventually(lambda: pool._sweeper is None)
            assert (await send(pool, to(address))).outcome is None
            await pool.close()

    run(main())


def test_back_pressure_reaches_the_upstream_and_silence_is_not_held_against_it() -> None:
    async def main() -> None:
        sent = 0

        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
            for _ in range(500):
                writer.write(b"x" * 100_000)
                await writer.drain()
                sent += 100_000

        async with scripted(play) as address:
            pool = UpstreamPool(limits=QUICK)
            sink = CallSink()
            call = pool.send(*to(address), sink, CallDeadlines(between_bytes_ms=500))
            sink.on_data = call.pause_reading
            await eventually(lambda: bool(sink.pieces))
            await asyncio.sleep(1.0)
            assert sink.failures == []
            assert sent < 40_000_000, "the kernel's buffers are full"
            received = len(sink.body)
            await asyncio.sleep(0.02)
            assert len(sink.body) == received
            sink.on_data = None
            call.resume_reading()
            await sink.done.wait()
            assert (sink.outcome, len(sink.body)) == (None, 50_000_000)
            await pool.close()

    run(main())


def test_a_response_that_ends_while_paused_leaves_a_usable_connection() -> None:
    async def main() -> None:
        upstream = Upstream()
        async with scripted(upstream) as address:
            pool = UpstreamPool(limits=QUICK)
            for _ in range(3):
                sink = CallSink()
                call = pool.send(*to(address), sink, CallDeadlines(headers_ms=1000))
                sink.on_data = call.pause_reading
                await sink.done.wait()
                assert sink.outcome is None
            assert upstream.connections == 1
            await pool.close()

    run(main())


@pytest.mark.claim("A58")
@pytest.mark.parametrize("case", ["good", "wrong name", "expired", "untrusted", "old protocol"])
def test_a58_tls_is_verified(case: str, tmp_path: Path) -> None:
    async def main() -> None:
        name = "other.example" if case == "wrong name" else "127.0.0.1"
        server_context, client_context = certificate(tmp_path, name, expired=case == "expired")
        if case == "old protocol":
            client_context.minimum_version = ssl.TLSVersion.TLSv1_3
            server_context.maximum_version = ssl.TLSVersion.TLSv1_2
        upstream = Upstream()
        async with scripted(upstream, server_context) as address:
            pool = UpstreamPool(ssl_context=None if case == "untrusted" else client_context)
            request = RequestHead(f"https://{address}", b"POST", b"/", []), b"secret"
            for _ in range(2):
                sink = await send(pool, request)
                assert sink.outcome == (None if case == "good" else FailureClass.CONNECT)
            assert len(upstream.bodies) == (2 if case == "good" else 0)
            await pool.close()

    run(main())


def test_the_default_context_verifies() -> None:
    context = UpstreamPool()._create_context()
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
