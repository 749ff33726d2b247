from __future__ import annotations

import asyncio
import itertools
import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.errors import InvalidRequest, NotFound, Unavailable
from handlers.transport.exchange import Exchange
from handlers.transport.limits import ServerLimits
from handlers.transport.request_head import RequestHead
from handlers.transport.server import HttpServer
from handlers.transport.server_connection import BUSY, LINGER
from tests.handlers.transport.recorders import (
    BODY_LIMIT,
    Recorder,
    connect_in_memory,
    exchange_bytes,
    render_error,
    run,
    serve,
)

GET = b"GET /g HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /p?q HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello"
CHUNKED = (
    b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\n"
)
CONVERSATION = POST + GET + CHUNKED + POST
STEPS = 12


async def settle() -> None:
    for _ in range(STEPS):
        await asyncio.sleep(0)


def converse(reads: list[bytes]) -> tuple[list[Any], bytes]:
    """(requests, bytes written) of one connection."""

    async def main() -> tuple[list[Any], bytes]:
        recorder = Recorder()
        connection, transport = connect_in_memory(serve(recorder))
        for read in reads:
            connection.data_received(read)
        await settle()
        return recorder.requests, transport.written

    return run(main())


EXPECTED = converse([POST])[0] + converse([GET])[0] + converse([CHUNKED])[0] + converse([POST])[0]


def test_the_conversation_is_understood() -> None:
    assert [(method, target, body) for method, target, _, body in EXPECTED] == [
        (b"POST", b"/p?q", b"hello"),
        (b"GET", b"/g", b""),
        (b"POST", b"/c", b"abcde"),
        (b"POST", b"/p?q", b"hello"),
    ]


def test_law_every_split_of_a_conversation_reads_alike() -> None:
    async def main() -> None:
        for position in range(len(CONVERSATION) + 1):
            recorder = Recorder()
            connection, _ = connect_in_memory(serve(recorder))
            for read in (CONVERSATION[:position], CONVERSATION[position:]):
                if read:
                    connection.data_received(read)
            await settle()
            assert recorder.requests == EXPECTED, position

    run(main())


def test_law_byte_by_byte() -> None:
    assert converse([CONVERSATION[i : i + 1] for i in range(len(CONVERSATION))])[0] == EXPECTED


@given(st.lists(st.integers(1, len(CONVERSATION) - 1), max_size=10, unique=True))
@settings(max_examples=50)
def test_law_random_splits(positions: list[int]) -> None:
    edges = [0, *sorted(positions), len(CONVERSATION)]
    requests, written = converse([CONVERSATION[a:b] for a, b in itertools.pairwise(edges)])
    assert requests == EXPECTED
    assert written.count(b"HTTP/1.1 200 OK") == 4


@pytest.mark.parametrize("request_bytes", [GET, POST, CHUNKED])
def test_no_prefix_of_a_request_reaches_the_handler(request_bytes: bytes) -> None:
    for size in range(len(request_bytes)):
        assert converse([request_bytes[:size]] if size else [])[0] == []


def test_pipelined_requests_wait_for_the_response_before() -> None:
    async def main() -> None:
        recorder = Recorder(lambda _: None)
        connection, transport = connect_in_memory(serve(recorder))
        connection.data_received(POST + GET + POST)
        await settle()
        assert len(recorder.exchanges) == 1
        recorder.exchanges[0].send(200, [], b"1")
        await settle()
        assert len(recorder.exchanges) == 2
        connection.data_received(GET)
        recorder.exchanges[1].start(200, [])
        await settle()
        assert len(recorder.exchanges) == 2
        recorder.exchanges[1].finish(b"2")
        await settle()
        recorder.exchanges[2].send(200, [], b"3")
        await settle()
        recorder.exchanges[3].send(200, [], b"4")
        assert [x.head.target for x in recorder.exchanges] == [b"/p?q", b"/g", b"/p?q", b"/g"]
        assert transport.written.count(b"HTTP/1.1 200") == 4

    run(main())


