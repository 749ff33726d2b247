"""A small HTTP client for load: it says exactly what arrived, and whether the answer was complete."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Answer:
    """What came back. `complete` is True only when the framing says that everything arrived."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False


class Client:
    """One keep-alive connection to a loopback port; reconnects when it has to."""

    def __init__(self, port: int, key: str, headers: str = "") -> None:
        self._port = port
        self._key = key
        self._headers = headers
        """Further header lines, each with its end."""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(
        self, path: str, body: bytes, timeout_s: float = 30.0, on_data: Callable[[Answer], None] | None = None
    ) -> Answer:
        """Send one request and read its answer; connection errors end in an incomplete answer.

        `on_data` is called with what has come so far, after each piece of a streamed answer.
        """
        answer = Answer()
        try:
            async with asyncio.timeout(timeout_s):
                await self._exchange(path, body, answer, on_data)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ValueError):
            self.close()
        return answer

    def close(self) -> None:
        """Drop the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _exchange(self, path: str, body: bytes, answer: Answer, on_data: Callable[[Answer], None] | None) -> None:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
        reader, writer = self._streams
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {self._key}\r\n"
            f"{self._headers}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        status_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        answer.status = int(status_line.split(" ")[1])
        answer.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "content-length" in answer.headers:
            answer.body = await reader.readexactly(int(answer.headers["content-length"]))
        else:
            while size := int(await reader.readline(), 16):
                answer.body += await reader.readexactly(size)
                await reader.readexactly(2)
                if on_data is not None:
                    on_data(answer)
            await reader.readexactly(2)
        answer.complete = True
        if answer.headers.get("connection") == "close":
            self.close()
