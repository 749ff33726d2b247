"""The frame that comes again: a stream's next piece of text, recognised by the bytes around it.

Theory of operation
    Providers send one frame for every few words, and mostly nothing in it changes but the text. Once a frame has been decoded
    in full and meant one piece of text and nothing else, the bytes before and after that text are kept. A read that is the
    same bytes around another plain text means the same, so it is counted and forwarded without being decoded again.

Rules
    Plain text is what stands for itself in a JSON string: valid UTF-8 without quotes, backslashes and control characters.
    The text that is learned from stands in its frame once as a whole JSON string, so there is no doubt which value it was.
    Any other read is decoded as ever and replaces what was kept: between two frames that are alike nothing has happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from handlers.translation.adapters.event_writer import Malformed
from handlers.translation.canonical.attempt import Output
from handlers.translation.canonical.events import BlockDelta

if TYPE_CHECKING:
    from handlers.translation.adapters.event_writer import EventWriter
    from handlers.translation.canonical.events import Event
    from handlers.translation.framing.frame import SseFrame

_MARKED: Final = bytes(0x20 if byte >= 0x20 and byte not in b'"\\' else 0 for byte in range(0x100))
"""What stands for each byte of a text: NUL for those that do not stand for themselves in a JSON string."""
LESSONS_MAX: Final = 8
"""Frames learned from in a row without one that was alike: then the provider varies its frames, and learning is a waste."""


class RepeatedDelta:
    """The last piece of text of one stream."""

    __slots__ = ("_after", "_before", "_index", "_lessons", "_sent_after", "_sent_before")

    def __init__(self) -> None:
        self._lessons = 0
        self._index = 0
        self._before = self._after = self._sent_before = self._sent_after = b""

    def recognise(self, data: bytes, writer: EventWriter) -> Output | None:
        """What goes to the client for a read that is the kept frame with another text; None: it has to be decoded."""
        before, after = self._before, self._after
        if not before or not data.startswith(before) or not data.endswith(after):
            return None
        piece = data[len(before) : -len(after)]
        if not piece or len(piece) + len(before) + len(after) != len(data) or piece.translate(_MARKED).find(0) >= 0:
            return None
        try:
            writer.count(self._index, piece.decode())
        except (UnicodeDecodeError, Malformed):
            return None
        self._lessons = 0
        return Output(self._sent_before + piece + self._sent_after, semantic=True)

    def learn(self, data: bytes, frames: list[SseFrame], events: list[Event], sent: bytes) -> None:
        """Keep the frame of a read if it was one piece of text and nothing else; `sent` is what the client got for it."""
        self._before = b""
        if self._lessons > LESSONS_MAX or len(frames) != 1 or len(events) != 1 or frames[0].raw != data:
            return
        event = events[0]
        if type(event) is not BlockDelta or not event.text:
            return
        quoted = b'"%b"' % event.text.encode()
        if data.count(quoted) != 1 or sent.count(quoted) != 1:
            return
        self._lessons += 1
        self._index = event.index
        before, _, after = data.partition(quoted)
        self._before, self._after = before + b'"', b'"' + after
        before, _, after = sent.partition(quoted)
        self._sent_before, self._sent_after = before + b'"', b'"' + after
