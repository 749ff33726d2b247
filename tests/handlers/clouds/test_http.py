from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from handlers.clouds.http import ANSWER_BYTES_MAX, send
from handlers.clouds.secrets import SecretError


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(418)
        self.end_headers()
        self.wfile.write(body or b"x" * (ANSWER_BYTES_MAX + 10))

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.path} {self.headers['x-test']}".encode())

    def log_message(self, *_arguments: object) -> None:
        return


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_status_and_body_come_back(url: str) -> None:
    answer = send("POST", f"{url}/", {"content-type": "text/plain"}, b"hello")
    assert (answer.status, answer.body) == (418, b"hello")
    assert "hello" not in repr(answer)
    assert send("GET", f"{url}/a/b?c=d", {"x-test": "yes"}, b"").body == b"/a/b?c=d yes"


def test_an_answer_is_bounded(url: str) -> None:
    assert len(send("POST", f"{url}/", {}, b"").body) == ANSWER_BYTES_MAX


@pytest.mark.parametrize("address", ["http://secrets.example.com/", "ftp://127.0.0.2/", "http://10.0.0.1/"])
def test_nothing_is_sent_in_clear_to_another_machine(address: str) -> None:
    with pytest.raises(SecretError, match="https"):
        send("POST", address, {}, b"canary")


def test_a_silent_store_is_named_without_detail() -> None:
    with pytest.raises(SecretError, match=r"127\.0\.0\.1 does not answer"):
        send("GET", "http://127.0.0.1:1/", {}, b"", timeout_s=1)
