"""Header sections of HTTP/1.1, read strictly: what two parsers could read differently is refused.

Theory of operation
    One `translate` marks every byte that must not stand in a line. The marks must be as many as the bytes of the line ends, so
    one count at C speed finds bare CR, bare LF, NUL and every other control character. Names are looked up in
    a table of usual spellings first; the rest is checked byte by byte, again with `translate`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

LINE_BYTES: Final = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
"""What may stand in a header line: tab, printable ASCII, and the opaque bytes that RFC 9110 calls obs-text."""
_MARKED: Final = bytes(0x20 if byte in LINE_BYTES else 0 for byte in range(0x100))
"""What stands for each byte: a blank for those, NUL for all others. A table is read; bytes to delete are looked through first."""
TOKEN_BYTES: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

_USUAL: Final = (
    "host connection content-type content-length content-encoding transfer-encoding authorization x-api-key accept "
    "accept-encoding accept-language user-agent expect cookie origin referer cache-control date server vary via traceparent "
    "tracestate x-forwarded-for x-forwarded-proto x-forwarded-port x-amzn-trace-id x-request-id idempotency-key http-referer "
    "x-title anthropic-version anthropic-beta anthropic-dangerous-direct-browser-access openai-organization openai-project "
    "x-stainless-lang x-stainless-package-version x-stainless-os x-stainless-arch x-stainless-runtime "
    "x-stainless-runtime-version x-stainless-async x-stainless-retry-count x-stainless-read-timeout x-stainless-timeout "
    "x-stainless-helper-method x-stainless-raw-response x-app sec-fetch-mode retry-after request-id openai-processing-ms "
    "openai-version x-ratelimit-limit-requests x-ratelimit-limit-tokens x-ratelimit-remaining-requests "
    "x-ratelimit-remaining-tokens x-ratelimit-reset-requests x-ratelimit-reset-tokens cf-ray cf-cache-status alt-svc "
    "strict-transport-security x-content-type-options set-cookie trailer upgrade te keep-alive location"
)
_USUAL_NAMES: Final = {
    spelling: name.encode() for name in _USUAL.split() for spelling in (name.encode(), name.title().encode())
}
_USUAL_NAMES.update({b"Openai-Organization": b"openai-organization", b"OpenAI-Organization": b"openai-organization"})


FRAMING_NAMES: Final = frozenset(
    {b"connection", b"content-length", b"host", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
"""Headers that only the transport itself writes."""

_written_names: set[bytes] = set()
"""Names that passed `_check_written_name`, so that each is checked once per process."""
_WRITTEN_NAMES_MAX: Final = 256


class MalformedHead(ValueError):
    """A header section that we refuse; the message is ours and quotes nothing of it."""


def split_lines(section: bytes) -> list[bytes]:
    """Lines of a section (without its final empty line); every byte between line ends is legal."""
    lines = section.split(b"\r\n")
    if section.translate(_MARKED).count(b"\0") != 2 * (len(lines) - 1):
        raise MalformedHead("The head has a control character or a line end other than CR LF.")
    return lines


def lower_name(name: bytes) -> bytes:
    """Check a field name that is not among the usual ones; folding and blanks before the colon end here."""
    if not name or name.translate(None, TOKEN_BYTES):
        raise MalformedHead("A header name has a character that names must not have.")
    return name.lower()


def lower_client_name(name: bytes) -> bytes:
    """As `lower_name`, without underscores: CGI-like consumers see `_` and `-` as one, so one of two headers would win."""
    if b"_" in name:
        raise MalformedHead("A header name has an underscore; use hyphens.")
    return lower_name(name)


def parse_fields(lines: list[bytes], lower_unusual: Callable[[bytes], bytes] = lower_name) -> list[tuple[bytes, bytes]]:
    """Lines to (lower-case name, value without surrounding blanks), in order. The lines come from `split_lines`."""
    fields = []
    usual = _USUAL_NAMES.get
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise MalformedHead("A header line has no colon.")
        fields.append((usual(name) or lower_unusual(name), value.strip(b" \t")))
    return fields


LENGTH_DIGITS_MAX: Final = 15


def is_length(value: bytes) -> bool:
    """Whether this is a Content-Length: decimal digits and nothing else."""
    return value.isdigit() and len(value) <= LENGTH_DIGITS_MAX


def parse_length(value: bytes) -> int:
    """The number that a Content-Length says. Raises MalformedHead."""
    if not is_length(value):
        raise MalformedHead("Content-Length is not a decimal number.")
    return int(value)


def encode_fields(fields: list[tuple[bytes, bytes]]) -> bytes:
    """Header lines, each ended by CR LF.

    Raises ValueError when a header would change the framing or break out of its line: such a head is never sent.
    """
    parts: list[bytes] = []
    for name, value in fields:
        if name not in _written_names:
            _check_written_name(name)
        parts += (name, b": ", value, b"\r\n")
    block = b"".join(parts)
    ends = len(fields)
    if block.count(b"\n") != ends or block.count(b"\r") != ends or b"\0" in block:
        raise ValueError("a header value has a line end")
    return block


def _check_written_name(name: bytes) -> None:
    if not name or name.translate(None, TOKEN_BYTES) or name.lower() in FRAMING_NAMES:
        raise ValueError("a header name is malformed or belongs to the framing")
    if len(_written_names) < _WRITTEN_NAMES_MAX:
        _written_names.add(name)
