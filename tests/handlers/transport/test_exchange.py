from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import h11
import pytest

from handlers.transport.exchange import Exchange
from handlers.transport.limits import ServerLimits
from tests.handlers.transport.recorders import (
    Recorder,
    connect_in_memory,
    exchange_bytes,
    listening,
    run,
    serve,
)

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def read(raw: bytes, method: bytes = b"GET") -> tuple[int, list[tuple[bytes, bytes]], bytes, bool]:
    """A response as h11 reads it: status, headers, body, complete."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("host", "h")]))
    client.send(h11.EndOfMessage())
    client.receive_data(raw)
    response: Any = client.next_event()
    body, complete = b"", False
    while (event := client.next_event()) is not h11.NEED_DATA:
        if isinstance(event, h11.Data):
            body += bytes(event.data)
        else:
            complete = isinstance(event, h11.EndOfMessage)
            break
    return response.status_code, list(response.headers), body, complete


def answer_to(request: bytes, answer: Callable[[Exchange], None]) -> bytes:
    return exchange_bytes(request, Recorder(answer))


def test_a_complete_response() -> None:
    raw = answer_to(GET, lambda x: x.send(201, [(b"x-a", b"1")], b"body"))
    assert read(raw) == (201, [(b"x-a", b"1"), (b"content-length", b"4")], b"body", True)


def test_a_large_response_is_whole() -> None:
    body = bytes(range(256)) * 4000
    assert read(answer_to(GET, lambda x: x.send(200, [], body)))[2:] == (body, True)


def test_a_streamed_response() -> None:
    def answer(exchange: Exchange) -> None:
        exchange.start(200, [(b"content-type", b"text/event-stream")])
        exchange.write(b"one")
        exchange.write(b"")
        exchange.write(b"x" * 100_000)
        exchange.finish(b"last")

    status, headers, body, complete = read(answer_to(GET, answer))
    assert (status, body, complete) == (200, b"one" + b"x" * 100_000 + b"last", True)
    assert headers == [(b"content-type", b"text/event-stream"), (b"transfer-encoding", b"chunked")]


@pytest.mark.parametrize("final", [b"", b"last"])
def test_each_piece_and_the_end_are_one_write(final: bytes) -> None:
    async def main() -> None:
        recorder = Recorder(lambda _: None)
        connection, transport = connect_in_memory(serve(recorder))
        connection.data_received(GET)
        (exchange,) = recorder.exchanges
        exchange.start(200, [])
        exchange.write(b"abc")
        assert transport.writes == [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"]
        exchange.finish(final)
        assert transport.writes[1:] == [(b"4\r\nlast\r\n" if final else b"") + b"0\r\n\r\n"]

    run(main())


@pytest.mark.parametrize("ending", ["write", "finish", "abort", "large"])
def test_a_head_travels_with_what_follows_it(ending: str) -> None:
    async def main() -> None:
        recorder = Recorder(lambda _: None)
        connection, transport = connect_in_memory(serve(recorder))
        connection.data_received(GET)
        (exchange,) = recorder.exchanges
        exchange.start(200, [])
        assert transport.writes == []
        if ending == "write":
            exchange.write(b"abc")
        elif ending == "finish":
            exchange.finish(b"abc")
        elif ending == "large":
            exchange.write(b"x" * 100_000)
        else:
            exchange.abort()
        assert len(transport.writes) == 1
        assert transport.written.startswith(b"HTTP/1.1 200 OK\r\n")
        await asyncio.sleep(0)
        assert len(transport.writes) == 1

    run(main())


def test_a_served_request_leaves_no_reference_cycle() -> None:
    def answer(exchange: Exchange) -> None:
        exchange.on_disconnect = exchange.on_pause = exchange.on_resume = lambda: exchange.write(b"cycle")
        exchange.send(200, [])

    recorder = Recorder(answer)
    exchange_bytes(GET, recorder)
    (served,) = recorder.exchanges
    assert (served.on_disconnect, served.on_pause, served.on_resume) == (None, None, None)


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
@pytest.mark.parametrize("streamed", [False, True])
def test_responses_without_a_body(method: bytes, status: int, streamed: bool) -> None:
    def answer(exchange: Exchange) -> None:
        if streamed:
            exchange.start(status, [])
            exchange.write(b"ignored")
            exchange.finish(b"ignored")
        else:
            exchange.send(status, [], b"ignored")

    raw = answer_to(GET.replace(b"GET", method) * 2, answer)
    first, second = raw.split(b"\r\n\r\n")[:2]
    assert first == second, "the connection is in step"
    assert raw.endswith(b"\r\n\r\n")
    assert b"ignored" not in raw
    if method == b"HEAD" and not streamed:
        assert read(raw[: len(raw) // 2], b"HEAD")[1] == [(b"content-length", b"7")]
    if method == b"GET":
        assert b"content-length" not in raw
        assert b"transfer-encoding" not in raw


def test_an_abort_never_looks_complete() -> None:
    def answer(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"error event")
        exchange.abort()
        exchange.write(b"more")
        exchange.finish()

    raw = answer_to(GET * 2, answer)
    assert read(raw)[2:] == (b"error event", False)
    assert raw.count(b"HTTP/1.1") == 1, "nothing else is served"


def test_http_10_gets_a_body_without_chunks_and_a_close() -> None:
    def answer(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"one")
        exchange.finish(b"two")

    assert answer_to(b"GET / HTTP/1.0\r\n\r\n" * 2, answer) == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nonetwo"


def test_an_aborted_http_10_response_is_reset() -> None:
    def answer(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"part")
        exchange.abort()

    async def main() -> None:
        async with listening(serve(Recorder(answer))) as (reader, writer):
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            with pytest.raises(ConnectionResetError):
                await reader.read()

    run(main())


def test_connection_close_is_honoured_and_said() -> None:
    raw = answer_to(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") * 2, lambda x: x.send(200, []))
    assert raw == b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def test_a_response_that_would_be_split_becomes_a_500() -> None:
    raw = answer_to(GET, lambda x: x.send(200, [(b"x", b"a\r\nb: c")], b"body"))
    assert read(raw)[0] == 500
    assert b"body" not in raw


def test_a_second_head_is_a_bug_that_shows() -> None:
    raised = []

    def answer(exchange: Exchange) -> None:
        exchange.start(200, [])
        for again in (exchange.start, exchange.send):
            with pytest.raises(RuntimeError):
                again(200, [])
            raised.append(1)
        exchange.finish()
        exchange.send(200, [])
        exchange.finish()

    assert read(answer_to(GET, answer))[3]
    assert len(raised) == 2


def test_after_the_client_is_gone_nothing_is_written_and_nothing_raises() -> None:
    async def main() -> None:
        recorder = Recorder(lambda _: None)
        connection, transport = connect_in_memory(serve(recorder))
        gone: list[int] = []
        connection.data_received(GET)
        (exchange,) = recorder.exchanges
        exchange.on_disconnect = lambda: gone.append(1)
        transport.close()
        exchange.start(200, [])
        exchange.write(b"x")
        exchange.send(200, [])
        exchange.finish()
        exchange.abort()
        assert (exchange.closed, gone, transport.written) == (True, [1], b"")

    run(main())


def test_an_exchange_does_not_show_its_body() -> None:
    recorder = Recorder()
    exchange_bytes(b"POST /?k=hidden HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nhidden", recorder)
    assert "hidden" not in repr(recorder.exchanges[0])


def test_times_are_those_of_the_first_byte() -> None:
    async def main() -> None:
        recorder = Recorder()
        connection, _ = connect_in_memory(serve(recorder, ServerLimits()))
        for index in range(len(GET)):
            connection.data_received(GET[index : index + 1])
        connection.data_received(GET)
        first, second = recorder.exchanges
        assert 0 < first.received_at < second.received_at

    run(main())
