"""Cohere chat (v2), answers: events or one message -> events.

Cohere bills `billed_units`, which leave out what its own prompt templates add; those are the counters that count here.
The `tool_plan` before a call is the model thinking aloud, and is told as reasoning.
"""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.errors import FailureClass
from handlers.translation.adapters.decoding import JsonDecoder
from handlers.translation.adapters.event_writer import Malformed
from handlers.translation.adapters.openai_answer_fields import CallDelta, Count
from handlers.translation.adapters.openai_calls import CallReader
from handlers.translation.adapters.openai_usage import Tally
from handlers.translation.canonical.events import BlockKind, FinishReason
from handlers.translation.canonical.usage import Usage

FINISH_REASONS: dict[str, FinishReason] = {
    "COMPLETE": FinishReason.STOP,
    "STOP_SEQUENCE": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "TOOL_CALL": FinishReason.TOOL_CALLS,
    "ERROR_TOXIC": FinishReason.CONTENT_FILTER,
}
FINISH_FAILURES: dict[str, FailureClass] = {
    "ERROR": FailureClass.SERVER_ERROR,
    "TIMEOUT": FailureClass.TIMEOUT,
    "ERROR_LIMIT": FailureClass.CONTEXT_LENGTH,
}


class _Piece(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None


class _Tokens(msgspec.Struct, gc=False):
    input_tokens: Count = None
    output_tokens: Count = None
    reasoning_tokens: Count = None
    search_units: Count = None


class _CohereUsage(msgspec.Struct, gc=False):
    billed_units: _Tokens | None = None
    tokens: _Tokens | None = None


class _Message(msgspec.Struct, gc=False):
    content: _Piece | list[_Piece] | None = None
    tool_plan: str | None = None
    tool_calls: CallDelta | list[CallDelta] | None = None
    citations: Any = None


class _Delta(msgspec.Struct, gc=False):
    message: _Message | None = None
    finish_reason: str | None = None
    usage: _CohereUsage | None = None


class _Event(msgspec.Struct, gc=False):
    """Any event, or a whole answer."""

    type: str | None = None
    id: str | None = None
    index: int = 0
    delta: _Delta | None = None
    message: _Message | str | None = None
    finish_reason: str | None = None
    usage: _CohereUsage | None = None


_EVENT = msgspec.json.Decoder(_Event)
_SILENT = frozenset({"content-end", "tool-call-end", "citation-end", "debug"})


class CohereDecoder(JsonDecoder):
    """Reads a stream of events, or one answer."""

    __slots__ = ("_calls", "_current")

    def __init__(self, *, streams: bool, prompt_tokens: int) -> None:
        super().__init__(streams=streams, prompt_tokens=prompt_tokens)
        self._calls = CallReader(self.writer)
        self._current: tuple[BlockKind, int] | None = None

    def read(self, data: bytes, event: bytes) -> None:
        """One event, or the whole answer."""
        if data == b"[DONE]":
            return
        read = _EVENT.decode(data)
        if not self.streams:
            self._whole_answer(read)
            return
        kind = read.type or event.decode("ascii", "replace")
        delta = read.delta or _Delta()
        if kind == "message-start":
            self.response_id = read.id or ""
            self.writer.start(self.response_id, self.model)
        elif kind in {"content-start", "content-delta", "tool-plan-delta", "tool-call-start", "tool-call-delta"}:
            self._message(delta.message or _Message(), read.index)
        elif kind == "message-end":
            self._end(delta.finish_reason, delta.usage)
        elif kind not in _SILENT:
            self.writer.unrecognized("event")

    def end(self) -> None:
        """The last event closes an answer; without it, it is cut."""
        self.writer.fail(FailureClass.TRUNCATED)

    def _whole_answer(self, answer: _Event) -> None:
        if not isinstance(answer.message, _Message):
            raise Malformed("no message")
        self.response_id = answer.id or ""
        self.writer.start(self.response_id, self.model)
        self._message(answer.message, None)
        self._end(answer.finish_reason, answer.usage)

    def _end(self, reason: str | None, usage: _CohereUsage | None) -> None:
        if usage is not None and (usage.billed_units or usage.tokens):
            self.writer.report(usage_from_cohere(usage), final=True)
        failure = FINISH_FAILURES.get(reason or "")
        if failure is not None:
            self.writer.fail(failure)
            return
        self._close()
        self._calls.close(0)
        self.writer.finish(FINISH_REASONS.get(reason or "", FinishReason.STOP), native=reason or "")
        self.writer.complete()

    def _message(self, message: _Message, index: int | None) -> None:
        """Whatever a message, or a piece of one, holds; `index` is the number of a call in a stream."""
        if message.tool_plan:
            self._text(BlockKind.REASONING, message.tool_plan)
        content = message.content
        for piece in content if isinstance(content, list) else [content] if content else []:
            if piece.thinking:
                self._text(BlockKind.REASONING, piece.thinking)
            if piece.text:
                self._text(BlockKind.TEXT, piece.text)
            if piece.type not in {None, "text", "thinking"}:
                self.writer.unrecognized("content")
        if message.citations:
            self.writer.unrecognized("citation")
        calls = message.tool_calls
        if calls:
            self._close()
            listed = calls if isinstance(calls, list) else [calls]
            if index is not None:
                for call in listed:
                    call.index = index
            self._calls.read(0, listed, whole=index is None)

    def _text(self, kind: BlockKind, text: str) -> None:
        if self._current is None or self._current[0] is not kind:
            self._close()
            self._current = (kind, self.writer.open(kind, form="text" if kind is BlockKind.REASONING else ""))
        self.writer.text(self._current[1], text)

    def _close(self) -> None:
        if self._current is not None:
            self.writer.stop(self._current[1])
            self._current = None


def usage_from_cohere(raw: _CohereUsage) -> Usage:
    """What Cohere bills; thinking is part of the output."""
    tally = Tally()
    billed = raw.billed_units or raw.tokens or _Tokens()
    output = tally.count(billed.output_tokens)
    thought = tally.count(raw.tokens.reasoning_tokens if raw.tokens else 0)
    reasoning = min(thought, output)
    return Usage(
        input=tally.count(billed.input_tokens),
        output=output - reasoning,
        reasoning=reasoning,
        searches=tally.count(billed.search_units),
        estimated=tally.corrected,
    )
