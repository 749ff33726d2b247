"""The part of a decoder that is the same for all formats whose answers are JSON, streamed as server-sent events or whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, Protocol

import msgspec

from handlers.compiled import mypyc_attr
from handlers.errors import FailureClass
from handlers.translation.adapters.event_writer import EventWriter, Malformed
from handlers.translation.canonical.events import Event
from handlers.translation.framing.frame import SseFrame
from handlers.translation.framing.sse import FramingError, SseReader

WHOLE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of one answer that is not a stream."""
# What reading a provider's JSON may raise: bad JSON, wrong types, bad UTF-8, sizes over their maxima.
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, Malformed, RecursionError)


class FrameReader(Protocol):
    """A framing: bytes in any splitting -> frames."""

    def receive_data(self, data: bytes) -> list[SseFrame]:
        """Frames that these bytes complete; raises FramingError."""
        ...

    def receive_eof(self) -> list[SseFrame]:
        """The last frame, if the framing forgives what it lacks."""
        ...


@mypyc_attr(allow_interpreted_subclasses=True)
class JsonDecoder(ABC):
    """Feeds frames, or one whole body, to `read`, and turns everything unreadable into a failure."""

    __slots__ = ("_reader", "_whole", "model", "response_id", "streams", "writer")

    def __init__(self, *, streams: bool, prompt_tokens: int, reader: FrameReader | None = None) -> None:
        self.writer = EventWriter(prompt_tokens)
        self.streams = streams
        self.model = ""
        """The model that the provider says it used."""
        self.response_id = ""
        self._reader: FrameReader = reader or SseReader()
        self._whole: bytearray | None = None
        """What is not a stream, so far; one buffer, since a provider may send it byte by byte."""

    @abstractmethod
    def read(self, data: bytes, event: bytes) -> None:
        """One frame's payload, or the whole body.

        Raises:
            one of UNREADABLE.
        """

    @abstractmethod
    def end(self) -> None:
        """Input is over and no end marker was seen: complete if the answer is whole, else fail as truncated."""

    def receive_data(self, data: bytes) -> list[Event]:
        """Events that these bytes complete."""
        for frame in self.frames(data):
            self.read_frame(frame)
        return self.writer.take()

    def receive_eof(self) -> list[Event]:
        """The rest; the last event is terminal."""
        for frame in self.last_frames():
            self.read_last_frame(frame)
        if not self.writer.ended:
            self.end()
        return self.writer.take()

    def frames(self, data: bytes) -> list[SseFrame]:
        """Frames that these bytes complete; a whole body collects until the end of input."""
        if self.streams:
            try:
                return self._reader.receive_data(data)
            except FramingError:
                self.writer.fail(FailureClass.MALFORMED)
                return []
        if self._whole is None:
            self._whole = bytearray()
        self._whole += data
        if len(self._whole) > WHOLE_BYTES_MAX:
            self.writer.fail(FailureClass.MALFORMED)
        return []

    def last_frames(self) -> list[SseFrame]:
        """What input held when it ended: a frame without its blank line, or the whole body."""
        if self.writer.ended:
            return []
        if self.streams:
            return self._reader.receive_eof()
        body = b"" if self._whole is None else bytes(self._whole)
        return [SseFrame(b"", body, body)] if body.strip() else []

    def read_frame(self, frame: SseFrame) -> None:
        """One frame; after the end it is ignored."""
        if self.writer.ended:
            return
        try:
            if not frame.data.isascii():
                frame.data.decode()  # fields that are not read are forwarded all the same, and must be text (A59)
            self.read(frame.data, frame.event)
        except UNREADABLE:
            self.writer.fail(FailureClass.MALFORMED)

    def read_last_frame(self, frame: SseFrame) -> bool:
        """A frame without its blank line is taken if it parses, and is part of a truncation if not."""
        if not self.streams:
            self.read_frame(frame)
            return True
        try:
            self.read(frame.data, frame.event)
        except UNREADABLE:
            return False
        return True
