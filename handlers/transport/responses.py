"""Response heads: writing ours, reading those of upstreams."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import NamedTuple

from handlers.transport.header_fields import MalformedHead, encode_fields, parse_fields, parse_length, split_lines

UNTIL_CLOSE = -1
CHUNKED = -2

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?")
_NO_BODY = frozenset({204, 304})


def encode_head(status: int, headers: list[tuple[bytes, bytes]], framing: bytes) -> bytes:
    """A response head with its empty line. `framing` is our own header lines, each ended by CR LF.

    Raises ValueError when a header would change the framing or break out of its line: such a response is never sent.
    """
    status_line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    return status_line + encode_fields(headers) + framing + b"\r\n"


def has_no_body(method: bytes, status: int) -> bool:
    """Whether a response to this method with this status ends with its head (RFC 9112 6.3)."""
    return method == b"HEAD" or status in _NO_BODY or status < 200


class ResponseHead(NamedTuple):
    """What an upstream's response head says."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body_length: int
    """Bytes, or UNTIL_CLOSE, or CHUNKED."""
    keep_alive: bool


def parse_response_head(section: bytes, method: bytes, headers_max: int) -> ResponseHead:
    """Read a head, from its first byte to before its empty line. Raises MalformedHead."""
    lines = split_lines(section)
    match = _STATUS_LINE.fullmatch(lines.pop(0))
    if match is None or len(lines) > headers_max:
        raise MalformedHead("The response has no valid status line, or too many headers.")
    status = int(match[2])
    headers = parse_fields(lines)
    length, coding, connection = _framing_fields(headers)
    keep_alive = match[1] == b"1" and b"close" not in connection
    body_length = _decide_body_length(length, coding)
    if has_no_body(method, status):
        body_length = 0
    return ResponseHead(status, headers, body_length, keep_alive and body_length != UNTIL_CLOSE)


def _framing_fields(headers: list[tuple[bytes, bytes]]) -> tuple[bytes | None, bytes | None, bytes]:
    length = coding = None
    connection = b""
    for name, value in headers:
        if name == b"content-length":
            if length is not None:
                raise MalformedHead("The response has two lengths.")
            length = value
        elif name == b"transfer-encoding":
            if coding is not None:
                raise MalformedHead("The response has two transfer codings.")
            coding = value
        elif name == b"connection":
            connection += value.lower()
    return length, coding, connection


def _decide_body_length(length: bytes | None, coding: bytes | None) -> int:
    if coding is not None:
        if length is not None or coding.lower() != b"chunked":
            raise MalformedHead("The response has a transfer coding that is not chunked, or a length beside it.")
        return CHUNKED
    return UNTIL_CLOSE if length is None else parse_length(length)