def test_pipelined_bytes_are_bounded() -> None:
    async def main() -> None:
        recorder = Recorder(lambda _: None)
        connection, transport = connect_in_memory(serve(recorder, ServerLimits(pipelined_bytes=100)))
        connection.data_received(GET)
        for _ in range(1000):
            connection.data_received(GET)
        assert len(connection._early) <= 100
        recorder.exchanges[0].send(200, [], b"1")
        await settle()
        assert len(recorder.exchanges) == 1, "what was dropped in part is not served in part"
        assert transport.closing

    run(main())


@pytest.mark.claim("A24")
@pytest.mark.parametrize(
    "bad",
    [b"GET / HTTP/1.1\r\n\r\n", b"BAD\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\nbad header\r\n\r\n",
     b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n",
     b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"],
)  # fmt: skip
def test_a24_nothing_is_served_after_an_error(bad: bytes) -> None:
    async def main() -> None:
        recorder = Recorder()
        connection, transport = connect_in_memory(serve(recorder))
        connection.data_received(bad + GET)
        connection.data_received(GET)
        await settle()
        assert recorder.exchanges == []
        assert transport.written.startswith(b"HTTP/1.1 400 ")
        assert transport.written.count(b"HTTP/1.1") == 1
        assert b"connection: close" in transport.written
        assert transport.ended
        connection.expire(math.inf)
        assert transport.closing

    run(main())


@pytest.mark.claim("A20", "A24")
@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (b"GET / HTTP/1.1\nHost: h\n\n", 400),
        (b"\x16\x03\x01\x00\xa5", 400),
        (b"GET /" + b"x" * 9000, 414),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 40_000, 431),
        (b"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", 405),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip\r\n\r\n", 415),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ],
)
def test_refusals_come_as_early_as_they_can(bad: bytes, status: int) -> None:
    recorder = Recorder()
    assert exchange_bytes(bad, recorder).startswith(b"HTTP/1.1 %d " % status)
    assert recorder.exchanges == []


