"""A loopback server for stand-ins of cloud APIs: one POST, one JSON answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from handlers.clouds import aliyun_api

Answer = Callable[[dict[str, str], bytes], tuple[int, Any]]
"""(headers in lower case, with path and method as `:path` and `:method`; body) -> (status, what becomes JSON)."""


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """Serve on a free port; the address. Whoever asks is patient meanwhile: a busy machine is no cloud that does not answer."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, content = answer({**headers, ":path": self.path, ":method": self.command}, body)
            payload = msgspec.json.encode(content)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST  # noqa: N815 - named by the base class

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        with pytest.MonkeyPatch.context() as patience:
            patience.setattr(aliyun_api, "TIMEOUT_S", 60.0)
            yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
