"""Frames of the internal wire as bytes: encoding, and an incremental reader. The law is in wire.py."""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from handlers.translation.canonical.usage import Usage
from handlers.transport.bodies import Pieces
from handlers.transport.memo import Memo
from handlers.transport.wire import (
    FRAME_BYTES_MAX,
    FRAME_HEADER_BYTES,
    SEMANTIC,
    FrameKind,
    WireEnd,
    WireHead,
    WireRequest,
    WireTerms,
)

_HEADER: Final = struct.Struct(">BBI")
encode_frame_header: Final = _HEADER.pack
"""The header of a frame by its kind, its flags and the length of its payload."""
_HEADER_AND_LENGTH: Final = struct.Struct(">BBII")
_decode_header: Final = _HEADER.unpack_from
_LENGTH: Final = struct.Struct(">I")
_REQUEST: Final = FrameKind.REQUEST.value
_BODY: Final = FrameKind.BODY.value
_END: Final = FrameKind.END.value
_ANSWER: Final = FrameKind.ANSWER.value
_KINDS: Final = frozenset(kind.value for kind in FrameKind)

encode_json: Final = msgspec.json.Encoder().encode
decode_head: Final = msgspec.json.Decoder(WireHead).decode
decode_usage: Final = msgspec.json.Decoder(Usage).decode
_decode_end_json: Final = msgspec.json.Decoder(WireEnd).decode
_decode_terms: Final = msgspec.json.Decoder(WireTerms).decode
_decode_own: Final = msgspec.json.Decoder(tuple[str, str, str, int, int, int, str, str, tuple[str, ...] | None]).decode
_known_terms: Final[Memo[bytes, WireTerms]] = Memo(_decode_terms)
KNOWN_TERMS_BYTES_MAX: Final = 4_096
"""Longer ones (a client's own headers) are read anew each time, so that what is kept stays small."""

Frame = tuple[int, int, bytes]
"""(kind, flags, payload)"""


class MalformedFrame(ValueError):
    """Bytes that are no frame of ours: the connection cannot be used any further."""


def encode_frame(kind: int, flags: int, payload: bytes) -> bytes:
    """One frame."""
    return encode_frame_header(kind, flags, len(payload)) + payload


def encode_request(request: WireRequest) -> bytes:
    """The payload of a REQUEST frame."""
    terms = request.terms.encoded
    return b"%b%b%b" % (_LENGTH.pack(len(terms)), terms, _encode_own(request))


def encode_opening(request: WireRequest, body_bytes: int) -> bytes:
    """A REQUEST frame, and the header of the BODY that follows."""
    terms, own = request.terms.encoded, _encode_own(request)
    opening = _HEADER_AND_LENGTH.pack(_REQUEST, 0, 4 + len(terms) + len(own), len(terms))
    return b"%b%b%b%b" % (opening, terms, own, encode_frame_header(_BODY, 0, body_bytes))


def _encode_own(request: WireRequest) -> bytes:
    """What differs from request to request."""
    return encode_json((
        request.request_id, request.token, request.account, request.attempt, request.output_tokens_max,
        request.elapsed_ms, request.byok_record, request.byok_sealed, request.kept,
    ))  # fmt: skip


def decode_request(payload: bytes) -> WireRequest:
    """The payload of a REQUEST frame. Raises MalformedFrame, or what msgspec raises."""
    split = 4 + (_LENGTH.unpack_from(payload)[0] if len(payload) >= 4 else len(payload))
    if split > len(payload):
        raise MalformedFrame("a REQUEST frame is shorter than its parts")
    encoded = payload[4:split]
    terms = _known_terms[encoded] if split <= KNOWN_TERMS_BYTES_MAX else _decode_terms(encoded)
    return WireRequest(terms, *_decode_own(payload[split:]))


def encode_end(end: WireEnd, final: bytes) -> bytes:
    """The END frame: how it ended, and the last bytes for the client."""
    text = encode_json(end)
    return _HEADER_AND_LENGTH.pack(_END, 0, 4 + len(text) + len(final), len(text)) + text + final


def decode_end(payload: bytes, start: int = 0) -> tuple[WireEnd, bytes]:
    """The payload of an END frame, from `start` on. Raises MalformedFrame."""
    text = start + 4
    split = text + (_LENGTH.unpack_from(payload, start)[0] if len(payload) >= text else len(payload))
    if split > len(payload):
        raise MalformedFrame("an END frame is shorter than its parts")
    try:
        return _decode_end_json(payload[text:split]), payload[split:]
    except msgspec.DecodeError as error:
        raise MalformedFrame("an END frame cannot be read") from error


def encode_answer(head: bytes, end: WireEnd, final: bytes) -> bytes:
    """The ANSWER frame: a head, as JSON, and an end with nothing between them."""
    text = encode_json(end)
    length = 8 + len(head) + len(text) + len(final)
    return b"%b%b%b%b%b" % (
        _HEADER_AND_LENGTH.pack(_ANSWER, 0, length, len(head)), head, _LENGTH.pack(len(text)), text, final,
    )  # fmt: skip


def decode_answer(payload: bytes) -> tuple[WireHead, WireEnd, bytes]:
    """The payload of an ANSWER frame. Raises MalformedFrame, or what msgspec raises."""
    split = 4 + (_LENGTH.unpack_from(payload)[0] if len(payload) >= 4 else len(payload))
    if split > len(payload):
        raise MalformedFrame("an ANSWER frame is shorter than its parts")
    end, final = decode_end(payload, split)
    return decode_head(payload[4:split]), end, final


class FrameReader:
    """Incremental reader. Whole frames in one read are sliced out of it; a longer one is collected and joined once."""

    __slots__ = ("_flags", "_kind", "_length", "_payload_max", "_pending", "_pieces")

    def __init__(self, payload_max: int = FRAME_BYTES_MAX) -> None:
        """`payload_max`: bytes of one payload; a longer frame is malformed as soon as its header is read."""
        self._payload_max = payload_max
        self._pending = b""
        """An incomplete header."""
        self._pieces: Pieces | None = None
        """The payload so far of a frame whose header has been read."""
        self._kind = self._flags = self._length = 0

    @property
    def clean(self) -> bool:
        """Nothing of a further frame has been read."""
        return not self._pending and self._pieces is None

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete, in order. Raises MalformedFrame; unusable after that."""
        frames: list[Frame] = []
        position = 0
        if self._pieces is not None:
            position = self._continue_payload(self._pieces, data, frames)
        elif self._pending:
            data = self._pending + data
            self._pending = b""
        size = len(data)
        while size - position >= FRAME_HEADER_BYTES:
            kind, flags, length = _decode_header(data, position)
            if kind not in _KINDS or flags > SEMANTIC or length > self._payload_max:
                raise MalformedFrame("a frame header is malformed or announces too much")
            start = position + FRAME_HEADER_BYTES
            position = start + length
            if position > size:
                self._kind, self._flags, self._length = kind, flags, length
                self._pieces = Pieces()
                if start < size:
                    self._pieces.add(data[start:])
                return frames
            frames.append((kind, flags, data[start:position]))
        if position < size:
            self._pending = data[position:]
        return frames

    def _continue_payload(self, pieces: Pieces, data: bytes, frames: list[Frame]) -> int:
        """Add to the payload under way; returns how many bytes it took."""
        missing = self._length - pieces.length
        if len(data) < missing:
            pieces.add(data)
            return len(data)
        pieces.add(data[:missing])
        frames.append((self._kind, self._flags, pieces.join()))
        self._pieces = None
        return missing
