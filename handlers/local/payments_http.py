"""A small HTTP server on loopback threads, for the payment companies' stand-ins. Not on the data path, and not for strangers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec

BODY_BYTES_MAX = 1024 * 1024


class Request(NamedTuple):
    """What came in; header names in lower case."""

    method: str
    target: str
    """Path and query, as sent: signatures are made over it."""
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> list[tuple[str, str]]:
        """Decoded pairs of the query."""
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True)


class Reply(NamedTuple):
    """What goes out."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = {}  # noqa: RUF012 -- never changed: replies are values


def json_reply(status: int, content: object, headers: dict[str, str] | None = None) -> Reply:
    """A JSON reply."""
    return Reply(status, msgspec.json.encode(content), headers=headers or {})


class LoopbackServer:
    """Serves `answer` on 127.0.0.1, a thread for each connection.

    Args:
        port: 0 takes a free one.
    """

    def __init__(self, answer: Callable[[Request], Reply], port: int = 0) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler_for(answer))
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def start(self) -> None:
        """Serve in the background."""
        self._thread.start()

    def close(self) -> None:
        """Stop and free the port."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler_for(answer: Callable[[Request], Reply]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def _serve(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            if not 0 <= length <= BODY_BYTES_MAX:
                self.close_connection = True
                self._send(Reply(413))
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._send(answer(Request(self.command, self.path, headers, self.rfile.read(length))))

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.status != 204:
                self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815 -- the base class's names

        def log_message(self, format: str, *_: object) -> None:  # noqa: A002 -- the base class's name
            """Say nothing: request lines hold ids of orders."""

    return Handler
