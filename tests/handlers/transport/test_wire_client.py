from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from handlers.errors import FailureClass
from handlers.translation.canonical.usage import Usage
from handlers.transport.frames import (
    FrameReader,
    encode_answer,
    encode_end,
    encode_frame,
    encode_frame_header,
    encode_json,
    encode_request,
)
from handlers.transport.wire import FRAME_BYTES_MAX, SEMANTIC, FrameKind, WireEnd, WireHead
from handlers.transport.wire_client import KNOWN_HEAD_BYTES_MAX, WireClient, _known_heads
from handlers.transport.wire_server import WireReply, WireServer
from tests.handlers.transport.recorders import FrameSink, ReplyEars, run, scripted, wire_request
from tests.waiting import eventually

HEAD = WireHead(200, "application/json")
END = WireEnd(usage=Usage(input=3, output=4))
ANSWER = (
    encode_frame(FrameKind.HEAD, 0, encode_json(HEAD))
    + encode_frame(FrameKind.DATA, 0, b"role")
    + encode_frame(FrameKind.DATA, SEMANTIC, b"hello")
    + encode_frame(FrameKind.USAGE, 0, encode_json(Usage(input=3)))
    + encode_end(END, b"[DONE]")
)


async def call(client: WireClient, body: bytes = b"{}") -> FrameSink:
    sink = FrameSink()
    client.call(wire_request(), body, sink)
    await sink.done.wait()
    return sink


def test_an_answer_in_one_frame_is_heard_as_a_head_and_an_end() -> None:
    async def main() -> None:
        pod = Pod([encode_answer(encode_json(HEAD), END, b"all of it")])
        async with scripted(pod) as address:
            client = WireClient(address, connections_max=1)
            for _ in range(2):
                sink = await call(client)
                assert (sink.head, sink.pieces, sink.ends, sink.losses) == (HEAD, [], [(END, b"all of it")], 0)
            assert pod.connections == 1, "the connection is used again"
            await client.close()

    run(main())


@pytest.mark.parametrize("length", [1, KNOWN_HEAD_BYTES_MAX])
def test_only_short_heads_are_kept(length: int) -> None:
    async def main() -> None:
        head = WireHead(200, "application/json", {"x-therouter-warnings": "w" * length})
        encoded = encode_json(head)
        pod = Pod([encode_frame(FrameKind.HEAD, 0, encoded) + encode_end(END, b"")])
        async with scripted(pod) as address:
            client = WireClient(address, connections_max=1)
            for _ in range(2):
                assert (await call(client)).head == head
            await client.close()
        assert (encoded in _known_heads) == (len(encoded) <= KNOWN_HEAD_BYTES_MAX)

    run(main())


