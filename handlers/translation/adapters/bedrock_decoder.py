"""Bedrock Converse, answers: events or one message -> events.

The stop reason comes before the usage, so an answer ends with `metadata`, or with the end of input after `messageStop`.
Exceptions are messages of the open stream. Text blocks begin with their first delta. `inputTokens` excludes cached tokens.
"""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.errors import FailureClass
from handlers.translation.adapters.decoding import JsonDecoder
from handlers.translation.adapters.event_writer import Malformed
from handlers.translation.adapters.failures import classify_error
from handlers.translation.adapters.openai_answer_fields import Count
from handlers.translation.adapters.openai_usage import Tally
from handlers.translation.canonical.events import BlockKind, FinishReason
from handlers.translation.canonical.usage import Usage
from handlers.translation.framing.aws_event_stream import AwsEventReader

BLOCK_INDEX_MAX = 4_096

FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "tool_use": FinishReason.TOOL_CALLS,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "guardrail_intervened": FinishReason.CONTENT_FILTER,
    "content_filtered": FinishReason.CONTENT_FILTER,
    "refusal": FinishReason.REFUSAL,
}
_BROKEN = frozenset({"malformed_model_output", "malformed_tool_use"})


class _Camel(msgspec.Struct, gc=False, rename="camel"):
    pass


class _ReasoningText(_Camel):
    text: str | None = None
    signature: str | None = None


class _Reasoning(_Camel):
    reasoning_text: _ReasoningText | None = None
    redacted_content: str | None = None
    text: str | None = None
    signature: str | None = None


class _ToolUse(_Camel):
    tool_use_id: str | None = None
    name: str | None = None
    input: Any = None
    type: str | None = None


class _Cited(_Camel):
    content: list[_ReasoningText] | None = None


class _Block(_Camel):
    """A whole block, the start of one, or a delta of one."""

    text: str | None = None
    tool_use: _ToolUse | None = None
    reasoning_content: _Reasoning | None = None
    citations_content: _Cited | None = None
    citation: Any = None
    tool_result: Any = None


class _CacheDetail(_Camel):
    ttl: str = ""
    input_tokens: Count = None


class _BedrockUsage(_Camel):
    input_tokens: Count = None
    output_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_write_input_tokens: Count = None
    cache_details: list[_CacheDetail] | None = None


class _Message(_Camel):
    content: list[_Block] | None = None


class _Output(_Camel):
    message: _Message | None = None


class _Payload(_Camel):
    """Any event, or a whole answer."""

    content_block_index: int = 0
    start: _Block | None = None
    delta: _Block | None = None
    stop_reason: str | None = None
    usage: _BedrockUsage | None = None
    output: _Output | None = None


_PAYLOAD = msgspec.json.Decoder(_Payload)


