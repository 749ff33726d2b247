"""Ways from a provider's answer to the client's bytes, and the one from an error answer to its class.

Two more have files of their own: raw_whole.py and raw_assembled.py.

Rules
    Every delivery ends exactly once; after the end bytes are counted and ignored.
    What tells the client "finished" is in `final`, never in `data`.
    A failure after semantic content ends with the dialect's own error event, before it with nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final

import msgspec

from handlers.errors import FailureClass
from handlers.translation.adapters.base import Built, Decoder
from handlers.translation.adapters.decoding import JsonDecoder
from handlers.translation.adapters.failures import classify_error
from handlers.translation.canonical.assembled import Answer
from handlers.translation.canonical.attempt import NOTHING, Asked, Output
from handlers.translation.canonical.events import (
    BlockDelta,
    BlockKind,
    BlockStarted,
    ChoiceFinished,
    Event,
    FinishReason,
    ResponseCompleted,
    ResponseFailed,
    Unrecognized,
    UsageReported,
)
from handlers.translation.canonical.usage import NO_USAGE, Usage
from handlers.translation.dialects.base import AnswerContext, Dialect, StreamEncoder
from handlers.translation.framing.frame import SseFrame
from handlers.translation.passthrough.base import Draft, Relay
from handlers.translation.passthrough.model_names import model_name
from handlers.translation.repeated_delta import RepeatedDelta

ERROR_BODY_BYTES_MAX: Final = 64 * 1024
"""An error answer is read this far; its codes stand at its beginning."""
_TOOL_CALL: Final = BlockKind.TOOL_CALL
_NOTED: Final = frozenset({ChoiceFinished, ResponseFailed, ResponseCompleted, Unrecognized})


def is_semantic(event: Event) -> bool:
    """Whether the event is content that a client may act upon: the commit point of an attempt."""
    if type(event) is BlockDelta:
        return bool(event.text or event.data)
    return type(event) is BlockStarted and event.kind is _TOOL_CALL


class Delivery(ABC):
    """One answer on its way."""

    semantic = False
    finish_reason = ""
    failed: ResponseFailed | None = None
    ended = False
    ignored_bytes = 0
    unrecognized = 0
    _read_by: Decoder | None = None
    """What has read the answer so far, if anything has."""

    @property
    def usage(self) -> Usage:
        """Cumulative so far."""
        return self._read_by.writer.usage if self._read_by else NO_USAGE

    @property
    def upstream_model(self) -> str:
        """The model that the provider says it used."""
        return self._read_by.model if self._read_by else ""

    @property
    def response_id(self) -> str:
        """The provider's id of the answer."""
        return self._read_by.response_id if self._read_by else ""

    @property
    def minted(self) -> tuple[str, ...]:
        """Fingerprints of the provider-bound material in the answer."""
        return self._read_by.writer.minted if self._read_by else ()

    @abstractmethod
    def feed(self, data: bytes) -> Output:
        """The next bytes, before the end."""

    @abstractmethod
    def finish(self) -> Output:
        """The end of input."""

    @abstractmethod
    def fail(self, failure: FailureClass) -> Output:
        """The transport failed."""

    def receive_data(self, data: bytes) -> Output:
        """The next bytes."""
        if self.ended:
            self.ignored_bytes += len(data)
            return NOTHING
        return self.feed(data)

    def observe(self, event: Event) -> bool:
        """Take note of an event; whether it is semantic."""
        if is_semantic(event):
            self.semantic = True
            return True
        if type(event) in _NOTED:
            self._note(event)
        return False

    def observe_all(self, events: list[Event]) -> bool:
        """Take note of events; whether any is semantic."""
        semantic = False
        for event in events:
            semantic = self.observe(event) or semantic
        return semantic

    def _note(self, event: Event) -> None:
        match event:
            case ChoiceFinished():
                self.finish_reason = self.finish_reason or event.reason.value
            case ResponseFailed():
                self.failed = event
                self.ended = True
            case ResponseCompleted():
                self.ended = True
            case Unrecognized():
                self.unrecognized += 1
            case _:
                pass


