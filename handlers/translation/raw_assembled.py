"""A stream becomes the one JSON body that the client wants, in the same format: no field is lost on the way.

The decoder observes, as it does where frames go through (it meters, and says what failed); the format's assembler collects
(handlers/translation/assembly). A frame that is the one before around another text is not decoded again
(repeated_delta.py). An output without data says `semantic` when the answer goes on: the client gets nothing before the end,
but the clocks run by it.
"""

from __future__ import annotations

from handlers.errors import FailureClass
from handlers.translation.adapters.decoding import UNREADABLE, WHOLE_BYTES_MAX, JsonDecoder
from handlers.translation.assembly.growing import Assembler
from handlers.translation.canonical.attempt import NOTHING, Output
from handlers.translation.canonical.events import BlockDelta, ResponseFailed
from handlers.translation.deliveries import Delivery, break_off
from handlers.translation.framing.frame import SseFrame
from handlers.translation.passthrough.base import Relay
from handlers.translation.passthrough.model_names import model_name
from handlers.translation.repeated_delta import RepeatedDelta

_ALIVE = Output(semantic=True)


class RawAssembled(Delivery):
    """Collects frames and delivers one body."""

    def __init__(self, relay: Relay, decoder: JsonDecoder, assembler: Assembler, public_model: str) -> None:
        self._decoder = self._read_by = decoder
        self._relay = relay
        self._assembler = assembler
        self._public_model = public_model
        self._repeated = RepeatedDelta()

    def feed(self, data: bytes) -> Output:
        """Whole frames of what has arrived."""
        decoder = self._decoder
        growing = self._assembler.growing
        if growing is not None:
            again = self._repeated.recognise(data, decoder.writer)
            if again is not None:
                growing.append(again.data[1:-1].decode())
                return _ALIVE
        semantic = False
        frames = decoder.frames(data)
        if len(frames) == 1:
            return self._read_one(data, frames[0])
        self._repeated.learn(data, frames, [], b"")
        for frame in frames:
            decoder.read_frame(frame)
            semantic = self._collect(frame) or semantic
            if self.ended:
                break
        return self._go_on(semantic=self.observe_all(self._decoder.writer.take()) or semantic)

    def _read_one(self, data: bytes, frame: SseFrame) -> Output:
        """A read that was one frame, from which the next one may be recognised."""
        decoder = self._decoder
        decoder.read_frame(frame)
        events = decoder.writer.take()
        semantic = self.observe_all(events)
        self._add(frame)
        texts = [event.text for event in events if isinstance(event, BlockDelta)]
        if self._assembler.growing is None or not texts:
            self._repeated.learn(data, [frame], [], b"")
        else:
            self._repeated.learn(data, [frame], events, b'"%b"' % texts[0].encode())
        return self._go_on(semantic=semantic)

    def finish(self) -> Output:
        """The end of input, with a last frame perhaps."""
        if self.ended:
            return Output(ended=True)
        for frame in self._decoder.last_frames():
            if self._decoder.read_last_frame(frame):
                self._collect(frame)
        if not self.ended:
            self._decoder.end()
            self.observe_all(self._decoder.writer.take())
        return self._go_on(semantic=False)

    def fail(self, failure: FailureClass) -> Output:
        """The transport failed."""
        if self.ended:
            return Output(ended=True)
        break_off(self._decoder, failure)
        self.observe_all(self._decoder.writer.take())
        return self._go_on(semantic=False)

    def _collect(self, frame: SseFrame) -> bool:
        """A frame that the decoder has read, as long as it makes sense; whether it is semantic."""
        semantic = self.observe_all(self._decoder.writer.take())
        self._add(frame)
        return semantic

    def _add(self, frame: SseFrame) -> None:
        if self.failed is None:
            try:
                self._assembler.add(frame.data, frame.event)
            except UNREADABLE:
                self.observe(ResponseFailed(FailureClass.MALFORMED))

    def _go_on(self, *, semantic: bool) -> Output:
        if not self.ended:
            return _ALIVE if semantic else NOTHING
        return Output(ended=True) if self.failed is not None else self._through()

    def _through(self) -> Output:
        try:
            body = self._assembler.whole()
        except UNREADABLE:
            body = b""
        if not 0 < len(body) <= WHOLE_BYTES_MAX:
            self.observe(ResponseFailed(FailureClass.MALFORMED))
            return Output(ended=True)
        model = model_name(self._public_model, self._relay.model_key)
        return Output(final=model.replace(self._relay.patch(body), self.upstream_model), ended=True)
