from __future__ import annotations

import pytest

from handlers.transport.header_fields import MalformedHead
from handlers.transport.responses import CHUNKED, UNTIL_CLOSE, encode_head, has_no_body, parse_response_head


def parse(*lines: bytes, method: bytes = b"POST") -> tuple[int, int, bool]:
    head = parse_response_head(b"\r\n".join(lines), method, 100)
    return head.status, head.body_length, head.keep_alive


def test_a_head_is_written() -> None:
    assert encode_head(200, [(b"x-a", b"1")], b"content-length: 0\r\n") == (
        b"HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 0\r\n\r\n"
    )
    assert encode_head(529, [], b"").startswith(b"HTTP/1.1 529 \r\n")


@pytest.mark.claim("A56")
def test_a56_a_head_that_would_be_split_is_not_written() -> None:
    with pytest.raises(ValueError, match="header"):
        encode_head(200, [(b"x", b"a\r\n\r\nHTTP/1.1 200 OK")], b"")


@pytest.mark.parametrize(
    ("method", "status", "bodiless"),
    [(b"HEAD", 200, True), (b"GET", 204, True), (b"POST", 304, True), (b"GET", 200, False), (b"GET", 100, True)],
)
def test_which_responses_have_no_body(method: bytes, status: int, bodiless: bool) -> None:
    assert has_no_body(method, status) is bodiless


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((b"HTTP/1.1 200 OK", b"Content-Length: 5"), (200, 5, True)),
        ((b"HTTP/1.1 200", b"Content-Length: 5"), (200, 5, True)),
        ((b"HTTP/1.1 200 ", b"Content-Length: 0"), (200, 0, True)),
        ((b"HTTP/1.1 529 Site is overloaded", b"Transfer-Encoding: Chunked"), (529, CHUNKED, True)),
        ((b"HTTP/1.1 200 OK", b"Connection: Close", b"Content-Length: 5"), (200, 5, False)),
        ((b"HTTP/1.0 200 OK", b"Content-Length: 5"), (200, 5, False)),
        ((b"HTTP/1.1 200 OK",), (200, UNTIL_CLOSE, False)),
        ((b"HTTP/1.1 204 No Content",), (204, 0, True)),
        ((b"HTTP/1.1 302 Found", b"Location: http://x", b"Content-Length: 0"), (302, 0, True)),
        ((b"HTTP/1.1 200 OK", b"x_odd: 1", b"Content-Length: 1"), (200, 1, True)),
    ],
)
def test_heads_are_read(lines: tuple[bytes, ...], expected: tuple[int, int, bool]) -> None:
    assert parse(*lines) == expected


def test_a_head_response_has_no_body_whatever_it_announces() -> None:
    assert parse(b"HTTP/1.1 200 OK", b"Content-Length: 99", method=b"HEAD") == (200, 0, True)


@pytest.mark.claim("A53")
@pytest.mark.parametrize(
    "lines",
    [
        (b"",),
        (b"HTTP/2 200 OK",),
        (b"HTTP/1.1 20 OK",),
        (b"HTTP/1.1 600 X",),
        (b"HTTP/1.1  200 OK",),
        (b"ICY 200 OK",),
        (b"HTTP/1.1 200 OK\nX: y",),
        (b"HTTP/1.1 200 OK", b"Content-Length: 5", b"Content-Length: 5"),
        (b"HTTP/1.1 200 OK", b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        (b"HTTP/1.1 200 OK", b"Content-Length: -1"),
        (b"HTTP/1.1 200 OK", b"Transfer-Encoding: gzip"),
        (b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"HTTP/1.1 200 OK", b" folded"),
        (b"HTTP/1.1 200 OK", b"no colon"),
        (b"HTTP/1.1 200 OK", b"x: a\rb"),
        (b"HTTP/1.1 200 OK", *[b"x: y"] * 101),
    ],
)
def test_a53_doubtful_heads_are_malformed(lines: tuple[bytes, ...]) -> None:
    with pytest.raises(MalformedHead):
        parse(*lines)
