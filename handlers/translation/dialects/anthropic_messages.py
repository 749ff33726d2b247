"""Anthropic Messages, answers: canonical events -> events of a stream, or one message.

Order of a stream: message_start, each block from start to stop, message_delta with stop reason and usage, message_stop.
Blocks never overlap here, so a block that begins while another is open waits until that one is complete.
"""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.errors import FAILURES, FailureClass
from handlers.translation.canonical.assembled import Answer, Block
from handlers.translation.canonical.events import (
    BlockDelta,
    BlockKind,
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    Cited,
    Event,
    FinishReason,
    ResponseFailed,
    ResponseStarted,
    UsageReported,
)
from handlers.translation.canonical.proof import mark_proof
from handlers.translation.canonical.usage import NO_USAGE, Usage
from handlers.translation.dialects.anthropic_parse import parse_messages
from handlers.translation.dialects.base import AnswerContext, Dialect
from handlers.translation.framing.sse import frame_bytes

_STOP_REASONS = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
    FinishReason.REFUSAL: "refusal",
    FinishReason.ERROR: "end_turn",
}
_ERROR_TYPES = {
    FailureClass.RATE_LIMITED: "rate_limit_error",
    FailureClass.OVERLOADED: "overloaded_error",
    FailureClass.TIMEOUT: "timeout_error",
    FailureClass.INVALID_REQUEST: "invalid_request_error",
    FailureClass.CONTEXT_LENGTH: "invalid_request_error",
    FailureClass.CONTENT_POLICY: "invalid_request_error",
    FailureClass.UNSUPPORTED: "invalid_request_error",
}
_encode = msgspec.json.Encoder().encode


def encode_whole(answer: Answer, context: AnswerContext) -> bytes:
    """One message."""
    finish = answer.finish()
    blocks = [fields for block in answer.blocks if block.choice == 0 for fields in _whole_block(block, context)]
    message = _message(answer.id, context, usage_fields(answer.usage))
    message["content"] = blocks
    message |= _stop(finish)
    return _encode(message)


def usage_fields(usage: Usage) -> dict[str, Any]:
    """Anthropic's usage: cached tokens apart from input, thinking within output."""
    writes = {
        "ephemeral_5m_input_tokens": usage.cache_write_5m,
        "ephemeral_1h_input_tokens": usage.cache_write_1h,
    }
    searches = {"web_search_requests": usage.searches, "web_fetch_requests": 0}
    return {
        "input_tokens": usage.input + usage.audio_input + usage.image_input,
        "cache_creation_input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": writes,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "server_tool_use": searches if usage.searches else None,
        "service_tier": "standard",
        "inference_geo": None,
    }


def _message(response_id: str, context: AnswerContext, usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": response_id or context.response_id,
        "type": "message",
        "role": "assistant",
        "model": context.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
        "usage": usage,
    }


def _stop(finish: ChoiceFinished) -> dict[str, Any]:
    reason = _STOP_REASONS[finish.reason]
    if finish.stop_sequence and reason == "end_turn":
        reason = "stop_sequence"
    return {"stop_reason": reason, "stop_sequence": finish.stop_sequence or None}


def _citation(cited: Cited) -> dict[str, Any]:
    return {
        "type": "web_search_result_location",
        "url": cited.url,
        "title": cited.title or None,
        "cited_text": "",
        "encrypted_index": "",
    }


def _tool_id(block_id: str, index: int, context: AnswerContext) -> str:
    return block_id or f"toolu_{context.response_id[-16:]}_{index}"


def _whole_block(block: Block, context: AnswerContext) -> list[dict[str, Any]]:
    match block.kind:
        case BlockKind.TEXT | BlockKind.REFUSAL:
            if not block.text:
                return []
            citations = [_citation(cited) for cited in block.citations]
            return [{"type": "text", "text": block.text, "citations": citations or None}]
        case BlockKind.REASONING if not context.exclude_reasoning:
            if block.form == "encrypted":
                return [{"type": "redacted_thinking", "data": mark_proof(block.data, block.origin, "anthropic")}]
            signature = mark_proof(block.signature or block.data, block.origin, "anthropic")
            return [{"type": "thinking", "thinking": block.text, "signature": signature}]
        case BlockKind.TOOL_CALL:
            number = len(block.name) + len(block.text)
            call_id = _tool_id(block.id, number, context)
            return [_tool_use(call_id, block.name, arguments_object(block.text))]
    return []


def _tool_use(call_id: str, name: str, arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments, "caller": {"type": "direct"}}


def arguments_object(text: str) -> Any:
    """Arguments as a JSON object; what is none goes into a wrapper instead of being lost."""
    try:
        decoded = msgspec.json.decode(text.encode()) if text.strip() else {}
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return {"raw_arguments": text}
    return decoded if isinstance(decoded, dict) else {"value": decoded}


def error_fields(event: ResponseFailed) -> dict[str, Any]:
    """Our words about a failure, in Anthropic's shape."""
    error = {
        "type": _ERROR_TYPES.get(event.failure, "api_error"),
        "message": event.message or FAILURES[event.failure].message,
    }
    return {"type": "error", "error": error}