def post(length: int, sent: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % length + b"x" * sent


@pytest.mark.claim("A30")
def test_a30_a_body_at_its_limit() -> None:
    for length in (BODY_LIMIT - 1, BODY_LIMIT):
        recorder = Recorder()
        assert exchange_bytes(post(length, length), recorder).startswith(b"HTTP/1.1 200")
        assert len(recorder.exchanges[0].body) == length


@pytest.mark.claim("A30")
def test_a30_an_announced_body_over_the_limit_is_refused_at_the_head() -> None:
    recorder = Recorder()
    assert exchange_bytes(post(BODY_LIMIT + 1, 0), recorder).startswith(b"HTTP/1.1 413")
    assert exchange_bytes(post(10**14, 3), recorder).startswith(b"HTTP/1.1 413")
    assert recorder.exchanges == []


@pytest.mark.claim("A30")
def test_a30_a_chunked_body_is_refused_while_it_is_read() -> None:
    async def main() -> None:
        recorder = Recorder()
        connection, transport = connect_in_memory(serve(recorder))
        connection.data_received(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(10):
            connection.data_received(b"64\r\n" + b"x" * 100 + b"\r\n")
        assert transport.written == b""
        connection.data_received(b"1\r\nx")
        assert transport.written.startswith(b"HTTP/1.1 413")
        assert recorder.exchanges == []

    run(main())


@pytest.mark.claim("A30")
def test_a30_a_huge_chunk_is_refused_before_it_has_arrived() -> None:
    async def main() -> None:
        connection, transport = connect_in_memory(serve(Recorder()))
        connection.data_received(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFF\r\n")
        connection.data_received(b"x" * (BODY_LIMIT + 1))
        assert transport.written.startswith(b"HTTP/1.1 413")

    run(main())


@pytest.mark.claim("A25")
def test_expect_continue_is_answered_once_and_only_while_waiting() -> None:
    async def main() -> None:
        head = POST[:-5].replace(b"X-A: b", b"Expect: 100-continue")
        recorder = Recorder()
        connection, transport = connect_in_memory(serve(recorder))
        connection.data_received(head)
        assert transport.written == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.data_received(b"hello")
        assert transport.written.count(b"HTTP/1.1") == 2
        connection.data_received(head + b"hello")
        assert transport.written.count(b"100 Continue") == 1
        assert [x.body for x in recorder.exchanges] == [b"hello", b"hello"]

    run(main())


@pytest.mark.claim("A25")
def test_a25_expect_then_an_over_long_body_gets_413_and_no_continue() -> None:
    raw = exchange_bytes(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999\r\nExpect: 100-continue\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 413")
    assert b"100 Continue" not in raw


@pytest.mark.claim("A25", "A26")
def test_a25_a26_deadlines_of_each_phase() -> None:
    async def main() -> None:
        limits = ServerLimits()
        now = time.monotonic()
        idle, transport = connect_in_memory(serve(Recorder()))
        assert idle.deadline == pytest.approx(now + 75, abs=1)
        idle.expire(idle.deadline)
        assert (transport.closing, transport.written) == (True, b"")

        slow_head, transport = connect_in_memory(serve(Recorder()))
        for byte in (b"G", b"E"):
            slow_head.data_received(byte)
        assert slow_head.deadline == pytest.approx(now + limits.head_s, abs=1)
        slow_head.expire(slow_head.deadline)
        assert transport.written.startswith(b"HTTP/1.1 408 ")

        silent_body, transport = connect_in_memory(serve(Recorder()))
        silent_body.data_received(POST[:-5].replace(b"X-A: b", b"Expect: 100-continue"))
        assert silent_body.deadline == pytest.approx(now + limits.body_grace_s, abs=1)
        silent_body.expire(silent_body.deadline)
        assert b"HTTP/1.1 408 " in transport.written

        busy, _ = connect_in_memory(serve(Recorder(lambda _: None)))
        busy.data_received(POST)
        assert (busy.phase, busy.deadline) == (BUSY, math.inf), (
            "how long an answer may take is not the transport's business"
        )

        served, _ = connect_in_memory(serve(Recorder()))
        served.data_received(POST)
        assert served.deadline == pytest.approx(now + 75, abs=1)

    run(main())


@pytest.mark.claim("A26")
def test_a26_a_body_is_judged_by_its_average_rate() -> None:
    async def main() -> None:
        server = HttpServer(Recorder(), admit=lambda _: 10**6, render_error=render_error)
        connection, transport = connect_in_memory(server)
        connection.data_received(post(10**6, 20 * 1024))
        started = connection.deadline - server.limits.body_grace_s
        connection.expire(started + 19)
        assert transport.written == b""
        assert connection.deadline == started + 20
        connection.expire(started + 21)
        assert transport.written.startswith(b"HTTP/1.1 408 ")

    run(main())


@pytest.mark.claim("A26")
def test_a26_a_client_that_stops_reading_is_dropped() -> None:
    async def main() -> None:
        recorder = Recorder(lambda x: x.start(200, []))
        connection, transport = connect_in_memory(serve(recorder))
        events: list[str] = []
        connection.data_received(GET)
        (exchange,) = recorder.exchanges
        exchange.on_pause = lambda: events.append("pause")
        exchange.on_resume = lambda: events.append("resume")
        exchange.on_disconnect = lambda: events.append("gone")
        connection.pause_writing()
        connection.resume_writing()
        assert connection.write_deadline == math.inf
        connection.pause_writing()
        assert connection.write_deadline == pytest.approx(time.monotonic() + 60, abs=1)
        connection.expire(connection.write_deadline)
        assert events == ["pause", "resume", "pause", "gone"]
        assert transport.aborted
        assert exchange.closed

    run(main())


def test_an_exchange_that_begins_while_writing_is_paused_is_told() -> None:
    async def main() -> None:
        paused: list[int] = []

        def answer(exchange: Exchange) -> None:
            exchange.on_pause = lambda: paused.append(1)

        connection, _ = connect_in_memory(serve(Recorder(answer)))
        connection.pause_writing()
        connection.data_received(GET)
        assert paused == [1]

    run(main())


@pytest.mark.parametrize("way", ["eof", "lost"])
def test_a_client_that_goes_is_noticed_once(way: str) -> None:
    async def main() -> None:
        recorder = Recorder(lambda _: None)
        connection, transport = connect_in_memory(serve(recorder))
        connection.data_received(POST)
        (exchange,) = recorder.exchanges
        gone: list[int] = []
        exchange.on_disconnect = lambda: gone.append(1)
        if way == "eof":
            connection.eof_received()
        else:
            transport.close()
        assert (gone, exchange.closed, transport.closing) == ([1], True, True)

    run(main())


def test_a_client_that_goes_before_or_after_its_exchange_disturbs_nobody() -> None:
    async def main() -> None:
        recorder = Recorder()
        server = serve(recorder)
        for data in (b"", POST[:30], POST[:-2], POST, CHUNKED[:-4]):
            connection, transport = connect_in_memory(server)
            if data:
                connection.data_received(data)
            for x in recorder.exchanges:
                x.on_disconnect = lambda: pytest.fail("the response was complete")
            assert not connection.eof_received()
            transport.close()
        assert server.connections == 0

    run(main())


def test_errors_of_admission_are_answered_in_step() -> None:
    def admit(head: RequestHead) -> int:
        if head.path == b"/missing":
            raise NotFound("no such route")
        return 100

    async def main() -> None:
        recorder = Recorder()
        server = HttpServer(recorder, admit=admit, render_error=render_error)
        connection, transport = connect_in_memory(server)
        connection.data_received(GET.replace(b"/g", b"/missing") + GET)
        await settle()
        assert transport.written.startswith(b"HTTP/1.1 404 ")
        assert len(recorder.exchanges) == 1, "without a body the connection goes on"
        connection.data_received(POST.replace(b"/p?q", b"/missing") + GET)
        await settle()
        assert transport.written.count(b"HTTP/1.1 404 ") == 2
        assert len(recorder.exchanges) == 1, "with a body it does not"
        assert connection.phase == LINGER

    run(main())


def test_what_handlers_and_admission_let_out_becomes_an_error_without_its_text() -> None:
    causes: list[BaseException | None] = []

    def render(error: Exception, head: RequestHead | None) -> tuple[int, list[tuple[bytes, bytes]], bytes]:  # noqa: ARG001
        causes.append(error.__cause__)
        return getattr(error, "http_status", 0), [], str(error).encode()

    def answer(exchange: Exchange) -> None:
        if exchange.head.path == b"/started":
            exchange.start(200, [])
        if exchange.head.path == b"/unavailable":
            raise Unavailable("later")
        raise KeyError("secret")

    def admit(head: RequestHead) -> int:
        if head.path == b"/admit":
            raise RuntimeError("secret")
        return 10

    async def main() -> None:
        server = HttpServer(answer, admit=admit, render_error=render)
        for path, status in ((b"/x", 500), (b"/unavailable", 503), (b"/admit", 500), (b"/started", 200)):
            connection, transport = connect_in_memory(server)
            connection.data_received(GET.replace(b"/g", path))
            assert transport.written.startswith(b"HTTP/1.1 %d " % status)
            assert b"secret" not in transport.written
            if status == 200:
                assert transport.closing
                assert b"0\r\n\r\n" not in transport.written
        assert [type(cause) for cause in causes] == [KeyError, type(None), RuntimeError]

    run(main())


def test_an_error_page_that_fails_is_still_an_answer() -> None:
    def render(*_: object) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        raise InvalidRequest("never shown")

    async def main() -> None:
        connection, transport = connect_in_memory(HttpServer(Recorder(), admit=lambda _: 1, render_error=render))
        connection.data_received(b"BAD\r\n\r\n")
        assert transport.written.startswith(b"HTTP/1.1 500 ")

    run(main())
