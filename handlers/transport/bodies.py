"""Message bodies: collecting their pieces, and undoing chunked framing.

Rules
    A chunk-size line is hexadecimal digits and perhaps an extension, ended by CR LF; everything else is malformed. Extensions
    are ignored and counted, trailers are checked and dropped, and both have a bound over the whole message.
    One call of `feed` returns at most one piece, however many chunks it saw, so tiny chunks cost time but no memory.
"""

from __future__ import annotations

import re
from typing import Final

from handlers.transport.header_fields import MalformedHead, parse_fields, split_lines

SMALL_BYTES: Final = 4096
_SIZES: Final = {b"%x" % size: size for size in range(1, 4096)}
_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,12})(?:[ \t]*;[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-][\t\x20-\x7e]*)?")
_SIZE_LINE_BEGUN: Final = re.compile(rb"[0-9A-Fa-f]{1,12}(?:[ \t]*|[ \t]*;[\t\x20-\x7e]*)")
_SIZE_LINE_BYTES: Final = 256
_EXTENSION_BYTES: Final = 16 * 1024
_TRAILER_BYTES: Final = 8 * 1024

# Phases
_SIZE: Final = 0
_DATA: Final = 1
_DATA_END: Final = 2
_TRAILER: Final = 3


class MalformedChunks(ValueError):
    """Chunked framing that we refuse; the message is ours."""


class Pieces:
    """Pieces of a body in order, joined once. Runs of small pieces share one buffer, so that a drip costs no memory."""

    __slots__ = ("_pieces", "length")

    def __init__(self) -> None:
        self._pieces: list[bytes | bytearray] = []
        self.length = 0

    def add(self, piece: bytes) -> None:
        """Append one piece."""
        pieces = self._pieces
        self.length += len(piece)
        if len(piece) >= SMALL_BYTES or not pieces:
            pieces.append(piece)
        elif isinstance(pieces[-1], bytearray):
            pieces[-1] += piece
        else:
            pieces.append(bytearray(piece))

    def join(self) -> bytes:
        """The whole body."""
        pieces = self._pieces
        if len(pieces) == 1 and isinstance(pieces[0], bytes):
            return pieces[0]
        return b"".join(pieces)


class ChunkedDecoder:
    """Incremental decoder of one chunked body. Raises MalformedChunks; unusable after that."""

    __slots__ = ("_extensions", "_pending", "_phase", "_remaining", "done", "rest")

    def __init__(self) -> None:
        self._phase = _SIZE
        self._remaining = 0
        self._extensions = 0
        self._pending = b""
        self.done = False
        """The last chunk and the trailer section have been read."""
        self.rest = b""
        """What followed the body, once `done`."""

    def feed(self, data: bytes) -> bytes:
        """Decode what arrived; returns the body bytes in it (often one slice, never None)."""
        if self._phase == _SIZE and not self._pending:
            # A streaming server's read is nearly always one small chunk, whole.
            end = data.find(b"\r\n", 0, 5)
            size = _SIZES.get(data[:end])
            if size is not None and len(data) == end + size + 4 and data.endswith(b"\r\n"):
                return data[end + 2 : -2]
        if self._pending:
            data = self._pending + data
            self._pending = b""
        pieces: list[bytes] = []
        position = 0
        while position < len(data) and not self.done:
            if self._phase == _DATA:
                end = position + self._remaining
                piece = data[position:end]
                pieces.append(piece)
                self._remaining -= len(piece)
                position += len(piece)
                if self._remaining:
                    break
                self._phase = _DATA_END
            elif self._phase == _DATA_END:
                if data[position : position + 2] != b"\r\n":
                    self._keep_prefix_of_line_end(data[position:])
                    break
                position += 2
                self._phase = _SIZE
            elif (following := self._read_line(data, position)) < 0:
                break
            else:
                position = following
        if self.done:
            self.rest = data[position:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _keep_prefix_of_line_end(self, tail: bytes) -> None:
        if tail != b"\r":
            raise MalformedChunks("A chunk is longer than its size says.")
        self._pending = tail

    def _read_line(self, data: bytes, position: int) -> int:
        """Read a size line or the trailer section at a position; returns where the next begins, or -1 when it is incomplete."""
        if self._phase == _TRAILER:
            return self._read_trailer(data, position)
        end = data.find(b"\r\n", position, position + _SIZE_LINE_BYTES)
        if end < 0:
            self._keep_prefix_of_size(data[position:])
            return -1
        line = data[position:end]
        self._remaining = _SIZES.get(line) or self._parse_size(line)
        self._phase = _DATA if self._remaining else _TRAILER
        return end + 2

    def _keep_prefix_of_size(self, tail: bytes) -> None:
        if len(tail) >= _SIZE_LINE_BYTES or not _SIZE_LINE_BEGUN.fullmatch(tail.removesuffix(b"\r")):
            raise MalformedChunks("A chunk size is malformed or too long.")
        self._pending = tail

    def _parse_size(self, line: bytes) -> int:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise MalformedChunks("A chunk size is malformed.")
        digits = match[1]
        self._extensions += len(line) - len(digits)
        if self._extensions > _EXTENSION_BYTES:
            raise MalformedChunks("The chunk extensions are too long.")
        return int(digits, 16)

    def _read_trailer(self, data: bytes, position: int) -> int:
        if data.startswith(b"\r\n", position):
            self.done = True
            return position + 2
        end = data.find(b"\r\n\r\n", position, position + _TRAILER_BYTES)
        if end < 0:
            if len(data) - position >= _TRAILER_BYTES:
                raise MalformedChunks("The trailer section is too long.")
            self._pending = data[position:]
            return -1
        try:
            parse_fields(split_lines(data[position:end]))
        except MalformedHead as error:
            raise MalformedChunks("The trailer section is malformed.") from error
        self.done = True
        return end + 4
