"""Response heads: writing ours, reading those of upstreams.

Theory of operation
    `split_lines` has found every byte between line ends legal, so a line holds no control character. What stands before a
    line's first colon must be a name: that leaves no folded line, and no blank before a colon. Status lines and names come
    again and again, so each spelling is checked once. Of the few headers that anybody reads the value is taken, as Latin-1;
    all others are checked and passed over.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from handlers.transport.header_fields import LENGTH_DIGITS_MAX, MalformedHead, encode_fields, lower_name, split_lines
from handlers.transport.memo import Memo

UNTIL_CLOSE: Final = -1
CHUNKED: Final = -2

_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: .*)?", re.DOTALL)
READ_NAMES: Final = ("content-type", "content-encoding", "retry-after", "retry-after-ms", "request-id")
"""All that is read of an upstream's head beside its framing."""
_FRAMING: Final = ("connection", "content-length", "transfer-encoding")
_READ: Final = frozenset(READ_NAMES + _FRAMING)
_ONLY_ONCE: Final = frozenset({"content-length", "transfer-encoding"})
_KEPT_BYTES_MAX: Final = 64
"""Longer status lines and names are read anew each time."""
_NO_BODY: Final = frozenset({204, 304})


def _read_status_line(line: bytes) -> tuple[int, bool]:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise MalformedHead("The response has no valid status line.")
    minor, code = match.groups()
    return int(code), minor == b"1"


def _read_name(name: bytes) -> str:
    lower = lower_name(name).decode("ascii")
    return lower if lower in _READ else ""


_status_lines: Final[Memo[bytes, tuple[int, bool]]] = Memo(_read_status_line)
"""Status, and whether it is HTTP/1.1."""
_names: Final[Memo[bytes, str]] = Memo(_read_name)
"""Names as upstreams spell them -> lower case; empty for those that nobody reads."""


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
        self.status: Final = status
        self.headers: Final = headers
        self.body_length: Final = body_length
        self.keep_alive: Final = keep_alive


def parse_response_head(section: bytes, method: bytes, headers_max: int) -> ResponseHead:
    """Read a head, from its first byte to before its empty line. Raises MalformedHead."""
    lines = split_lines(section)
    if len(lines) > headers_max + 1:
        raise MalformedHead("The response has too many headers.")
    line = lines[0]
    status, persists = _status_lines[line] if len(line) <= _KEPT_BYTES_MAX else _read_status_line(line)
    headers: dict[str, str] = {}
    for at in range(1, len(lines)):
        line = lines[at]
        colon = line.find(b":")
        if colon < 0:
            raise MalformedHead("The response has a header line without a colon.")
        spelled = line[:colon]
        name = _names[spelled] if colon <= _KEPT_BYTES_MAX else _read_name(spelled)
        if name:
            value = line[colon + 1 :].strip(b" \t").decode("latin-1")
            headers[name] = value if name not in headers else _settle_repeated(name, headers[name], value)
    body_length = _decide_body_length(headers)
    if status in _NO_BODY or status < 200 or method == b"HEAD":
        body_length = 0
    keep_alive = persists and body_length != UNTIL_CLOSE
    connection = headers.get("connection")
    if connection is not None and "close" in connection.lower():
        keep_alive = False
    return ResponseHead(status, headers, body_length, keep_alive)


def _settle_repeated(name: str, before: str, value: str) -> str:
    """Of `connection` all values count, of others the last; two lengths or two codings could be read in two ways."""
    if name in _ONLY_ONCE:
        raise MalformedHead("The response has two lengths or two transfer codings.")
    return f"{before},{value}" if name == "connection" else value


def _decide_body_length(headers: dict[str, str]) -> int:
    length = headers.get("content-length")
    coding = headers.get("transfer-encoding")
    if coding is not None:
        if length is not None or coding.lower() != "chunked":
            raise MalformedHead("The response has a transfer coding that is not chunked, or a length beside it.")
        return CHUNKED
    if length is None:
        return UNTIL_CLOSE
    if not length.isdecimal() or len(length) > LENGTH_DIGITS_MAX:  # Latin-1 has no decimals but 0 to 9
        raise MalformedHead("Content-Length is not a decimal number.")
    return int(length)