class BedrockDecoder(JsonDecoder):
    """Reads an event stream, or one answer."""

    __slots__ = ("_blocks",)

    def __init__(self, *, streams: bool, prompt_tokens: int) -> None:
        super().__init__(streams=streams, prompt_tokens=prompt_tokens, reader=AwsEventReader())
        self._blocks: dict[tuple[int, BlockKind], int] = {}

    def read(self, data: bytes, event: bytes) -> None:
        """One message's payload, or the whole body."""
        if not self.streams:
            self._whole_answer(_PAYLOAD.decode(data))
            return
        name = event.decode("ascii", "replace")
        if name.endswith("Exception"):
            self._fail(name, data)
            return
        payload = _PAYLOAD.decode(data)
        match name:
            case "messageStart":
                self.writer.start()
            case "contentBlockStart":
                self._start(payload.content_block_index, payload.start or _Block())
            case "contentBlockDelta":
                self._delta(payload.content_block_index, payload.delta or _Block())
            case "contentBlockStop":
                self._stop(payload.content_block_index)
            case "messageStop":
                self._finish(payload.stop_reason or "end_turn")
            case "metadata":
                if payload.usage is not None:
                    self.writer.report(usage_from_bedrock(payload.usage), final=True)
                if self.writer.finished:
                    self.writer.complete()
            case _:
                self.writer.unrecognized("event")

    def end(self) -> None:
        """Whole once the stop reason has come."""
        if self.writer.finished:
            self.writer.complete()
        else:
            self.writer.fail(FailureClass.TRUNCATED)

    def _fail(self, name: str, data: bytes) -> None:
        try:
            fields = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            fields = {}
        message = fields.get("message") if isinstance(fields, dict) else ""
        error = {"error": {"type": name, "message": message if isinstance(message, str) else ""}}
        failed = classify_error(200, msgspec.json.encode(error))
        self.writer.fail(failed.failure, retry_after_ms=failed.retry_after_ms)

    def _whole_answer(self, answer: _Payload) -> None:
        message = answer.output.message if answer.output else None
        if message is None or message.content is None:
            raise Malformed("no message")
        self.writer.start()
        for index, block in enumerate(message.content):
            self._start(index, block)
            if block.tool_use is None:
                self._delta(index, block)
            self._stop(index)
        if answer.usage is not None:
            self.writer.report(usage_from_bedrock(answer.usage), final=True)
        self._finish(answer.stop_reason or "end_turn")
        if not self.writer.ended:
            self.writer.complete()

    def _finish(self, reason: str) -> None:
        if reason in _BROKEN:
            self.writer.fail(FailureClass.MALFORMED)
            return
        self.writer.stop_all()
        self.writer.finish(FINISH_REASONS.get(reason, FinishReason.STOP), native=reason)

    def _block(self, number: int, kind: BlockKind, form: str = "") -> int:
        index = self._blocks.get((number, kind))
        if index is None:
            if not 0 <= number <= BLOCK_INDEX_MAX or kind is BlockKind.TOOL_CALL:
                raise Malformed("block index")
            index = self.writer.open(kind, form=form, origin="anthropic" if form else "")
            self._blocks[number, kind] = index
        if not self.writer.is_open(index):
            raise Malformed("delta after its block")
        return index

    def _start(self, number: int, block: _Block) -> None:
        call = block.tool_use
        if call is None:
            if block.tool_result is not None:
                self.writer.unrecognized("block")
            return
        if (call.type or "tool_use") != "tool_use":
            self.writer.unrecognized("block")  # the provider ran this tool itself
            return
        if not call.name or not 0 <= number <= BLOCK_INDEX_MAX:
            raise Malformed("tool call")
        index = self.writer.open(BlockKind.TOOL_CALL, block_id=call.tool_use_id or "", name=call.name)
        self._blocks[number, BlockKind.TOOL_CALL] = index
        if call.input:
            self.writer.text(index, msgspec.json.encode(call.input).decode())

    def _stop(self, number: int) -> None:
        for (owner, _), index in self._blocks.items():
            if owner == number:
                self.writer.stop(index)

    def _delta(self, number: int, delta: _Block) -> None:
        if delta.text is not None:
            if delta.text:
                self.writer.text(self._block(number, BlockKind.TEXT), delta.text)
        elif delta.tool_use is not None:
            if (number, BlockKind.TOOL_CALL) in self._blocks and isinstance(delta.tool_use.input, str):
                self.writer.text(self._block(number, BlockKind.TOOL_CALL), delta.tool_use.input)
        elif delta.reasoning_content is not None:
            self._reason(number, delta.reasoning_content)
        elif delta.citations_content is not None:
            text = "".join(piece.text or "" for piece in delta.citations_content.content or ())
            if text:
                self.writer.text(self._block(number, BlockKind.TEXT), text)
        elif delta.citation is not None or delta.tool_result is not None:
            self.writer.unrecognized("delta")

    def _reason(self, number: int, piece: _Reasoning) -> None:
        if piece.redacted_content:
            index = self._block(number, BlockKind.REASONING, "encrypted")
            self.writer.proof(index, data=piece.redacted_content)
            return
        whole = piece.reasoning_text
        index = self._block(number, BlockKind.REASONING, "text")
        self.writer.text(index, (whole.text if whole else piece.text) or "")
        self.writer.proof(index, signature=(whole.signature if whole else piece.signature) or "")


def usage_from_bedrock(raw: _BedrockUsage) -> Usage:
    """Disjoint counters: nothing to subtract but one kind of cache write from the other."""
    tally = Tally()
    written = tally.count(raw.cache_write_input_tokens)
    hour = sum(tally.count(detail.input_tokens, written) for detail in raw.cache_details or () if detail.ttl == "1h")
    return Usage(
        input=tally.count(raw.input_tokens),
        cache_read=tally.count(raw.cache_read_input_tokens),
        cache_write_5m=written - min(hour, written),
        cache_write_1h=min(hour, written),
        output=tally.count(raw.output_tokens),
        estimated=tally.corrected,
    )
