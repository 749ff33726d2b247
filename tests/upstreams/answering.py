"""An upstream that answers each call as a function says: for tests that look at what a provider is sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Asked(NamedTuple):
    """One call."""

    path: str
    credential: str
    """Of `Authorization: Bearer`."""
    body: bytes


class Reply(NamedTuple):
    """What the upstream says to it."""

    content: bytes
    status: int = 200
    content_type: str = "application/json"


@contextmanager
def answering(answer: Callable[[Asked], Reply]) -> Iterator[str]:
    """The address of such an upstream, with its /v1."""

    class Visit(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            reply = answer(Asked(self.path, self.headers.get("authorization", "").removeprefix("Bearer "), body))
            self.send_response(reply.status)
            self.send_header("content-type", reply.content_type)
            self.send_header("content-length", str(len(reply.content)))
            self.end_headers()
            self.wfile.write(reply.content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Visit)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
