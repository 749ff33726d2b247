from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.transport.header_fields import MalformedHead, parse_fields, split_lines
from handlers.transport.responses import (
    CHUNKED,
    READ_NAMES,
    UNTIL_CLOSE,
    encode_head,
    has_no_body,
    parse_response_head,
)


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
        (b"HTTP/1.1 200 OK", b"Content-Length: 1_0"),
        (b"HTTP/1.1 200 OK", b"Content-Length: \xb2"),
        (b"HTTP/1.1 200 OK", b"Transfer-Encoding: gzip"),
        (b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"HTTP/1.1 200 OK", b" folded"),
        (b"HTTP/1.1 200 OK", b"no colon"),
        (b"HTTP/1.1 200 OK", b"Content-Length : 5"),
        (b"HTTP/1.1 200 OK", b": 5"),
        (b"HTTP/1.1 200 OK", b""),
        (b"HTTP/1.1 200 OK", b"x\x80: 5"),
        (b"HTTP/1.1 200 OK", b"x: a\0"),
        (b"HTTP/1.1 200 O\x7fK",),
        (b"HTTP/1.1 200 OK", b"content-length: 5", b"x: y\nTransfer-Encoding: chunked"),
        (b"HTTP/1.1 200 OK", b"CONTENT-length:5", b"content-LENGTH: 5"),
        (b"HTTP/1.1 200 OK", b"x: a\rb"),
        (b"HTTP/1.1 200 OK", *[b"x: y"] * 101),
    ],
)
def test_a53_doubtful_heads_are_malformed(lines: tuple[bytes, ...]) -> None:
    with pytest.raises(MalformedHead):
        parse(*lines)


def test_only_what_is_read_of_a_head_is_returned() -> None:
    head = parse_response_head(
        b"HTTP/1.1 200 OK\r\nDate: x\r\nCONTENT-Type: \t text/plain; a=b \t\r\nset-cookie: a\r\nRetry-After:\r\nRetry-After-Ms: 5",
        b"POST",
        100,
    )
    assert head.headers == {"content-type": "text/plain; a=b", "retry-after": "", "retry-after-ms": "5"}
    twice = parse_response_head(b"HTTP/1.1 200 OK\r\nconnection: x\r\nretry-after: 1\r\nConnection: Close", b"POST", 9)
    assert twice.headers["connection"] == "x,Close"
    assert not twice.keep_alive


def read_by_lines(section: bytes) -> tuple[bytes, dict[str, str]]:
    """What the gate for requests, which reads line by line, makes of a head."""
    status_line, *lines = split_lines(section)
    fields = parse_fields(lines)
    names = [name for name, _ in fields]
    for name in (b"content-length", b"transfer-encoding"):
        if names.count(name) > 1:
            raise MalformedHead(name)
    texts = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]
    return status_line, {name: value for name, value in texts if name in READ_NAMES}


PIECES = st.sampled_from([
    b"HTTP/1.1 200 OK", b"\r\n", b"\r\n", b"\r\n", b"\r", b"\n", b"Content-Type", b"content-type", b"content-length", b": 5", b":", b" ",
    b"\t", b"a", b"retry-after", b"Retry-After: 7", b"x-a: b", b"request-id: r", b"content-encoding:gzip", b"\0", b"\xff", b"connection: a",
    b"(", b"-ms", b"\xb2", b"\xc0",
])  # fmt: skip


@given(st.lists(PIECES, max_size=12).map(b"".join))
@settings(max_examples=2_000)
def test_one_pattern_reads_what_reading_by_lines_reads(rest: bytes) -> None:
    section = b"HTTP/1.1 200 OK\r\n" + rest
    try:
        status_line, fields = read_by_lines(section)
        parse_response_head(status_line, b"POST", 100)
        expected: dict[str, str] | None = fields
    except MalformedHead:
        expected = None
    try:
        head = parse_response_head(section, b"HEAD", 100)
        found: dict[str, str] | None = {name: value for name, value in head.headers.items() if name in READ_NAMES}
    except MalformedHead as error:
        found = None
        if "Content-Length" in str(error):
            return
    assert found == expected
