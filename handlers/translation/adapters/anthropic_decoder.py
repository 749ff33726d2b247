"""Anthropic Messages, answers: events or one message -> events.

Usage comes in two parts and is cumulative: `message_start` brings the prompt, `message_delta` the output; a later value
replaces an earlier one (some compatible providers send zeros first). `input_tokens` excludes cached tokens.
Blocks of tools that run at the provider (searches, code) have no counterpart elsewhere and count as unrecognized.
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
from handlers.translation.canonical.events import BlockKind, Cited, FinishReason
from handlers.translation.canonical.usage import Usage

BLOCK_INDEX_MAX = 4_096

FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "pause_turn": FinishReason.STOP,
    "compaction": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.REFUSAL,
    "sensitive": FinishReason.CONTENT_FILTER,
}


class _CacheCreation(msgspec.Struct, gc=False):
    ephemeral_5m_input_tokens: Count = None
    ephemeral_1h_input_tokens: Count = None


class _ServerTools(msgspec.Struct, gc=False):
    web_search_requests: Count = None


class _OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: Count = None


class AnthropicUsage(msgspec.Struct, gc=False):
    """`usage` of Anthropic Messages."""

    input_tokens: Count = None
    output_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation: _CacheCreation | None = None
    server_tool_use: _ServerTools | None = None
    output_tokens_details: _OutputDetails | None = None


class _Block(msgspec.Struct, gc=False):
    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw()
    citations: list[Any] | None = None


class _Message(msgspec.Struct, gc=False):
    id: str | None = None
    model: str | None = None
    usage: AnthropicUsage | None = None


class _Delta(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    citation: Any = None


class _Event(msgspec.Struct, gc=False):
    """Any event, or a whole message."""

    type: str
    index: int = 0
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: _Message | None = None
    usage: AnthropicUsage | None = None
    id: str | None = None
    model: str | None = None
    content: list[_Block] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


_EVENT = msgspec.json.Decoder(_Event)
_KINDS = {
    "text": BlockKind.TEXT,
    "thinking": BlockKind.REASONING,
    "redacted_thinking": BlockKind.REASONING,
    "tool_use": BlockKind.TOOL_CALL,
}


class AnthropicDecoder(JsonDecoder):
    """Reads a stream of events, or one message."""

    __slots__ = ("_blocks", "_raw_usage")

    def __init__(self, *, streams: bool, prompt_tokens: int) -> None:
        super().__init__(streams=streams, prompt_tokens=prompt_tokens)
        self._blocks: dict[int, int] = {}
        """Upstream index -> our index, -1 for blocks that we do not forward."""
        self._raw_usage = AnthropicUsage()

    def read(self, data: bytes, event: bytes) -> None:
        """One event, or the whole message."""
        del event  # the payload repeats it
        read = _EVENT.decode(data)
        kind = read.type
        if kind == "content_block_delta" and read.delta is not None:
            self._delta(read.index, read.delta)
        elif kind == "content_block_start" and read.content_block is not None:
            self._block(read.index, read.content_block)
        elif kind == "content_block_stop":
            index = self._blocks.get(read.index, -1)
            if index >= 0:
                self.writer.stop(index)
        elif kind == "message_start" and read.message is not None:
            self._start(read.message)
        elif kind == "message_delta":
            self._message_delta(read)
        elif kind == "message_stop":
            self.end()
        elif kind == "message":
            self._whole_message(read)
        elif kind == "error":
            failed = classify_error(200, data)
            self.writer.fail(failed.failure, retry_after_ms=failed.retry_after_ms)
        elif kind != "ping":
            self.writer.unrecognized("event")

    def end(self) -> None:
        """Whole once the stop reason has come."""
        if self.writer.finished:
            self.writer.complete()
        else:
            self.writer.fail(FailureClass.TRUNCATED)

    def _start(self, message: _Message) -> None:
        self.model = message.model or ""
        self.response_id = message.id or ""
        self.writer.start(self.response_id, self.model)
        self._report(message.usage, final=False)

    def _whole_message(self, message: _Event) -> None:
        if message.content is None:
            raise Malformed("no content")
        self._start(_Message(message.id, message.model))
        for index, block in enumerate(message.content):
            self._block(index, block)
            if self._blocks[index] >= 0:
                self.writer.stop(self._blocks[index])
        self._report(message.usage, final=True)
        self._finish(message.stop_reason or "end_turn", message.stop_sequence)
        self.writer.complete()

    def _message_delta(self, event: _Event) -> None:
        delta = event.delta or _Delta()
        if delta.stop_reason:
            self.writer.stop_all()
        self._report(event.usage, final=bool(delta.stop_reason))
        if delta.stop_reason:
            self._finish(delta.stop_reason, delta.stop_sequence)

    def _finish(self, reason: str, stop_sequence: str | None) -> None:
        finish = FINISH_REASONS.get(reason, FinishReason.STOP)
        self.writer.finish(finish, native=reason, stop_sequence=stop_sequence or "")

    def _report(self, usage: AnthropicUsage | None, *, final: bool) -> None:
        if usage is None:
            return
        merged = {
            name: value
            for source in (self._raw_usage, usage)
            for name, value in msgspec.structs.asdict(source).items()
            if value is not None
        }
        self._raw_usage = AnthropicUsage(**merged)
        self.writer.report(usage_from_anthropic(self._raw_usage), final=final and usage.output_tokens is not None)

    def _block(self, number: int, block: _Block) -> None:
        if not 0 <= number <= BLOCK_INDEX_MAX or number in self._blocks:
            raise Malformed("block index")
        kind = _KINDS.get(block.type)
        if kind is None:
            self._blocks[number] = -1
            self.writer.unrecognized("block")
            return
        form = "" if kind is not BlockKind.REASONING else "encrypted" if block.data else "text"
        origin = "anthropic" if form else ""
        index = self.writer.open(kind, block_id=block.id or "", name=block.name or "", form=form, origin=origin)
        self._blocks[number] = index
        self.writer.text(index, block.text or block.thinking or "")
        self.writer.proof(index, signature=block.signature or "", data=block.data or "")
        arguments = bytes(block.input)
        if kind is BlockKind.TOOL_CALL and arguments not in {b"", b"{}", b"null"}:
            self.writer.text(index, arguments.decode())
        for citation in block.citations or ():
            self._cite(index, citation)

    def _delta(self, number: int, delta: _Delta) -> None:
        index = self._blocks.get(number)
        if index is None:
            raise Malformed("delta without a block")
        if index < 0:
            return
        if not self.writer.is_open(index):
            raise Malformed("delta after its block")
        text = delta.text or delta.partial_json or delta.thinking
        if text:
            self.writer.text(index, text)
        elif delta.signature:
            self.writer.proof(index, signature=delta.signature)
        elif delta.citation is not None:
            self._cite(index, delta.citation)

    def _cite(self, index: int, citation: Any) -> None:
        if not isinstance(citation, dict):
            raise Malformed("citation")
        url, title = (
            citation.get("url") or citation.get("source"),
            citation.get("title") or citation.get("document_title"),
        )
        self.writer.emit(Cited(index, url if isinstance(url, str) else "", title if isinstance(title, str) else ""))


def usage_from_anthropic(raw: AnthropicUsage) -> Usage:
    """Disjoint counters: nothing to subtract but thinking from output and one kind of cache write from the other."""
    tally = Tally()
    written = tally.count(raw.cache_creation_input_tokens)
    hour = tally.count(raw.cache_creation.ephemeral_1h_input_tokens if raw.cache_creation else 0)
    if raw.cache_creation and hour > written:
        written = hour + tally.count(raw.cache_creation.ephemeral_5m_input_tokens)
    output = tally.count(raw.output_tokens)
    thinking = tally.count(raw.output_tokens_details.thinking_tokens if raw.output_tokens_details else 0, output)
    return Usage(
        input=tally.count(raw.input_tokens),
        cache_read=tally.count(raw.cache_read_input_tokens),
        cache_write_5m=written - hour,
        cache_write_1h=hour,
        output=output - thinking,
        reasoning=thinking,
        searches=tally.count(raw.server_tool_use.web_search_requests if raw.server_tool_use else 0),
        estimated=tally.corrected,
    )
