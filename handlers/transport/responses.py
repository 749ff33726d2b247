"""Response heads: writing ours, reading those of upstreams.

Theory of operation
    One pattern says what a head is: a status line and header lines, of legal bytes, with CR LF and nothing else between them.
    What it matches holds no folded line, no blank before a colon, no control character. A second pattern picks the few headers
    that anybody reads; all others are checked and passed over. Both look at the head as Latin-1: each byte is one character.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from handlers.transport.header_fields import LENGTH_DIGITS_MAX, MalformedHead, encode_fields

UNTIL_CLOSE: Final = -1
CHUNKED: Final = -2

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_LINE = r"[\t\x20-\x7e\x80-\xff]*+"
_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_HEAD = re.compile(rf"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: {_LINE})?+(?:\r\n{_NAME}:{_LINE})*+")
_FRAMING = ("connection", "content-length", "transfer-encoding")
READ_NAMES = ("content-type", "content-encoding", "retry-after", "retry-after-ms", "request-id")
"""All that is read of an upstream's head beside its framing."""
_READ = re.compile(rf"\r\n((?ai:{'|'.join((*_FRAMING, *READ_NAMES))})):[ \t]*+((?:[^\r]*[^\r \t])?)")
_LINE_BYTES_MIN = 4
_NO_BODY = frozenset({204, 304})
_STATUSES = {str(status): status for status in range(100, 600)}
"""All that `_HEAD` lets through."""


def encode_head(status: int, headers: list[tuple[bytes, bytes]], framing: bytes) -> bytes:
    """A response head with its empty line. `framing` is our own header lines, each ended by CR LF.

    Raises ValueError when a header would change the framing or break out of its line: such a response is never sent.
    """
    status_line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    return status_line + (encode_fields(headers) if headers else b"") + framing + b"\r\n"


def has_no_body(method: bytes, status: int) -> bool:
    """Whether a response to this method with this status ends with its head (RFC 9112 6.3)."""
    return method == b"HEAD" or status in _NO_BODY or status < 200


class ResponseHead:
    """What an upstream's response head says.

    Args:
        status: 100 to 599.
        headers: those that are read, by lower-case name; of one that came twice the last, of `connection` all.
        body_length: bytes, or UNTIL_CLOSE, or CHUNKED.
        keep_alive: the connection may serve another request.
    """

    __slots__ = ("body_length", "headers", "keep_alive", "status")

    def __init__(self, status: int, headers: dict[str, str], body_length: int, keep_alive: bool) -> None:  # noqa: FBT001 by position: once per response
        self.status = status
        self.headers = headers
        self.body_length = body_length
        self.keep_alive = keep_alive


def parse_response_head(section: bytes, method: bytes, headers_max: int) -> ResponseHead:
    """Read a head, from its first byte to before its empty line. Raises MalformedHead."""
    text = section.decode("latin-1")
    match = _HEAD.fullmatch(text)
    if match is None:
        raise MalformedHead("The response has no valid status line, or a malformed header.")
    if len(section) > _LINE_BYTES_MIN * headers_max and section.count(b"\r\n") > headers_max:
        raise MalformedHead("The response has too many headers.")
    minor, code = match.groups()
    status = _STATUSES[code]
    found = _READ.findall(text)
    headers = {name.lower(): value for name, value in found}
    if len(headers) != len(found):
        _settle_repeated(found, headers)
    body_length = _decide_body_length(headers)
    if status in _NO_BODY or status < 200 or method == b"HEAD":
        body_length = 0
    keep_alive = minor == "1" and body_length != UNTIL_CLOSE
    if "connection" in headers and "close" in headers["connection"].lower():
        keep_alive = False
    return ResponseHead(status, headers, body_length, keep_alive)


def _settle_repeated(found: list[tuple[str, str]], headers: dict[str, str]) -> None:
    """Of `connection` all values count; two lengths or two codings could be read in two ways."""
    names = [name.lower() for name, _ in found]
    if names.count("content-length") > 1 or names.count("transfer-encoding") > 1:
        raise MalformedHead("The response has two lengths or two transfer codings.")
    headers["connection"] = ",".join(value for name, value in found if name.lower() == "connection")


def _decide_body_length(headers: dict[str, str]) -> int:
    length = headers.get("content-length")
    if "transfer-encoding" in headers:
        if length is not None or headers["transfer-encoding"].lower() != "chunked":
            raise MalformedHead("The response has a transfer coding that is not chunked, or a length beside it.")
        return CHUNKED
    if length is None:
        return UNTIL_CLOSE
    if not length.isdecimal() or len(length) > LENGTH_DIGITS_MAX:  # Latin-1 has no decimals but 0 to 9
        raise MalformedHead("Content-Length is not a decimal number.")
    return int(length)
