"""Request heads for upstreams: checked and written once, sent as often as one likes."""

from __future__ import annotations

import re
from functools import lru_cache

from handlers.transport.header_fields import encode_fields

_ORIGIN = re.compile(r"(https?)://([0-9A-Za-z._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")
_TARGET = re.compile(rb"/[\x21-\x22\x24-\x7e]*")
_METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE"})
_BODILESS = frozenset({b"GET", b"HEAD", b"DELETE"})
_DEFAULT_PORTS = {"https": 443, "http": 80}


@lru_cache(maxsize=256)
def split_origin(origin: str) -> tuple[str, str, int, bytes]:
    """Scheme, host, port and Host header of `scheme://host[:port]`; ValueError when it is anything else."""
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        raise ValueError("an origin is http(s)://host[:port]")
    scheme, host, port = match.groups()
    number = int(port) if port else _DEFAULT_PORTS[scheme]
    host_header = host if number == _DEFAULT_PORTS[scheme] else f"{host}:{number}"
    return scheme, host.removeprefix("[").removesuffix("]"), number, host_header.encode()


class RequestHead:
    """Everything of a request before its body. Host, length and connection headers are the transport's own.

    Args:
        origin: `https://host[:port]` or `http://host[:port]`.
        method: one of the usual ones.
        target: path and query, percent-encoded.
        headers: names and values.

    Raises:
        ValueError: it would not be one well-formed request.
    """

    __slots__ = ("_lines", "_lines_and_length", "_needs_length", "method", "origin")

    def __init__(self, origin: str, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        if method not in _METHODS or not _TARGET.fullmatch(target):
            raise ValueError("the method or the target of an upstream request is malformed")
        *_, host_header = split_origin(origin)
        fields = encode_fields(headers)
        self._lines = b"%b %b HTTP/1.1\r\nhost: %b\r\n%b" % (method, target, host_header, fields)
        self._lines_and_length = self._lines + b"content-length: "
        self._needs_length = method not in _BODILESS
        self.method = method
        self.origin = origin

    def encode(self, body_length: int) -> bytes:
        """The head for a body of this length."""
        if body_length or self._needs_length:
            return self._lines_and_length + str(body_length).encode() + b"\r\n\r\n"
        return self._lines + b"\r\n"

    def __repr__(self) -> str:
        """Where it goes; no header is shown."""
        return f"RequestHead({self.method.decode()} {self.origin})"