class Pod:
    """Answers each request with these pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.connections = 0
        self.closed = 0
        self.frames: list[tuple[int, int, bytes]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        frames = FrameReader()
        expected = len(self.frames)
        try:
            while data := await reader.read(65536):
                self.frames += frames.feed(data)
                if len(self.frames) >= expected + 2:
                    expected += 2
                    for piece in self.pieces:
                        writer.write(piece)
                        await writer.drain()
                        await asyncio.sleep(0)
        finally:
            self.closed += 1


def assert_whole(sink: FrameSink) -> None:
    assert sink.head == HEAD
    assert sink.pieces == [(b"role", False), (b"hello", True)]
    assert sink.usages == [Usage(input=3)]
    assert (sink.ends, sink.losses) == ([(END, b"[DONE]")], 0)


@pytest.mark.parametrize("size", [1, 2, 5, 7, 64, 10_000])
def test_law_an_answer_is_heard_alike_however_it_arrives(size: int) -> None:
    async def main() -> None:
        pod = Pod([ANSWER[i : i + size] for i in range(0, len(ANSWER), size)])
        async with scripted(pod) as address:
            client = WireClient(address, connections_max=4)
            for body in (b"{}", b"", b"x" * 200_000):
                assert_whole(await call(client, body))
            assert [(kind, payload) for kind, _, payload in pod.frames[1::2]] == [
                (FrameKind.BODY, b"{}"),
                (FrameKind.BODY, b""),
                (FrameKind.BODY, b"x" * 200_000),
            ]
            assert pod.frames[0] == (FrameKind.REQUEST, 0, encode_request(wire_request()))
            assert (pod.connections, client.connections) == (1, 1)
            await client.close()
            assert client.connections == 0

    run(main())


def test_a_pod_that_goes_at_any_byte_is_lost() -> None:
    async def main() -> None:
        for size in range(len(ANSWER)):

            async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int = size) -> None:
                await reader.read(100)
                writer.write(ANSWER[:size])

            async with scripted(play) as address:
                client = WireClient(address, connections_max=1)
                sink = await call(client)
                assert (sink.losses, sink.ends) == (1, []), size
                await client.close()

    run(main())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        encode_frame(FrameKind.REQUEST, 0, b"{}"),
        encode_frame(FrameKind.HEAD, 0, b"not json"),
        encode_frame(FrameKind.HEAD, 0, b'{"status":"x"}'),
        encode_frame(FrameKind.USAGE, 0, b'{"input":"many"}'),
        encode_frame(FrameKind.END, 0, b""),
        encode_frame_header(FrameKind.DATA, 0, FRAME_BYTES_MAX + 1),
    ],
)
def test_a_pod_that_misbehaves_is_lost(answer: bytes) -> None:
    async def main() -> None:
        pod = Pod([answer])
        async with scripted(pod) as address:
            client = WireClient(address, connections_max=1)
            sink = await call(client)
            assert (sink.losses, sink.ends) == (1, [])
            await eventually(lambda: client.connections == 0)
            await client.close()

    run(main())


def test_bytes_behind_an_end_make_the_connection_worthless() -> None:
    async def main() -> None:
        for surplus in (b"\x04", encode_frame(FrameKind.DATA, 0, b"x")):
            pod = Pod([ANSWER + surplus])
            async with scripted(pod) as address:
                client = WireClient(address, connections_max=1)
                for _ in range(3):
                    assert_whole(await call(client))
                    await eventually(lambda client=client: client.connections == 0)  # type: ignore[misc]
                assert pod.connections == 3
                await client.close()

    run(main())


def test_a_pod_that_is_not_there_is_lost(tmp_path: Path) -> None:
    async def main() -> None:
        for address in (f"unix:{tmp_path}/none", "127.0.0.1:1"):
            client = WireClient(address, connections_max=1)
            sink = FrameSink()
            client.call(wire_request(), b"", sink)
            assert sink.losses == 0, "never before call returns"
            await sink.done.wait()
            assert (sink.losses, client.connections) == (1, 0)

    run(main())


def test_a_call_is_never_sent_twice() -> None:
    async def main() -> None:
        requests = 0

        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal requests
            while await reader.read(65536):
                requests += 1
                if requests == 2:
                    return
                writer.write(ANSWER)

        async with scripted(play) as address:
            client = WireClient(address, connections_max=1)
            assert_whole(await call(client))
            assert (await call(client)).losses == 1
            assert requests == 2
            assert_whole(await call(client))
            await client.close()

    run(main())


def test_cancelling_is_seen_by_the_pod_and_silences_the_sink(tmp_path: Path) -> None:
    async def main() -> None:
        replies: list[WireReply] = []
        cancelled: list[str] = []

        def handler(reply: WireReply) -> None:
            replies.append(reply)
            reply.listener = ReplyEars(cancel=lambda: cancelled.append(reply.request.request_id))
            reply.data(b"x", semantic=True)

        server = WireServer(handler)
        client = WireClient(await server.listen(f"unix:{tmp_path}/s"), connections_max=4)
        sink, early, connecting = FrameSink(), FrameSink(), FrameSink()
        started = client.call(wire_request("one"), b"", sink)
        await eventually(lambda: bool(sink.pieces))
        started.cancel()
        started.cancel()
        started.pause_reading()
        started.resume_reading()
        client.call(wire_request("two"), b"", early).cancel()
        later = client.call(wire_request("three"), b"", connecting)
        await asyncio.sleep(0)
        later.cancel()
        await eventually(lambda: cancelled[:1] == ["one"])
        await eventually(lambda: client.connections == 0)
        assert replies[0].cancelled
        replies[0].data(b"more", semantic=True)
        replies[0].end(WireEnd())
        for silent in (sink, early, connecting):
            assert (silent.ends, silent.losses) == ([], 0)
        await client.close()
        await server.drain(0)

    run(main())


def test_stopping_asks_for_the_end_with_what_was_produced(tmp_path: Path) -> None:
    async def main() -> None:
        def handler(reply: WireReply) -> None:
            reply.data(b"x", semantic=True)
            if reply.request.request_id == "mute":
                return
            failed = WireEnd(usage=Usage(output=1), failure=FailureClass.CANCELLED)
            reply.listener = ReplyEars(cancel=lambda: reply.end(failed))

        server = WireServer(handler)
        client = WireClient(await server.listen(f"unix:{tmp_path}/s"), connections_max=1)
        for request_id in ("tells", "mute", "tells"):
            sink = FrameSink()
            call = client.call(wire_request(request_id), b"", sink)
            await eventually(lambda sink=sink: bool(sink.pieces))  # type: ignore[misc]
            call.pause_reading()
            call.stop()
            call.stop()
            await sink.done.wait()
            if request_id == "mute":
                assert (sink.ends, sink.losses) == ([], 1)
            else:
                assert [(end.failure, end.usage.output) for end, _ in sink.ends] == [(FailureClass.CANCELLED, 1)]
            await eventually(lambda: client.connections == 0)
        await client.close()
        await server.drain(1)

    run(main())


def test_stopping_or_abandoning_a_call_that_has_not_begun_or_has_ended(tmp_path: Path) -> None:
    async def main() -> None:
        server = WireServer(lambda reply: reply.data(b"x", semantic=True))
        client = WireClient(await server.listen(f"unix:{tmp_path}/s"), connections_max=1)
        connecting, waiting, abandoned = FrameSink(), FrameSink(), FrameSink()
        calls = [client.call(wire_request(), b"", sink) for sink in (connecting, waiting)]
        for call in calls:
            call.stop()
            call.abandon()
        await connecting.done.wait()
        await waiting.done.wait()
        assert (connecting.losses, waiting.losses) == (1, 1)
        last = client.call(wire_request(), b"", abandoned)
        await eventually(lambda: bool(abandoned.pieces))
        last.stop()
        last.abandon()
        await abandoned.done.wait()
        last.stop()
        last.abandon()
        await asyncio.sleep(0.02)
        assert [sink.losses for sink in (connecting, waiting, abandoned)] == [1, 1, 1]
        await eventually(lambda: client.connections == 0 and server.open_replies == 0)
        await client.close()
        await server.drain(1)

    run(main())


def test_connections_and_waiting_calls_are_bounded(tmp_path: Path) -> None:
    async def main() -> None:
        replies: list[WireReply] = []
        server = WireServer(replies.append)
        client = WireClient(await server.listen(f"unix:{tmp_path}/s"), connections_max=2)
        sinks = [FrameSink() for _ in range(5)]
        calls = [client.call(wire_request(str(n)), b"", sink) for n, sink in enumerate(sinks)]
        await sinks[4].done.wait()
        assert sinks[4].losses == 1
        await eventually(lambda: len(replies) == 2)
        assert client.connections == 2
        calls[2].cancel()
        replies[0].end(WireEnd())
        await eventually(lambda: len(replies) == 3)
        assert replies[2].request.request_id == "3", "a cancelled call gives its place up"
        for reply in replies:
            reply.end(WireEnd())
        for n in (0, 1, 3):
            await sinks[n].done.wait()
            assert len(sinks[n].ends) == 1
        assert not sinks[2].done.is_set()
        await client.close()
        await server.drain(0)

    run(main())


def test_closing_loses_what_is_open_and_refuses_what_comes(tmp_path: Path) -> None:
    async def main() -> None:
        server = WireServer(lambda _: None)
        client = WireClient(await server.listen(f"unix:{tmp_path}/s"), connections_max=1)
        sinks = [FrameSink(), FrameSink()]
        for sink in sinks:
            client.call(wire_request(), b"", sink)
        await eventually(lambda: server.open_replies == 1)
        await client.close()
        assert (await call(client)).losses == 1
        assert [sink.losses for sink in sinks] == [1, 1]
        await server.drain(0)

    run(main())


def test_an_answer_that_ends_while_paused_leaves_a_usable_connection(tmp_path: Path) -> None:
    async def main() -> None:
        def handler(reply: WireReply) -> None:
            reply.data(b"x", semantic=True)
            reply.end(WireEnd(failure=FailureClass.TIMEOUT), b"error")

        server = WireServer(handler)
        client = WireClient(await server.listen(f"unix:{tmp_path}/s"), connections_max=1)

        class PausingSink(FrameSink):
            def data_received(self, data: bytes, semantic: bool) -> None:
                super().data_received(data, semantic)
                current.pause_reading()

        for _ in range(3):
            sink = PausingSink()
            current = client.call(wire_request(), b"", sink)
            await asyncio.wait_for(sink.done.wait(), 2)
            assert sink.ends == [(WireEnd(failure=FailureClass.TIMEOUT), b"error")]
        assert client.connections == 1
        await client.close()
        await server.drain(0)

    run(main())