def break_off(decoder: Decoder, failure: FailureClass) -> None:
    """The transport is gone: an answer that already has its finish reasons lacks at most its usage, and is whole."""
    if decoder.writer.finished:
        decoder.end()
    else:
        decoder.writer.fail(failure)


class ErrorDelivery(Delivery):
    """An answer whose status says that the attempt failed."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        self._status = status
        self._headers = headers
        self._body = bytearray()

    def feed(self, data: bytes) -> Output:
        """Collect, up to a limit."""
        self._body += data[: ERROR_BODY_BYTES_MAX - len(self._body)]
        return NOTHING

    def finish(self) -> Output:
        """Classify."""
        if not self.ended:
            failed = classify_error(self._status, bytes(self._body), self._headers)
            self.observe(ResponseFailed(failed.failure, failed.retry_after_ms, failed.param))
        return Output(ended=True)

    def fail(self, failure: FailureClass) -> Output:
        """The status said enough, even if the body was cut."""
        del failure
        return self.finish()


class EncodedDelivery(Delivery):
    """Events become the dialect's bytes: as a stream, or as one body at the end."""

    def __init__(
        self, decoder: Decoder, dialect: Dialect, context: AnswerContext, built: Built, *, stream: bool
    ) -> None:
        self._decoder = self._read_by = decoder
        self._dialect = dialect
        self._context = context
        self._built = built
        self._encoder: StreamEncoder | None = dialect.stream_encoder(context) if stream else None
        self._answer = Answer()
        self._answer_blocks: set[int] = set()

    def feed(self, data: bytes) -> Output:
        """The next bytes."""
        return self._deliver(self._decoder.receive_data(data))

    def finish(self) -> Output:
        """The end of input."""
        return Output(ended=True) if self.ended else self._deliver(self._decoder.receive_eof())

    def fail(self, failure: FailureClass) -> Output:
        """The transport failed."""
        if self.ended:
            return Output(ended=True)
        break_off(self._decoder, failure)
        return self._deliver(self._decoder.writer.take())

    def _deliver(self, events: list[Event]) -> Output:
        data: list[bytes] = []
        final = b""
        semantic = False
        for original in events:
            event = self._restore(original)
            semantic = self.observe(event) or semantic
            if self._encoder is None:
                self._answer.add(event)
            elif not self.ended:
                data.append(self._encoder.encode(event))
        if self.ended:
            closing, final = self._close()
            data.append(closing)
            semantic = semantic and self._encoder is not None
        return Output(b"".join(data), semantic, final, self.ended)

    def _close(self) -> tuple[bytes, bytes]:
        """The last data, and what says "finished"."""
        if self.failed is not None:
            error = self._encoder.fail(self.failed) if self._encoder and self.semantic else b""
            return b"", error
        if self._encoder is None:
            return b"", self._dialect.encode_whole(self._answer, self._context)
        return self._encoder.complete()

    def _restore(self, event: Event) -> Event:
        """Undo what building the request did to tool names, and unwrap an answer that came as a tool call."""
        if isinstance(event, BlockStarted) and event.kind is BlockKind.TOOL_CALL:
            if self._built.answer_tool and event.name == self._built.answer_tool:
                self._answer_blocks.add(event.index)
                return BlockStarted(event.index, BlockKind.TEXT, event.choice)
            name = self._built.tool_names.get(event.name)
            return msgspec.structs.replace(event, name=name) if name else event
        if self._answer_blocks and isinstance(event, ChoiceFinished) and event.reason is FinishReason.TOOL_CALLS:
            return msgspec.structs.replace(event, reason=FinishReason.STOP)
        return event


