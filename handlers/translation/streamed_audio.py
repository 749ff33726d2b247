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
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from handlers.errors import FailureClass
from handlers.translation.adapters.base import WHOLE_BYTES_MAX, Built
from handlers.translation.adapters.decoding import UNREADABLE
from handlers.translation.adapters.failures import Failed, classify_error
from handlers.translation.canonical.attempt import NOTHING, Asked, Outcome, Output, UpstreamRequest
from handlers.translation.canonical.events import ResponseFailed
from handlers.translation.canonical.usage import NO_USAGE, Usage
from handlers.translation.deliveries import ERROR_BODY_BYTES_MAX
from handlers.translation.dialects.base import JSON_TYPE, STREAM_TYPE
from handlers.translation.dialects.openai_chat import DONE, error_fields
from handlers.translation.framing.sse import FramingError, SseFrame, SseReader, frame_bytes
from handlers.translation.operations.audio import (
    TEXT_TYPES,
    Speech,
    Transcriptions,
    TranscriptUsage,
    read_usage,
    wants_events,
)

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


class StreamedAudio:
    """A `Translation` of one request and a stream of events."""

    answer: ClassVar[Output | None] = None
    content_type: ClassVar[str] = STREAM_TYPE

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._operation = Speech() if asked.operation == "speech" else Transcriptions()
        self._built: Built = self._operation.build(asked)
        self._reader = SseReader()
        self._status = 0
        self._headers: Mapping[str, str] = {}
        self._kind = ""
        self._body = bytearray()
        """Of an error, or of a transcript that comes whole."""
        self._sound = b""
        """Plain sound that does not fill three bytes yet, which base64 goes by."""
        self._received = 0
        self._text: list[str] = []
        self._usage = NO_USAGE
        self._failed: Failed | None = None
        self._semantic = self._ended = False
        self._ignored_bytes = 0

    @property
    def upstream(self) -> UpstreamRequest:
        """The request to send."""
        return self._built.upstream

    @property
    def warnings(self) -> tuple[str, ...]:
        """Dropped or adapted parameters."""
        return self._built.warnings

    @property
    def usage(self) -> Usage:
        """What the provider counted; before that, and without it, our estimate of what was said."""
        if self._usage is NO_USAGE and self._semantic:
            return self._operation.estimate(self._asked, "".join(self._text))
        return self._usage

    @property
    def outcome(self) -> Outcome:
        """How the attempt ended."""
        failed = self._failed
        return Outcome(
            usage=self.usage,
            failure=failed.failure if failed else None,
            upstream_status=self._status,
            retry_after_ms=failed.retry_after_ms if failed else 0,
            finish_reason="error" if failed else "stop",
            param=failed.param if failed else "",
            semantic=self._semantic,
            ignored_bytes=self._ignored_bytes,
        )

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of the upstream's answer."""
        self._status = status
        self._headers = headers
        self._kind = headers.get("content-type", "").partition(";")[0].strip().lower()

    def receive_data(self, data: bytes) -> Output:
        """The next bytes of the upstream's answer."""
        if self._ended:
            self._ignored_bytes += len(data)
            return NOTHING
        self._received += len(data)
        if not self._succeeded():
            self._body += data[: ERROR_BODY_BYTES_MAX - len(self._body)]
            return NOTHING
        if self._received > WHOLE_BYTES_MAX:
            return self.fail(FailureClass.MALFORMED)
        if self._kind == STREAM_TYPE:
            try:
                return self._forward(self._reader.receive_data(data))
            except FramingError:
                return self.fail(FailureClass.MALFORMED)
        if isinstance(self._operation, Speech):
            return self._tell_sound(data)
        self._body += data
        return NOTHING

    def receive_eof(self) -> Output:
        """The upstream's answer is over."""
        if self._ended:
            return Output(ended=True)
        if not self._succeeded():
            status = self._status if not 200 <= self._status < 300 else 200
            return self._end(classify_error(status, bytes(self._body), self._headers))
        if self._kind == STREAM_TYPE:
            last = self._forward([frame for frame in self._reader.receive_eof() if _is_whole(frame)])
            return last if last.ended else self._cut(FailureClass.TRUNCATED, last)
        if not self._received:
            return self.fail(FailureClass.TRUNCATED)
        return self._sound_ended() if isinstance(self._operation, Speech) else self._tell_whole()

    def fail(self, failure: FailureClass) -> Output:
        """The transport failed or a deadline passed."""
        return Output(ended=True) if self._ended else self._end(Failed(failure))

    def _succeeded(self) -> bool:
        """A success that carries what was asked for; sound never comes as JSON."""
        if not 200 <= self._status < 300 or self._kind == "text/html":
            return False
        return not (isinstance(self._operation, Speech) and self._kind == JSON_TYPE)

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
            failed = classify_error(200, body) if b'"error"' in body[:200] else None
            return self._end(failed or Failed(FailureClass.MALFORMED))
        self._usage, self._ended, self._semantic = answered.usage, True, True
        delta = frame_bytes(_encode({"type": "transcript.text.delta", "delta": text}))
        done = frame_bytes(_encode({"type": "transcript.text.done", "text": text}))
        return Output(delta, semantic=True, final=done + DONE, ended=True)

    def _cut(self, failure: FailureClass, last: Output) -> Output:
        ended = self._end(Failed(failure))
        return Output(last.data, last.semantic, ended.final, ended=True)

    def _end(self, failed: Failed) -> Output:
        """Nothing before content; after it an error event, never a clean end."""
        self._ended = True
        self._failed = failed
        if not self._semantic:
            return Output(ended=True)
        told = error_fields(ResponseFailed(failed.failure, failed.retry_after_ms, failed.param))
        return Output(final=frame_bytes(_encode({"type": "error", "error": told})), ended=True)


def _is_whole(frame: SseFrame) -> bool:
    """A last frame without its blank line is taken if it can be read, and is part of a truncation if not."""
    try:
        _EVENT.decode(frame.data)
    except UNREADABLE:
        return False
    return True