class MessagesStreamEncoder:
    """Writes events."""

    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._usage = NO_USAGE
        self._finish = ChoiceFinished(FinishReason.STOP)
        self._blocks: dict[int, BlockStarted] = {}
        self._active = -1
        self._waiting: list[Event] = []
        self._sent = 0
        """Blocks sent so far: the next index on the wire."""
        self._is_sent = False
        """The start of the active block has been sent."""

    def encode(self, event: Event) -> bytes:
        """Client-ready bytes of an event that is not terminal."""
        match event:
            case BlockStarted():
                self._blocks[event.index] = event
                return self._in_turn(event)
            case BlockDelta() | BlockStopped() | Cited():
                return self._in_turn(event)
            case ResponseStarted():
                return self._started(event)
            case UsageReported(usage):
                self._usage = usage
            case ChoiceFinished() if event.choice == 0:
                self._finish = event
            case _:
                pass
        return b""

    def complete(self) -> tuple[bytes, bytes]:
        """Stop reason and usage; the end marker."""
        delta = {"type": "message_delta", "delta": _stop(self._finish), "usage": usage_fields(self._usage)}
        return _frame(delta), _frame({"type": "message_stop"})

    def fail(self, event: ResponseFailed) -> bytes:
        """The error event, and no end marker."""
        return _frame(error_fields(event))

    def _started(self, event: ResponseStarted) -> bytes:
        """Clients want to see the prompt's size here, which others tell at the end: an estimate, corrected there."""
        usage = usage_fields(self._usage)
        if not self._usage.prompt_tokens:
            usage["input_tokens"] = max(1, self._context.prompt_tokens)
        usage["output_tokens"] = max(1, usage["output_tokens"])
        return _frame({"type": "message_start", "message": _message(event.id, self._context, usage)})

    def _in_turn(self, event: BlockStarted | BlockDelta | BlockStopped | Cited) -> bytes:
        """The event if its block is the active one; else it waits."""
        block = self._blocks[event.index]
        if block.choice != 0:
            return b""
        if self._active < 0 and isinstance(event, BlockStarted):
            self._active = event.index
        if event.index != self._active:
            self._waiting.append(event)
            return b""
        data = self._write(block, event)
        if isinstance(event, BlockStopped):
            self._active = -1
            waiting, self._waiting = self._waiting, []
            data += b"".join([self.encode(waited) for waited in waiting])
        return data

    def _write(self, block: BlockStarted, event: BlockStarted | BlockDelta | BlockStopped | Cited) -> bytes:
        match event:
            case BlockStarted():
                self._is_sent = False
                return self._open(block) if block.kind is BlockKind.TOOL_CALL else b""
            case BlockDelta():
                return self._delta(block, event)
            case Cited():
                return self._open(block) + self._send_delta({"type": "citations_delta", "citation": _citation(event)})
            case BlockStopped():
                return self._close()

    def _open(self, block: BlockStarted, data: str = "") -> bytes:
        """The start of the active block, once; blocks that stay empty never start."""
        if self._is_sent:
            return b""
        self._is_sent = True
        match block.kind:
            case BlockKind.TOOL_CALL:
                call_id = _tool_id(block.id, block.index, self._context)
                fields = _tool_use(call_id, block.name, {})
            case BlockKind.REASONING if data:
                fields = {"type": "redacted_thinking", "data": data}
            case BlockKind.REASONING:
                fields = {"type": "thinking", "thinking": "", "signature": ""}
            case _:
                fields = {"type": "text", "text": ""}
        return _frame({"type": "content_block_start", "index": self._sent, "content_block": fields})

    def _close(self) -> bytes:
        if not self._is_sent:
            return b""
        self._sent += 1
        return _frame({"type": "content_block_stop", "index": self._sent - 1})

    def _delta(self, block: BlockStarted, event: BlockDelta) -> bytes:
        match block.kind:
            case BlockKind.TEXT | BlockKind.REFUSAL if event.text:
                return self._open(block) + self._send_delta({"type": "text_delta", "text": event.text})
            case BlockKind.TOOL_CALL if event.text:
                return self._send_delta({"type": "input_json_delta", "partial_json": event.text})
            case BlockKind.REASONING if not self._context.exclude_reasoning:
                return self._reasoning(block, event)
        return b""

    def _reasoning(self, block: BlockStarted, event: BlockDelta) -> bytes:
        if block.form == "encrypted":
            return self._open(block, mark_proof(event.data, block.origin, "anthropic"))
        if event.text:
            return self._open(block) + self._send_delta({"type": "thinking_delta", "thinking": event.text})
        signature = mark_proof(event.signature or event.data, block.origin, "anthropic")
        return self._open(block) + self._send_delta({"type": "signature_delta", "signature": signature})

    def _send_delta(self, delta: dict[str, Any]) -> bytes:
        return _frame({"type": "content_block_delta", "index": self._sent, "delta": delta})


def _frame(fields: dict[str, Any]) -> bytes:
    return frame_bytes(_encode(fields), fields["type"])


ANTHROPIC_MESSAGES = Dialect("anthropic_messages", parse_messages, MessagesStreamEncoder, encode_whole)
