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
_known_status_lines: dict[bytes, tuple[int, int]] = {}
_KNOWN_STATUS_LINES_MAX = 64


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
    version, status = _parse_status_line(lines.pop(0))
    if len(lines) > headers_max:
        raise MalformedHead("The response has too many headers.")
    headers = parse_fields(lines)
    fields = dict(headers)
    if len(fields) != len(headers):
        _forbid_repeated_framing(headers)
    body_length = _decide_body_length(fields.get(b"content-length"), fields.get(b"transfer-encoding"))
    if has_no_body(method, status):
        body_length = 0
    connection = fields.get(b"connection")
    keep_alive = version == 1 and body_length != UNTIL_CLOSE
    if connection is not None and b"close" in b",".join(v for n, v in headers if n == b"connection").lower():
        keep_alive = False
    return ResponseHead(status, headers, body_length, keep_alive)


def _parse_status_line(line: bytes) -> tuple[int, int]:
    """Minor version and status."""
    known = _known_status_lines.get(line)
    if known is not None:
        return known
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise MalformedHead("The response has no valid status line.")
    parsed = int(match[1]), int(match[2])
    if len(_known_status_lines) < _KNOWN_STATUS_LINES_MAX and len(line) < 64:
        _known_status_lines[line] = parsed
    return parsed


def _forbid_repeated_framing(headers: list[tuple[bytes, bytes]]) -> None:
    names = [name for name, _ in headers]
    if names.count(b"content-length") > 1 or names.count(b"transfer-encoding") > 1:
        raise MalformedHead("The response has two lengths or two transfer codings.")


def _decide_body_length(length: bytes | None, coding: bytes | None) -> int:
    if coding is not None:
        if length is not None or coding.lower() != b"chunked":
            raise MalformedHead("The response has a transfer coding that is not chunked, or a length beside it.")
        return CHUNKED
    return UNTIL_CLOSE if length is None else parse_length(length)
