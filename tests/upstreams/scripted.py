"""An upstream that does as it is told: `ScriptedUpstream()` in a test, `python -m tests.upstreams.scripted` as a process.

How it is told, first match wins
    a marker anywhere in the request body, so that a test can steer it through the whole system:
        {{play reset-at k=40}}
    the queue: `upstream.play("status", code="429", retry_after="2")` for the next request, or POST /control/play
    the correct answer.

What it saw is in `upstream.received`, or GET /control/received: requests with their headers and bodies, whether the play
ran to its end, and when the other side hung up.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import re
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec

from tests.upstreams.answers import Answer, asks_for_stream, format_of
from tests.upstreams.plays import PLAYS, Ending, Heard, Play, Step, perform, whole
from tests.waiting import PATIENCE_S

MARKER = re.compile(rb"\{\{play ([a-z0-9-]+)((?: [a-z_]+=[A-Za-z0-9_.:/-]*)*)\}\}")


@dataclass
class Received:
    """One request as the upstream saw it. Times are `time.monotonic()`."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connection: int
    """Number of the connection it came on, from 0."""
    play: Play
    arrived_at: float = field(default_factory=time.monotonic)
    finished: bool = False
    """The play ran to its end."""
    hung_up_at: float | None = None
    """When the other side was found gone before the end."""

    def header(self, name: str) -> str:
        """The first value of a header, or empty."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    def json(self) -> Any:
        """The decoded body."""
        return msgspec.json.decode(self.body)


class _HungUpError(Exception):
    """The other side left before the play was over."""


class _Reader(asyncio.StreamReader):
    """A reader that tells at once when the other side has gone, also while nobody reads."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.gone = asyncio.Event()

    def feed_eof(self) -> None:
        super().feed_eof()
        self.gone.set()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self.gone.set()


class ScriptedUpstream:
    """A loopback HTTP server in a thread of its own; a context manager.

    One that is not `obedient` follows no markers: the healthy provider beside one that does as it is told.
    """

    def __init__(self, port: int = 0, *, obedient: bool = True) -> None:
        self._obedient = obedient
        self.received: list[Received] = []
        self.connections = 0
        self._queue: deque[Play] = deque()
        self._heard: dict[str, asyncio.Event] = {}
        self._socket = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    def play(self, name: str, **options: str) -> None:
        """Answer the next request that carries no marker with this play."""
        if name not in PLAYS:
            raise KeyError(name)
        self._queue.append(Play(name, options))

    def tell_heard(self, gate: str) -> None:
        """The client of the play with this `gate` has received its beginning: what is to happen after it may happen."""
        self._loop.call_soon_threadsafe(lambda: self._gate(gate).set())

    def _gate(self, name: str) -> asyncio.Event:
        return self._heard.setdefault(name, asyncio.Event())

    def wait_until(self, condition: Callable[[Self], bool], timeout_s: float = PATIENCE_S) -> bool:
        """Poll until the condition on this upstream holds; False when the time is up."""
        deadline = time.monotonic() + timeout_s
        while not condition(self):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)

    def _run(self) -> None:
        server = self._loop.run_until_complete(self._loop.create_server(self._protocol, sock=self._socket))
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(self._stop())
        self._loop.close()

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        reader = _Reader(limit=2**26)
        return asyncio.StreamReaderProtocol(reader, lambda _, writer: self._serve(reader, writer))

    async def _serve(self, reader: _Reader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        number, self.connections = self.connections, self.connections + 1
        try:
            while await self._exchange(reader, writer, number):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side is gone, or the test is over
        finally:
            writer.close()

    async def _exchange(self, reader: _Reader, writer: asyncio.StreamWriter, number: int) -> bool:
        """Serve one request; whether the connection can carry another."""
        request_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        method, target, _ = request_line.split(" ", 2)
        headers = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
        body = await _read_body(reader, {name.lower(): value for name, value in headers})
        if target.startswith("/control/"):
            writer.write(self._control(target, body))
            return True
        play = self._choose(headers, body)
        seen = Received(method, target, headers, body, number, play)
        self.received.append(seen)
        gone = asyncio.ensure_future(reader.gone.wait())
        try:
            ending = await self._act(perform(play, _answer_for(target, body)), writer, gone)
        except (_HungUpError, OSError):  # found gone while waiting, or while writing
            seen.hung_up_at = time.monotonic()
            return False
        finally:
            gone.cancel()
        seen.finished = True
        return ending is None

    async def _act(
        self, steps: Iterable[Step], writer: asyncio.StreamWriter, gone: asyncio.Future[Any]
    ) -> Ending | None:
        """Play the steps until they end or the other side has gone."""
        for step in steps:
            if isinstance(step, bytes):
                writer.write(step)
                await _until(gone, writer.drain())
            elif isinstance(step, float):
                await _until(gone, asyncio.sleep(step))
            elif isinstance(step, Heard):
                await _until(gone, self._gate(step.gate).wait())
            elif step is Ending.HANG:
                await _until(gone, asyncio.Event().wait())
            else:
                if step is Ending.RESET:
                    _reset(writer)
                return step
        return None

    def _choose(self, headers: tuple[tuple[str, str], ...], body: bytes) -> Play:
        marker = MARKER.search(body) if self._obedient else None
        if marker is not None:
            options = dict(pair.split("=", 1) for pair in marker[2].decode().split())
            return Play(marker[1].decode(), options, headers, body)
        chosen = self._queue.popleft() if self._queue else Play()
        return Play(chosen.name, chosen.options, headers, body)

    def _control(self, target: str, body: bytes) -> bytes:
        if target == "/control/play":
            row: dict[str, str] = msgspec.json.decode(body)
            self.play(row.pop("name"), **row)
        seen = [
            {
                "method": item.method,
                "target": item.target,
                "headers": item.headers,
                "body": base64.b64encode(item.body).decode(),
                "play": item.play.name,
                "finished": item.finished,
                "hung_up_after_s": item.hung_up_at and item.hung_up_at - item.arrived_at,
            }
            for item in self.received
        ]
        return b"".join(step for step in whole(msgspec.json.encode(seen)) if isinstance(step, bytes))


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "chunked" not in headers.get("transfer-encoding", ""):
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = bytearray()
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return bytes(body)


def _reset(writer: asyncio.StreamWriter) -> None:
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _until(gone: asyncio.Future[Any], work: Any) -> None:
    """Await the work, or raise as soon as the other side has gone."""
    task = asyncio.ensure_future(work)
    await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
        raise _HungUpError
    task.result()


def _answer_for(target: str, body: bytes) -> Answer:
    """The correct answer to a request; a body that is not JSON is answered as if it were empty."""
    try:
        request = msgspec.json.decode(body) if body else {}
    except msgspec.DecodeError:
        request = {}
    usage = Answer("", stream=False, model="").usage
    options = request.get("stream_options") or {}
    if format_of(target) == "openai_chat" and request.get("stream") and not options.get("include_usage"):
        usage = None  # as the real ones: only who asks is told
    return Answer(
        format=format_of(target) or "openai_chat",
        stream=asks_for_stream(target, request),
        model=str(request.get("model", "scripted")),
        usage=usage,
    )


def main(arguments: list[str]) -> int:
    """Serve until killed; prints one line with the address."""
    parser = argparse.ArgumentParser(description="a scripted LLM provider on loopback")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args(arguments)
    with ScriptedUpstream(options.port) as upstream:
        sys.stdout.write(f"scripted upstream ready at {upstream.url}\n")
        sys.stdout.flush()
        threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
