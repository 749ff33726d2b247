"""One upstream connection against everything that a hostile or broken upstream can send."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.errors import FailureClass
from handlers.transport.client import CallDeadlines, RequestHead, UpstreamPool, parse_origin
from handlers.transport.client_connection import UpstreamConnection
from tests.handlers.transport.recorders import CallSink, MemoryTransport, read_request, run, scripted

WITH_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: x\r\nContent-Length: 10\r\n\r\n0123456789"
WITH_CHUNKS = (
    b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"4\r\n0123\r\n6;x=y\r\n456789\r\n0\r\nT: v\r\n\r\n"
)
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n0123456789"


async def call(
    pieces: list[bytes], *, method: bytes = b"POST", deadlines: CallDeadlines | None = None, hold: bool = False
) -> CallSink:
    """Send one request to an upstream that answers with these pieces and closes (or holds the line)."""
    released = asyncio.Event()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if hold:
            await released.wait()

    async with scripted(play) as address:
        pool = UpstreamPool()
        sink = CallSink()
        head = RequestHead(f"http://{address}", method, b"/x", [])
        pool.send(head, b"", sink, deadlines or CallDeadlines())
        await sink.done.wait()
        released.set()
        await pool.close()
    await asyncio.sleep(0)
    return sink


@pytest.mark.parametrize("response", [WITH_LENGTH, WITH_CHUNKS, UNTIL_CLOSE])
def test_law_byte_by_byte(response: bytes) -> None:
    sink = run(call([response[i : i + 1] for i in range(len(response))]))
    assert (sink.status, sink.body, sink.outcome) == (200, b"0123456789", None)


@pytest.mark.parametrize("response", [WITH_LENGTH, WITH_CHUNKS, UNTIL_CLOSE])
def test_law_every_split(response: bytes) -> None:
    async def main() -> None:
        for position in range(1, len(response)):
            sink = await call([response[:position], response[position:]])
            assert (sink.status, sink.body, sink.outcome) == (200, b"0123456789", None), position

    run(main())


@given(st.lists(st.binary(min_size=1, max_size=2000), max_size=6), st.integers(1, 500))
@settings(max_examples=20)
def test_law_random_chunks(chunks: list[bytes], size: int) -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw += b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    sink = run(call([raw[i : i + size] for i in range(0, len(raw), size)]))
    assert (sink.body, sink.outcome) == (b"".join(chunks), None)


@pytest.mark.claim("A53")
@pytest.mark.parametrize("response", [WITH_LENGTH, WITH_CHUNKS])
def test_a53_an_upstream_that_goes_at_any_byte_is_truncated(response: bytes) -> None:
    async def main() -> None:
        for size in range(len(response)):
            sink = await call([response[:size]])
            assert sink.outcome == FailureClass.TRUNCATED, size
            assert b"0123456789".startswith(sink.body)

    run(main())


@pytest.mark.claim("A53")
def test_a53_a_reset_before_the_end_of_an_unbounded_body_is_truncated() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(UNTIL_CLOSE)
        await writer.drain()
        await asyncio.sleep(0.02)
        reader._transport.get_extra_info("socket").setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # type: ignore[attr-defined]
        writer.transport.abort()

    async def main() -> CallSink:
        async with scripted(play) as address:
            pool = UpstreamPool()
            sink = CallSink()
            pool.send(RequestHead(f"http://{address}", b"GET", b"/", []), b"", sink, CallDeadlines())
            await sink.done.wait()
            await pool.close()
            return sink

    assert run(main()).outcome == FailureClass.TRUNCATED


@pytest.mark.claim("A53", "A56")
@pytest.mark.parametrize(
    "response",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"<html>",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n0",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 103 Early\r\n\r\n" * 1000,
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 1_000_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nXYZ\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"T: v\r\n" * 5000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"e" * 100_000,
    ],
)
def test_a53_nonsense_is_malformed(response: bytes) -> None:
    sink = run(call([response], hold=True, deadlines=CallDeadlines(headers_ms=5_000, between_bytes_ms=5_000)))
    assert sink.outcome == FailureClass.MALFORMED


@pytest.mark.claim("A53")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a53_redirects_are_never_followed(status: int) -> None:
    raw = b"HTTP/1.1 %d X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n" % status
    sink = run(call([raw]))
    assert (sink.status, sink.outcome) == (status, None)


def test_responses_without_a_body() -> None:
    for raw, method in (
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"POST"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b"HEAD"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"POST"),
    ):
        sink = run(call([raw], method=method, hold=True))
        assert (sink.body, sink.outcome) == (b"", None)


def test_one_read_becomes_one_call() -> None:
    chunks = b"".join(b"5\r\n%05d\r\n" % n for n in range(50))
    sink = run(call([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"]))
    assert len(sink.pieces) == 1
    assert len(sink.body) == 250


@given(
    st.sampled_from([WITH_LENGTH, WITH_CHUNKS, UNTIL_CLOSE]),
    st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=3)), max_size=3),
    st.lists(st.integers(0, 300), max_size=4),
)
@settings(max_examples=300)
def test_law_whatever_arrives_there_is_one_outcome(
    response: bytes, damages: list[tuple[int, bytes]], positions: list[int]
) -> None:
    for position, damage in damages:
        response = response[:position] + damage + response[position + len(damage) // 2 :]
    edges = [0, *sorted(min(position, len(response)) for position in positions), len(response)]

    async def main() -> CallSink:
        pool = UpstreamPool()
        origin = parse_origin("http://h")
        origin.connections = 1
        pool._origins["http://h"] = origin
        connection = UpstreamConnection(pool, origin)
        transport = MemoryTransport(connection)
        connection.connection_made(transport)
        origin.idle.append(connection)
        sink = CallSink()
        pool.send(RequestHead("http://h", b"POST", b"/", []), b"", sink, CallDeadlines())
        for a, b in itertools.pairwise(edges):
            if a < b and not transport.closing:
                connection.data_received(response[a:b])
        transport.close()
        await pool.close()
        return sink

    sink = run(main())
    assert sink.outcome in {None, FailureClass.TRUNCATED, FailureClass.MALFORMED}
    assert sink.status or sink.failures
