from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path

import pytest

from handlers.errors import FailureClass
from handlers.translation.canonical.usage import Usage
from handlers.transport.frames import FrameReader, encode_frame, encode_frame_header, encode_request
from handlers.transport.wire import FRAME_BYTES_MAX, FrameKind, WireEnd, WireHead
from handlers.transport.wire_client import WireClient
from handlers.transport.wire_server import WireReply, WireServer, _Connection
from tests.handlers.transport.recorders import FrameSink, MemoryTransport, ReplyEars, dial, run, wire_request
from tests.waiting import eventually

REQUEST = encode_frame(FrameKind.REQUEST, 0, encode_request(wire_request()))
BODY = encode_frame(FrameKind.BODY, 0, b"{}")
WHOLE = REQUEST + BODY


def echo(reply: WireReply) -> None:
    reply.head(WireHead(200, "x"))
    reply.data(reply.body, semantic=True)
    reply.usage(Usage(output=len(reply.body)))
    reply.end(WireEnd(semantic=True), b"!")


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize("body", [b"", b"{}", b"x" * 3_000_000])
def test_a_request_is_answered_whole(kind: str, body: bytes, tmp_path: Path) -> None:
    async def main() -> None:
        server = WireServer(echo)
        address = await server.listen("127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path}/s")
        client = WireClient(address, connections_max=2)
        for _ in range(3):
            sink = FrameSink()
            client.call(wire_request(), body, sink)
            await sink.done.wait()
            assert sink.head == WireHead(200, "x")
            assert b"".join(data for data, _ in sink.pieces) == body
            assert sink.usages == [Usage(output=len(body))]
            assert sink.ends == [(WireEnd(semantic=True), b"!")]
        await client.close()
        await server.drain(1)
        assert server.open_replies == 0

    run(main())


def test_law_a_request_is_read_alike_at_every_split(tmp_path: Path) -> None:
    async def main() -> None:
        replies: list[WireReply] = []

        def handler(reply: WireReply) -> None:
            replies.append(reply)
            reply.end(WireEnd())

        server = WireServer(handler)
        address = await server.listen(f"unix:{tmp_path}/s")
        reader, writer = await dial(address)
        for position in range(1, len(WHOLE)):
            writer.write(WHOLE[:position])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            writer.write(WHOLE[position:])
            await reader.readexactly(1)
            await eventually(lambda wanted=position: len(replies) == wanted)  # type: ignore[misc]
        assert all((reply.request, reply.body) == (wire_request(), b"{}") for reply in replies)
        writer.close()
        await server.drain(1)

    run(main())


