"""The upstream of a replay: one loopback server that gives each provider's pod the answer it is told to give next."""

from __future__ import annotations

import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

from handlers.local.replay_exchanges import Exchange

PIECES_MAX = 8
"""Into how many pieces, cut at random places, an answer is split."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A pod that hangs up, as it does after a failure, is nothing to report."""
        del request, client_address


class ReplayUpstream:
    """Serves http://127.0.0.1:PORT/<slug>/...; thread-safe."""

    def __init__(self) -> None:
        self._next: dict[str, Exchange] = {}
        self._seen: dict[str, int] = {}
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def address(self, slug: str) -> str:
        """The base URL of a provider."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/{slug}"

    def prepare(self, slug: str, exchange: Exchange) -> None:
        """The next requests of this provider's pod get this answer."""
        self._next[slug] = exchange
        self._seen[slug] = 0

    def asked(self, slug: str) -> int:
        """How many requests have come since."""
        return self._seen.get(slug, 0)

    def take(self, slug: str) -> Exchange | None:
        """The answer to give."""
        self._seen[slug] = self._seen.get(slug, 0) + 1
        return self._next.get(slug)


def _handler(upstream: ReplayUpstream) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Answer with what was prepared, in random pieces."""
            self.rfile.read(int(self.headers.get("content-length") or 0))
            exchange = upstream.take(self.path.split("/")[1])
            if exchange is None:
                self.send_error(404)
                return
            self.send_response(exchange.status)
            self.send_header("content-type", exchange.content_type)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for piece in _pieces(exchange):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the name is the base class's
            """Bodies and paths are nobody's business."""

    return Handler


def _pieces(exchange: Exchange) -> list[bytes]:
    body = exchange.body
    source = random.Random(exchange.id)  # noqa: S311 a splitting that can be repeated, not a secret
    cuts = sorted(source.randrange(len(body) + 1) for _ in range(source.randrange(PIECES_MAX)))
    places = [0, *cuts, len(body)]
    return [body[start:end] for start, end in pairwise(places) if end > start]
