"""The strict gate for request heads.

Rules
    Every framing doubt is a refusal: two lengths, a length beside a transfer coding, any coding but `chunked`, blanks around
    a number, folded lines, control characters, underscores in names (they collide with hyphens further on), fragments and
    absolute targets. The target is kept as it came: routes match raw bytes, so no two spellings reach one route.
    Singleton headers that come twice are refused here; other repeated headers are joined by `get` as RFC 9110 5.3 says.
"""

from __future__ import annotations

import re
from typing import Any

from handlers.errors import HeadersTooLarge, InvalidRequest, MethodNotAllowed, TargetTooLong, UnsupportedMediaType
from handlers.transport.header_fields import (
    MalformedHead,
    is_length,
    lower_client_name,
    parse_fields,
    parse_length,
    split_lines,
)
from handlers.transport.limits import ServerLimits

METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
SINGLETONS = frozenset({
    b"host", b"content-length", b"transfer-encoding", b"content-type", b"content-encoding", b"expect", b"authorization",
    b"proxy-authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"user-agent", b"origin", b"referer",
    b"idempotency-key", b"x-request-id", b"traceparent", b"anthropic-version", b"openai-organization", b"openai-project",
})  # fmt: skip

_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}")
_TARGET = re.compile(rb"/[!$%&'()*+,\-./0-9:;=?@A-Z\[\]^_a-z{|}~]*")
_HOST = re.compile(rb"(?:[0-9A-Za-z_](?:[0-9A-Za-z._-]{0,253})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_LENGTH_LINE = re.compile(rb"\r\n[Cc][Oo][Nn][Tt][Ee][Nn][Tt]-[Ll][Ee][Nn][Gg][Tt][Hh]: ?([0-9]+)(?:\r\n|\Z)")
_LINE_FEED_ALONE = re.compile(rb"(?<!\r)\n")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r[^\n]")

_known_request_lines: dict[bytes, tuple[bytes, bytes, int]] = {}
_known_hosts: set[bytes] = set()
_KNOWN_MAX = 256


class RequestHead:
    """Method, target and headers of one request; the body's framing is decided."""

    __slots__ = (
        "_digits", "_fields", "_received", "body_length", "expects_continue", "keep_alive", "method", "minor", "notes", "path",
        "peer", "query", "target",
    )  # fmt: skip

    def __init__(
        self, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], peer: str = "", minor: int = 1
    ) -> None:
        """`headers` have lower-case names. Raises InvalidRequest when a singleton comes twice."""
        self.method = method
        self.target = target
        """Exactly as received."""
        self.path, _, self.query = target.partition(b"?")
        self.peer = peer
        """The address of the other end of the connection; empty on a Unix socket."""
        self.minor = minor
        """0 for HTTP/1.0, 1 for HTTP/1.1."""
        self.keep_alive = minor == 1
        self.expects_continue = False
        self.body_length: int | None = 0
        """Bytes of the body; None when it is chunked."""
        self.notes: Any = None
        """What its handler has worked out from this head alone; heads that differ in nothing but their length share it."""
        self._received = headers
        self._digits = b""
        """Another Content-Length than in `_received`."""
        self._fields = fields = dict(headers)
        if len(fields) != len(headers):
            _merge_repeated(fields, headers)

    def __repr__(self) -> str:
        """Names the request without its query or headers: they may hold a key."""
        return f"RequestHead({self.method!r}, {len(self.headers)} headers)"

    def get(self, name: bytes) -> bytes | None:
        """The value of a header by its lower-case name; repeated list headers are joined with a comma."""
        return self._fields.get(name)

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """In order, as received, with lower-case names."""
        if not self._digits:
            return self._received
        return [(name, self._digits if name == b"content-length" else value) for name, value in self._received]

    def with_length(self, digits: bytes) -> RequestHead:
        """The same head with another Content-Length, where it has one."""
        head = RequestHead(self.method, self.target, self._received, self.peer, self.minor)
        head.keep_alive, head.expects_continue, head.notes = self.keep_alive, self.expects_continue, self.notes
        head._digits = head._fields[b"content-length"] = digits
        head.body_length = int(digits)
        return head

    def get_all(self, name: bytes) -> list[bytes]:
        """Every value of a header, in order."""
        return [value for candidate, value in self.headers if candidate == name]


def _merge_repeated(fields: dict[bytes, bytes], headers: list[tuple[bytes, bytes]]) -> None:
    fields.clear()
    for name, value in headers:
        before = fields.get(name)
        if before is None:
            fields[name] = value
        elif name in SINGLETONS:
            raise InvalidRequest(f"The header {name.decode()} may be sent once.")
        else:
            fields[name] = before + (b"; " if name == b"cookie" else b", ") + value


def parse_request_head(section: bytes, limits: ServerLimits, peer: str = "") -> RequestHead:
    """Read a head, from its first byte to before its empty line. Raises ClientError of the fitting status."""
    try:
        return _parse(section, limits, peer)
    except MalformedHead as error:
        raise InvalidRequest(str(error)) from None