@pytest.mark.parametrize(
    "data",
    [
        BODY,
        REQUEST + REQUEST,
        WHOLE + REQUEST,
        encode_frame(FrameKind.REQUEST, 0, b"{}"),
        encode_frame(FrameKind.REQUEST, 0, b"\xff"),
        encode_frame(FrameKind.END, 0, b""),
        encode_frame_header(FrameKind.REQUEST, 0, FRAME_BYTES_MAX + 1),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_a_gateway_that_misbehaves_is_cut_off(data: bytes, tmp_path: Path) -> None:
    async def main() -> None:
        replies: list[WireReply] = []
        server = WireServer(replies.append)
        reader, writer = await dial(await server.listen(f"unix:{tmp_path}/s"))
        writer.write(data)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        assert all(reply.cancelled for reply in replies)
        writer.close()
        await server.drain(0)

    run(main())


def test_a_complete_answer_is_one_write_and_a_lone_head_does_not_wait() -> None:
    async def main() -> None:
        replies: list[WireReply] = []
        connection = _Connection(WireServer(replies.append))
        transport = MemoryTransport(connection)
        connection.connection_made(transport)
        connection.data_received(WHOLE)
        echo(replies[0])
        assert len(transport.writes) == 2, "HEAD with DATA, USAGE with END"
        connection.data_received(WHOLE)
        replies[1].head(WireHead(200, "x"))
        replies[1].usage(Usage(input=1))
        assert len(transport.writes) == 2
        await asyncio.sleep(0)
        assert len(transport.writes) == 3
        replies[1].end(WireEnd())
        await asyncio.sleep(0)
        kinds = [kind for kind, _, _ in FrameReader().feed(transport.written)]
        assert kinds == [3, 4, 5, 6, 3, 5, 6]
        connection.data_received(WHOLE)
        replies[2].answer(WireHead(200, "x"), WireEnd(), b"!")
        assert len(transport.writes) == 5
        assert [kind for kind, _, _ in FrameReader().feed(transport.writes[4])] == [FrameKind.ANSWER]
        connection.data_received(WHOLE)
        replies[3].start(WireHead(200, "x"), b"!", semantic=True)
        assert len(transport.writes) == 6, "HEAD with DATA"
        assert FrameReader().feed(transport.writes[5]) == [
            (FrameKind.HEAD, 0, WireHead(200, "x").encoded),
            (FrameKind.DATA, 1, b"!"),
        ]
        replies[3].end(WireEnd())

    run(main())


def test_a_refused_request_is_closed_without_a_frame(tmp_path: Path) -> None:
    async def main() -> None:
        server = WireServer(lambda reply: reply.refuse())
        address = await server.listen(f"unix:{tmp_path}/s")
        reader, writer = await dial(address)
        writer.write(WHOLE)
        assert await reader.read() == b""
        sink = FrameSink()
        client = WireClient(address, connections_max=1)
        client.call(wire_request(), b"", sink)
        await sink.done.wait()
        assert sink.losses == 1
        writer.close()
        await client.close()
        await server.drain(0)

    run(main())


def test_what_a_handler_lets_out_closes_the_connection_and_is_counted(tmp_path: Path) -> None:
    async def main() -> None:
        faults: list[Exception] = []

        def handler(reply: WireReply) -> None:
            reply.data(b"x", semantic=True)
            raise KeyError("secret")

        server = WireServer(handler, on_fault=faults.append)
        client = WireClient(await server.listen(f"unix:{tmp_path}/s"), connections_max=1)
        sink = FrameSink()
        client.call(wire_request(), b"", sink)
        await sink.done.wait()
        assert (sink.losses, [type(fault) for fault in faults]) == (1, [KeyError])
        await client.close()
        await server.drain(0)

    run(main())


@pytest.mark.parametrize("way", ["close", "reset", "half"])
def test_a_gateway_that_goes_is_a_cancellation_once(way: str, tmp_path: Path) -> None:
    async def main() -> None:
        cancelled: list[int] = []
        replies: list[WireReply] = []

        def handler(reply: WireReply) -> None:
            replies.append(reply)
            reply.listener = ReplyEars(cancel=lambda: cancelled.append(1))

        server = WireServer(handler)
        _, writer = await dial(await server.listen(f"unix:{tmp_path}/s"))
        writer.write(WHOLE)
        await eventually(lambda: server.open_replies == 1)
        if way == "half":
            writer.write_eof()
        elif way == "reset":
            writer.transport.abort()
        else:
            writer.close()
        await eventually(lambda: cancelled == [1])
        assert server.open_replies == 0
        assert (replies[0].cancelled, replies[0].open) == (True, False)
        replies[0].head(WireHead(200, "x"))
        replies[0].usage(Usage())
        replies[0].end(WireEnd())
        writer.close()
        await server.drain(0)

    run(main())


def test_draining_lets_open_exchanges_end(tmp_path: Path) -> None:
    async def main() -> None:
        replies: list[WireReply] = []
        server = WireServer(replies.append)
        address = await server.listen(f"unix:{tmp_path}/s")
        client = WireClient(address, connections_max=2)
        sink = FrameSink()
        client.call(wire_request(), b"", sink)
        idle_reader, idle_writer = await dial(address)
        await eventually(lambda: len(replies) == 1)
        draining = asyncio.create_task(server.drain(5))
        assert await idle_reader.read() == b""
        assert not draining.done()
        replies[0].end(WireEnd(failure=FailureClass.OVERLOADED))
        await sink.done.wait()
        await draining
        assert sink.ends == [(WireEnd(failure=FailureClass.OVERLOADED), b"")]
        late = FrameSink()
        client.call(wire_request(), b"", late)
        await late.done.wait()
        assert late.losses == 1
        idle_writer.close()
        await client.close()

    run(main())


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_back_pressure_reaches_the_pod_and_memory_stays_bounded(kind: str, tmp_path: Path) -> None:
    total = 64_000_000

    async def main() -> None:
        tasks: list[asyncio.Task[None]] = []
        paused: list[int] = []

        def handler(reply: WireReply) -> None:
            free = asyncio.Event()
            free.set()

            def pause() -> None:
                paused.append(1)
                free.clear()

            reply.listener = ReplyEars(pause=pause, resume=free.set)

            async def produce() -> None:
                for _ in range(total // 8000):
                    await free.wait()
                    reply.data(b"x" * 8000, semantic=True)
                reply.end(WireEnd())

            tasks.append(asyncio.get_running_loop().create_task(produce()))

        class CountingSink(FrameSink):
            received = 0

            def data_received(self, data: bytes, semantic: bool) -> None:  # noqa: ARG002
                self.received += len(data)

        server = WireServer(handler)
        address = await server.listen("127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path}/s")
        client = WireClient(address, connections_max=1)
        sink = CountingSink()
        tracemalloc.start()
        call = client.call(wire_request(), b"", sink)
        await eventually(lambda: sink.received > 0)
        call.pause_reading()
        await asyncio.sleep(0.2)
        stalled = sink.received
        await asyncio.sleep(0.05)
        assert sink.received == stalled
        await eventually(lambda: paused)
        assert not tasks[0].done()
        call.resume_reading()
        await sink.done.wait()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert sink.received == total
        assert peak < 4_000_000
        await asyncio.gather(*tasks)
        await client.close()
        await server.drain(1)

    run(main())


def test_a_reply_does_not_show_its_body() -> None:
    async def main() -> None:
        shown: list[str] = []
        server = WireServer(lambda reply: shown.append(repr(reply)))
        reader, writer = await dial(await server.listen("127.0.0.1:0"))
        writer.write(REQUEST + encode_frame(FrameKind.BODY, 0, b"hidden"))
        await eventually(lambda: bool(shown))
        assert "hidden" not in shown[0]
        writer.close()
        await server.drain(0)
        assert await reader.read() == b""

    run(main())