def answer_context(asked: Asked, draft: Draft) -> AnswerContext:
    """What an encoder needs to know of an attempt."""
    return AnswerContext(
        response_id=asked.response_id,
        now_s=asked.now_s,
        model=asked.public_model,
        provider=asked.upstream.provider_name or asked.upstream.provider,
        include_usage=draft.include_usage,
        exclude_reasoning=draft.exclude_reasoning,
        prompt_tokens=draft.prompt_tokens,
        request=draft.request,
        target=asked.target,
    )


class RawStream(Delivery):
    """Frames go through as they are, the model name apart; the decoder observes."""

    def __init__(self, relay: Relay, decoder: JsonDecoder, asked: Asked, draft: Draft, dialect: Dialect) -> None:
        self._decoder = self._read_by = decoder
        self._relay = relay
        self._asked = asked
        self._draft = draft
        self._dialect = dialect
        self._model = model_name(asked.public_model, relay.model_key)
        self._held = NOTHING
        self._repeated = RepeatedDelta()

    def feed(self, data: bytes) -> Output:
        """Whole frames of what has arrived."""
        output = self._repeated.recognise(data, self._decoder.writer)
        if output is not None:
            return output
        frames = self._decoder.frames(data)
        if len(frames) != 1:
            self._repeated.learn(data, frames, [], b"")
            return self._forward_all(frames)
        self._decoder.read_frame(frames[0])
        events = self._decoder.writer.take()
        output = self._forwarded(frames[0], events)
        self._repeated.learn(data, frames, events, output.data)
        return output

    def finish(self) -> Output:
        """The end of input, with a last frame perhaps."""
        if self.ended:
            return Output(ended=True)
        kept = [frame for frame in self._decoder.last_frames() if self._decoder.read_last_frame(frame)]
        output = self._forwarded(kept[0], self._decoder.writer.take()) if kept else NOTHING
        if output.ended:
            return output
        self._decoder.end()
        semantic = self.observe_all(self._decoder.writer.take()) or output.semantic
        return Output(output.data, semantic, self._final(self._held.data + self._relay.closing()), ended=True)

    def fail(self, failure: FailureClass) -> Output:
        """The transport failed."""
        if self.ended:
            return Output(ended=True)
        break_off(self._decoder, failure)
        self.observe_all(self._decoder.writer.take())
        return Output(final=self._final(self._held.data + self._relay.closing()), ended=True)

    def _forward_all(self, frames: list[SseFrame]) -> Output:
        outputs = []
        for frame in frames:
            outputs.append(self._forward(frame))
            if self.ended:
                break
        if self._decoder.writer.ended and not self.ended:
            self.observe_all(self._decoder.writer.take())
            return Output(final=self._final(b""), ended=True)
        return Output(
            b"".join([output.data for output in outputs]),
            any(output.semantic for output in outputs),
            outputs[-1].final if outputs else b"",
            self.ended,
        )

    def _forward(self, frame: SseFrame) -> Output:
        decoder = self._decoder
        decoder.read_frame(frame)
        return self._forwarded(frame, decoder.writer.take())

    def _forwarded(self, frame: SseFrame, events: list[Event]) -> Output:
        semantic = False
        raw = frame.raw
        for event in events:
            if self.observe(event):
                semantic = True
            elif type(event) is UsageReported:
                raw = self._relay.patch(raw)
        if not self.ended and self._relay.is_hidden(self._decoder, self._draft):
            return NOTHING
        raw = self._model.replace(raw, self._decoder.model)
        if self.ended:
            return Output(b"", semantic, self._final(raw), ended=True)
        if self._relay.holds_last and self._decoder.writer.finished:
            held, self._held = self._held, Output(raw, semantic)
            return held
        return Output(raw, semantic)

    def _final(self, closing: bytes) -> bytes:
        """The end marker, or our own error event in place of whatever the provider sent."""
        if self.failed is None:
            return closing
        if not self.semantic:
            return b""
        return self._dialect.stream_encoder(answer_context(self._asked, self._draft)).fail(self.failed)
