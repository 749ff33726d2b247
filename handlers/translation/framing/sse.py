"""Server-sent events: bytes in any splitting -> frames.

Rules
    A line ends with LF, CR or CRLF, in bytes and nowhere else (U+2028 and its kind are text). A blank line ends a frame. A
    line that begins with a colon is a comment. Several `data` lines join with LF. One BOM may open the stream. At end of
    input a frame that lacks only its blank line is handed out; whether it is whole is for its reader to find out.

Theory of operation
    Nearly always one read holds one or more whole frames, with LF endings and one `data: ` line each: that case is a split
    and a slice. Everything else goes through the buffer: line endings are normalised as bytes arrive (a CR at the end of a
    read may be half a CRLF), and only bytes not searched before are searched for the end of the frame.
"""

from __future__ import annotations

from typing import Final

from handlers.translation.framing.frame import SseFrame

FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
"""An image in base64 is the largest thing that providers put into one frame."""
_BOM: Final = b"\xef\xbb\xbf"
_CR: Final = 0x0D
_LF: Final = 0x0A
"""As numbers: whether bytes hold a number is one scan, whether they hold other bytes begins with an exception in CPython."""


class FramingError(ValueError):
    """The bytes break the framing or one of its limits."""


class SseReader:
    """Feed bytes, get frames. Frames without data (comments, bare ids) are skipped."""

    __slots__ = ("_at_start", "_buffer", "_skip_lf")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip_lf = False
        self._at_start = True

    def receive_data(self, data: bytes) -> list[SseFrame]:
        """Frames that these bytes complete.

        Raises:
            FramingError: a frame is longer than FRAME_BYTES_MAX.
        """
        if self._at_start:
            data = self._drop_bom(data)
        if self._skip_lf or _CR in data:
            data = self._normalise(data)
        if not self._buffer:
            if (
                data.startswith(b"data: ")
                and data.find(b"\n") == len(data) - 2
                and data.endswith(b"\n\n")
                and len(data) > 8
            ):
                return [SseFrame(b"", data[6:-2], data)]
            return self._split(data)
        searched = max(0, len(self._buffer) - 1)
        self._buffer += data
        if self._buffer.find(b"\n\n", searched) < 0:
            self._check_length(len(self._buffer))
            return []
        whole = bytes(self._buffer)
        self._buffer.clear()
        return self._split(whole)

    def receive_eof(self) -> list[SseFrame]:
        """The last frame, if only its blank line is missing."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        frame = _parse(rest.strip(b"\n"))
        return [frame] if frame else []

    def _split(self, data: bytes) -> list[SseFrame]:
        *whole, rest = data.split(b"\n\n")
        self._check_length(len(rest))
        self._buffer += rest
        frames = []
        for chunk in whole:
            self._check_length(len(chunk))
            frame = _parse(chunk)
            if frame:
                frames.append(frame)
        return frames

    def _drop_bom(self, data: bytes) -> bytes:
        """What is left without a BOM at the very start; of half a BOM nothing is, until its other half comes."""
        if not self._buffer and data and data[0] != _BOM[0]:
            self._at_start = False
            return data
        data = bytes(self._buffer) + data
        self._buffer.clear()
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._buffer += data
            return b""
        self._at_start = False
        return data.removeprefix(_BOM)

    def _normalise(self, data: bytes) -> bytes:
        """Line endings become LF."""
        if not data:
            return data
        if self._skip_lf:
            data = data.removeprefix(b"\n")
        self._skip_lf = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    @staticmethod
    def _check_length(length: int) -> None:
        if length > FRAME_BYTES_MAX:
            raise FramingError("frame too long")


def _parse(chunk: bytes) -> SseFrame | None:
    """One frame from its lines (LF endings, without the blank line), or None if it carries no data."""
    if chunk.startswith(b"data: ") and _LF not in chunk and len(chunk) > 6:
        return SseFrame(b"", chunk[6:], chunk + b"\n\n")
    if chunk.startswith(b"event: ") and chunk.count(b"\n") == 1:
        at = chunk.find(b"\ndata: ")
        if 0 < at < len(chunk) - 7:
            return SseFrame(chunk[7:at], chunk[at + 7 :], chunk + b"\n\n")
    event = b""
    data: list[bytes] = []
    for line in chunk.split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        elif name == b"event":
            event = value.removeprefix(b" ")
    joined = b"\n".join(data)
    return SseFrame(event, joined, _raw(event, data)) if joined else None


def _raw(event: bytes, data: list[bytes]) -> bytes:
    head = b"event: " + event + b"\n" if event else b""
    return head + b"".join(b"data: " + line + b"\n" for line in data) + b"\n"


def frame_bytes(data: bytes, event: str = "") -> bytes:
    """One frame around a payload of ours, which holds no line ending (JSON escapes them)."""
    if event:
        return b"event: " + event.encode() + b"\ndata: " + data + b"\n\n"
    return b"data: " + data + b"\n\n"