def _parse(section: bytes, limits: ServerLimits, peer: str) -> RequestHead:
    line_end = section.find(b"\r\n")
    if (len(section) if line_end < 0 else line_end) > limits.request_line_bytes:
        raise TargetTooLong("The request line is too long; send parameters in the body.")
    lines = split_lines(section)
    request_line = lines.pop(0)
    if len(lines) > limits.headers or len(section) - len(request_line) > limits.header_section_bytes:
        raise HeadersTooLarge("The request has too many or too long headers; send fewer.")
    method, target, minor = _parse_request_line(request_line)
    fields = parse_fields(lines, lower_client_name)
    head = RequestHead(method, target, fields, peer, minor)
    _check_host(head)
    _decide_framing(head, section)
    return head


def _parse_request_line(line: bytes) -> tuple[bytes, bytes, int]:
    """(method, target, minor version); what clients ask for again and again is remembered."""
    known = _known_request_lines.get(line)
    if known is None:
        known = _parse_new_request_line(line)
        if len(_known_request_lines) < _KNOWN_MAX and len(line) < 128:
            _known_request_lines[line] = known
    return known


def _parse_new_request_line(line: bytes) -> tuple[bytes, bytes, int]:
    method, _, remainder = line.partition(b" ")
    target, _, version = remainder.partition(b" ")
    if version not in {b"HTTP/1.1", b"HTTP/1.0"}:
        raise InvalidRequest("The request line must be METHOD /path HTTP/1.1.")
    if method not in METHODS:
        if not _METHOD.fullmatch(method):
            raise InvalidRequest("The request method is malformed.")
        raise MethodNotAllowed("This request method is not offered.")
    if not _TARGET.fullmatch(target) and not (target == b"*" and method == b"OPTIONS"):
        raise InvalidRequest("The request target must be an absolute path of URL characters, without host or fragment.")
    return method, target, version[7] - 0x30


def _check_host(head: RequestHead) -> None:
    host = head.get(b"host")
    if host is None:
        if head.minor:
            raise InvalidRequest("The header host is missing.")
    elif host not in _known_hosts:
        if not _HOST.fullmatch(host):
            raise InvalidRequest("The header host is malformed.")
        if len(_known_hosts) < _KNOWN_MAX:
            _known_hosts.add(host)


def _decide_framing(head: RequestHead, section: bytes) -> None:
    length, coding = head.get(b"content-length"), head.get(b"transfer-encoding")
    if coding is not None:
        if length is not None or not head.minor or coding.lower() != b"chunked":
            raise InvalidRequest("transfer-encoding must be chunked, over HTTP/1.1, and without content-length.")
        head.body_length = None
    elif length is not None:
        head.body_length = parse_length(length)
        if not _LENGTH_LINE.search(section):
            raise InvalidRequest("content-length must be a decimal number without further blanks.")
    connection = head.get(b"connection")
    if connection is not None and b"close" in connection.lower().replace(b" ", b"").split(b","):
        head.keep_alive = False
    encoding = head.get(b"content-encoding")
    if encoding is not None and encoding.lower() != b"identity":
        raise UnsupportedMediaType("Compressed bodies are not accepted; send the body without content-encoding.")
    expectation = head.get(b"expect")
    if expectation is not None:
        if expectation.lower() != b"100-continue":
            raise InvalidRequest("The only expectation that can be met is 100-continue.")
        head.expects_continue = head.minor == 1


class RepeatedHead:
    """Reads the heads of one connection. Clients repeat themselves: mostly the same bytes as before but for the length.

    What was refused once is read anew each time; what was accepted is accepted again only if every byte is the same and the
    length is digits, which is all that `parse_request_head` would find out. The bytes live as long as the connection.
    """

    __slots__ = ("_after", "_before", "_has_length", "_head", "_section")

    def __init__(self) -> None:
        self._section = self._before = self._after = b""
        """The last head: whole, up to its length, and behind it."""
        self._has_length = False
        self._head: RequestHead | None = None

    def read(self, section: bytes, limits: ServerLimits, peer: str = "") -> RequestHead:
        """As `parse_request_head`."""
        head = self._head
        if section == self._section and head is not None:
            return head
        if head is not None and section.startswith(self._before) and section.endswith(self._after):
            digits = section[len(self._before) : len(section) - len(self._after)]
            if self._has_length and is_length(digits) and len(section) <= limits.header_section_bytes:
                return self._keep(head.with_length(digits), section)
        self._head = None
        head = parse_request_head(section, limits, peer)
        length = _LENGTH_LINE.search(section) if head.body_length is not None else None
        start, end = length.span(1) if length else (len(section), len(section))
        self._before, self._after, self._has_length = section[:start], section[end:], end > start
        return self._keep(head, section)

    def _keep(self, head: RequestHead, section: bytes) -> RequestHead:
        self._head, self._section = head, section
        return head


def check_partial_head(received: bytes | bytearray, scanned: int, limits: ServerLimits) -> None:
    """Refuse early what no further byte can repair; `scanned` bytes were checked before."""
    line_end = received.find(b"\r\n", 0, limits.request_line_bytes + 2)
    if line_end < 0 and len(received) > limits.request_line_bytes + 1:
        raise TargetTooLong("The request line is too long; send parameters in the body.")
    if len(received) - max(line_end, 0) > limits.header_section_bytes + 4:
        raise HeadersTooLarge("The request has too many or too long headers; send fewer.")
    if _LINE_FEED_ALONE.search(received, scanned) or _CONTROL.search(received, scanned):
        raise InvalidRequest("The head has a control character or a line end other than CR LF.")
