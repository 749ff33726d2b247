"""AWS event streams: bytes in any splitting -> messages.

    total length  headers length  CRC of both   headers        payload        CRC of all before
    4 bytes       4 bytes         4 bytes       name: value    JSON           4 bytes

All numbers are big endian. A wrong checksum, or a length that cannot be, breaks the stream for good. Exceptions are messages
like others; their type stands in a header.
"""

from __future__ import annotations

import struct
from binascii import crc32

from handlers.translation.framing.frame import SseFrame
from handlers.translation.framing.sse import FramingError

MESSAGE_BYTES_MAX = 24 * 1024 * 1024
"""AWS allows 16 MiB of payload and 128 KiB of headers; some room is left."""
PRELUDE_BYTES = 12
OVERHEAD_BYTES = 16
_PRELUDE = struct.Struct(">III")
_NUMBER = struct.Struct(">I")
# Lengths of header values by type; -1: two bytes of length follow.
_VALUE_BYTES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 6: -1, 7: -1, 8: 8, 9: 16}
_NAMES = (b":exception-type", b":event-type", b":error-code")


class AwsEventReader:
    """Feed bytes, get messages as frames: the event is the exception's or the event's type."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive_data(self, data: bytes) -> list[SseFrame]:
        """Messages that these bytes complete.

        Raises:
            FramingError: a checksum or a length is wrong.
        """
        self._buffer += data
        frames = []
        while len(self._buffer) >= PRELUDE_BYTES:
            total, headers, checksum = _PRELUDE.unpack_from(self._buffer)
            if crc32(self._buffer[:8]) != checksum:
                raise FramingError("prelude checksum")
            if not OVERHEAD_BYTES + headers <= total <= MESSAGE_BYTES_MAX:
                raise FramingError("message length")
            if len(self._buffer) < total:
                break
            message = bytes(self._buffer[:total])
            del self._buffer[:total]
            frames.append(_parse(message, headers))
        return frames

    def receive_eof(self) -> list[SseFrame]:
        """Nothing: part of a message is no message."""
        return []


def _parse(message: bytes, headers_bytes: int) -> SseFrame:
    (checksum,) = _NUMBER.unpack_from(message, len(message) - 4)
    if crc32(message[:-4]) != checksum:
        raise FramingError("message checksum")
    payload_at = PRELUDE_BYTES + headers_bytes
    headers = _headers(message[PRELUDE_BYTES:payload_at])
    name = next((headers[name] for name in _NAMES if name in headers), b"")
    return SseFrame(name, message[payload_at:-4], message)


def _headers(data: bytes) -> dict[bytes, bytes]:
    """Names and values; values that are no text stay bytes."""
    headers = {}
    at = 0
    while at < len(data):
        name_end = at + 1 + data[at]
        if name_end >= len(data):
            raise FramingError("header")
        length = _VALUE_BYTES.get(data[name_end])
        value_at = name_end + 1
        if length == -1:
            length = int.from_bytes(data[value_at : value_at + 2])
            value_at += 2
        if length is None or value_at + length > len(data):
            raise FramingError("header")
        headers[data[at + 1 : name_end]] = data[value_at : value_at + length]
        at = value_at + length
    return headers


def message_bytes(event: str, payload: bytes, kind: str = "event") -> bytes:
    """One message: what AWS would send. `kind` is event or exception."""
    fields = ((":message-type", kind), (f":{kind}-type", event), (":content-type", "application/json"))
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + len(value).to_bytes(2) + value.encode() for name, value in fields
    )
    total = OVERHEAD_BYTES + len(headers) + len(payload)
    prelude = struct.pack(">II", total, len(headers))
    message = prelude + _NUMBER.pack(crc32(prelude)) + headers + payload
    return message + _NUMBER.pack(crc32(message))
