"""One attempt at speech or a transcription that the client wants as server-sent events.

    transcriptions   `stream=true` in the form: transcript.text.delta ..., transcript.text.done with the usage
    speech           `stream_format: sse`: speech.audio.delta ..., speech.audio.done with the usage

Rules
    Events of a provider that speaks in events pass through as they are. One that answers whole (whisper) or in plain sound
    is told in events all the same, for that is what the client reads.
    The event that says "done" is `final`, and [DONE] after it. Without it an answer is cut, and a failure after content ends
    with an error event. What was said before a cut is metered by estimate.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any, ClassVar

import msgspec

from handlers.errors import FailureClass
from handlers.translation.adapters.decoding import UNREADABLE
from handlers.translation.adapters.failures import Failed, classify_error
from handlers.translation.canonical.attempt import NOTHING, Asked, Output
from handlers.translation.canonical.events import ResponseFailed
from handlers.translation.canonical.usage import NO_USAGE, Usage
from handlers.translation.dialects.base import STREAM_TYPE
from handlers.translation.dialects.openai_chat import DONE, error_fields
from handlers.translation.framing.frame import SseFrame
from handlers.translation.framing.sse import FramingError, SseReader, frame_bytes
from handlers.translation.operations.audio import (
    TEXT_TYPES,
    Speech,
    Transcriptions,
    TranscriptUsage,
    read_usage,
    wants_events,
)
from handlers.translation.single_call import SingleCall

_encode = msgspec.json.Encoder().encode
_ENDS = frozenset({"transcript.text.done", "speech.audio.done"})


class _Event(msgspec.Struct):
    type: str = ""
    delta: str | None = None
    text: str | None = None
    usage: TranscriptUsage | None = None
    error: Any = None


_EVENT = msgspec.json.Decoder(_Event)


def streams_audio(asked: Asked) -> bool:
    """Whether the client wants speech or a transcription in events, and the wire format knows these operations."""
    return asked.upstream.wire_format == "openai_chat" and wants_events(asked)


class StreamedAudio(SingleCall):
    """A `Translation` of one request and a stream of events."""

    content_type: ClassVar[str] = STREAM_TYPE

    def __init__(self, asked: Asked) -> None:
        self._operation = Speech() if asked.operation == "speech" else Transcriptions()
        super().__init__(asked, self._operation.build(asked), is_sound=isinstance(self._operation, Speech))
        self._reader = SseReader()
        self._sound = b""
        """Plain sound that does not fill three bytes yet, which base64 goes by."""
        self._text: list[str] = []
        self._usage = NO_USAGE
        self._semantic = False

    @property
    def usage(self) -> Usage:
        """What the provider counted; before that, and without it, our estimate of what was said."""
        if self._usage is NO_USAGE and self._semantic:
            return self._operation.estimate(self._asked, "".join(self._text))
        return self._usage

    @property
    def _is_semantic(self) -> bool:
        return self._semantic

    def _take(self, data: bytes) -> Output:
        if self._kind == STREAM_TYPE:
            try:
                return self._forward(self._reader.receive_data(data))
            except FramingError:
                return self.fail(FailureClass.MALFORMED)
        if self._is_sound:
            return self._tell_sound(data)
        self._body += data
        return NOTHING

    def _complete(self) -> Output:
        if self._kind == STREAM_TYPE:
            last = self._forward([frame for frame in self._reader.receive_eof() if _is_whole(frame)])
            return last if last.ended else self._cut(FailureClass.TRUNCATED, last)
        if not self._received:
            return self.fail(FailureClass.TRUNCATED)
        return self._sound_ended() if self._is_sound else self._tell_whole()

    def _forward(self, frames: list[SseFrame]) -> Output:
        data: list[bytes] = []
        for frame in frames:
            if frame.data == b"[DONE]":
                continue
            try:
                event = _EVENT.decode(frame.data)
            except UNREADABLE:
                return self._cut(FailureClass.MALFORMED, Output(b"".join(data), bool(data)))
            if event.error is not None or event.type == "error":
                failed = classify_error(200, frame.data)
                return self._cut(failed.failure, Output(b"".join(data), bool(data)))
            if event.type in _ENDS:
                self._usage = self._counted(event)
                self._ended = self._semantic = True
                return Output(b"".join(data), bool(data), frame.raw + DONE, ended=True)
            self._semantic = True
            self._text.append(event.delta or event.text or "")
            data.append(frame.raw)
        return Output(b"".join(data), semantic=True) if data else NOTHING

    def _counted(self, event: _Event) -> Usage:
        """What the last event says; speech is counted in characters as well, and its output is sound."""
        estimate = self._operation.estimate(self._asked, event.text or "")
        counted = read_usage(event.usage)
        if counted is None or self._asked.operation != "speech":
            return counted or estimate
        return Usage(characters=estimate.characters, input=counted.input, audio_output=counted.output)

    def _tell_sound(self, data: bytes) -> Output:
        """Plain sound in events, three bytes at a time."""
        sound = self._sound + data
        whole = len(sound) - len(sound) % 3
        self._sound = sound[whole:]
        return self._delta(sound[:whole]) if whole else NOTHING

    def _delta(self, sound: bytes) -> Output:
        self._semantic = True
        event = {"type": "speech.audio.delta", "audio": b64encode(sound).decode()}
        return Output(frame_bytes(_encode(event)), semantic=True)

    def _sound_ended(self) -> Output:
        last = self._delta(self._sound).data if self._sound else b""
        usage = self._usage = self._operation.estimate(self._asked, "")
        self._ended = self._semantic = True
        counts = {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}
        done = {"type": "speech.audio.done", "usage": counts | {"total_tokens": sum(counts.values())}}
        return Output(last, semantic=True, final=frame_bytes(_encode(done)) + DONE, ended=True)

    def _tell_whole(self) -> Output:
        """A transcript that came whole, as one delta and its end."""
        body = bytes(self._body)
        try:
            answered = self._operation.read(body, self._kind, self._asked)
            text = body.decode() if self._kind in TEXT_TYPES else msgspec.json.decode(body)["text"]
        except (*UNREADABLE, KeyError, TypeError):
            return self._unreadable()
        self._usage, self._ended, self._semantic = answered.usage, True, True
        delta = frame_bytes(_encode({"type": "transcript.text.delta", "delta": text}))
        done = frame_bytes(_encode({"type": "transcript.text.done", "text": text}))
        return Output(delta, semantic=True, final=done + DONE, ended=True)

    def _cut(self, failure: FailureClass, last: Output) -> Output:
        ended = self._end(Failed(failure))
        return Output(last.data, last.semantic, ended.final, ended=True)

    def _end(self, failed: Failed) -> Output:
        """Nothing before content; after it an error event, never a clean end."""
        ended = super()._end(failed)
        if not self._semantic:
            return ended
        told = error_fields(ResponseFailed(failed.failure, failed.retry_after_ms, failed.param))
        return Output(final=frame_bytes(_encode({"type": "error", "error": told})), ended=True)


def _is_whole(frame: SseFrame) -> bool:
    """A last frame without its blank line is taken if it can be read, and is part of a truncation if not."""
    try:
        _EVENT.decode(frame.data)
    except UNREADABLE:
        return False
    return True
