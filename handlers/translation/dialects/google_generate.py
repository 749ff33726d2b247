"""Gemini, answers: canonical events -> chunks (server-sent events, or one JSON array), or one answer.

Each chunk is a whole small answer. Calls are sent complete, because Gemini knows no pieces of them. The last chunk carries
finish reasons and usage. Without `alt=sse` a stream is a JSON array that grows.
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
    Event,
    FinishReason,
    ResponseFailed,
)
from handlers.translation.canonical.proof import mark_proof
from handlers.translation.canonical.usage import Usage
from handlers.translation.dialects.anthropic_messages import arguments_object
from handlers.translation.dialects.base import JSON_TYPE, STREAM_TYPE, AnswerContext, Dialect
from handlers.translation.dialects.google_parse import parse_generate
from handlers.translation.framing.sse import frame_bytes

_FINISH = {
    FinishReason.STOP: "STOP",
    FinishReason.TOOL_CALLS: "STOP",
    FinishReason.LENGTH: "MAX_TOKENS",
    FinishReason.CONTENT_FILTER: "SAFETY",
    FinishReason.REFUSAL: "SAFETY",
    FinishReason.ERROR: "OTHER",
}
_STATUS = {
    FailureClass.RATE_LIMITED: "RESOURCE_EXHAUSTED",
    FailureClass.OVERLOADED: "UNAVAILABLE",
    FailureClass.TIMEOUT: "DEADLINE_EXCEEDED",
    FailureClass.INVALID_REQUEST: "INVALID_ARGUMENT",
    FailureClass.CONTEXT_LENGTH: "INVALID_ARGUMENT",
    FailureClass.CONTENT_POLICY: "INVALID_ARGUMENT",
}
_encode = msgspec.json.Encoder().encode


def encode_whole(answer: Answer, context: AnswerContext) -> bytes:
    """One answer."""
    candidates = []
    for choice in answer.choices():
        blocks = [block for block in answer.blocks if block.choice == choice]
        parts = [part for block in blocks for part in _parts(block, context)]
        finish = _FINISH[answer.finish(choice).reason]
        candidates.append({"content": _content(parts), "finishReason": finish, "index": choice})
    return _encode(_chunk(answer, context, candidates) | {"usageMetadata": usage_fields(answer.usage)})


def wants_events(target: str) -> bool:
    """Whether a streaming client asked for server-sent events."""
    return "alt=sse" in target.partition("?")[2]


def stream_type(target: str) -> str:
    """The content type of a stream: events, or one JSON array."""
    return STREAM_TYPE if wants_events(target) else JSON_TYPE


def usage_fields(usage: Usage) -> dict[str, Any]:
    """Gemini's usage: cached tokens within the prompt, thoughts beside the candidates."""
    fields: dict[str, Any] = {
        "promptTokenCount": usage.prompt_tokens,
        "candidatesTokenCount": usage.completion_tokens - usage.reasoning,
        "totalTokenCount": usage.prompt_tokens + usage.completion_tokens,
    }
    if usage.cache_read:
        fields["cachedContentTokenCount"] = usage.cache_read
    if usage.reasoning:
        fields["thoughtsTokenCount"] = usage.reasoning
    return fields


def _chunk(answer: Answer, context: AnswerContext, candidates: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "candidates": candidates,
        "modelVersion": context.model,
        "responseId": answer.id or context.response_id,
    }


def _content(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": "model", "parts": parts}


def _parts(block: Block, context: AnswerContext) -> list[dict[str, Any]]:
    """The parts that a whole block becomes."""
    match block.kind:
        case BlockKind.TOOL_CALL:
            call: dict[str, Any] = {"name": block.name, "args": arguments_object(block.text)}
            if block.id:
                call["id"] = block.id
            signature = {"thoughtSignature": block.signature} if block.signature else {}
            return [{"functionCall": call, **signature}]
        case BlockKind.IMAGE | BlockKind.AUDIO:
            return [{"inlineData": {"mimeType": block.form, "data": block.data}}]
        case BlockKind.REASONING:
            proof = mark_proof(block.data or block.signature, block.origin, "google")
            signature = {"thoughtSignature": proof} if proof else {}
            if not block.text:
                return [{"text": "", **signature}] if signature else []
            return [] if context.exclude_reasoning else [{"text": block.text, "thought": True, **signature}]
        case _:
            return [{"text": block.text}] if block.text else []


class GenerateStreamEncoder:
    """Writes chunks."""

    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._answer = Answer()
        self._events = wants_events(context.target)
        self._sent = 0
        self._stopped: set[int] = set()
        self._next = 0

    def encode(self, event: Event) -> bytes:
        """Client-ready bytes of an event that is not terminal."""
        self._answer.add(event)
        match event:
            case BlockDelta(index, text) if text:
                return self._text(self._answer.blocks[index], text)
            case BlockStopped(index):
                self._stopped.add(index)
                return self._complete_in_order()
            case BlockStarted() | ChoiceFinished() | _:
                return b""

    def complete(self) -> tuple[bytes, bytes]:
        """Nothing more; the last chunk with finish reasons and usage, and the end of the array."""
        candidates = [
            {"content": _content([]), "finishReason": _FINISH[self._answer.finish(choice).reason], "index": choice}
            for choice in self._answer.choices()
        ]
        last = _chunk(self._answer, self._context, candidates) | {"usageMetadata": usage_fields(self._answer.usage)}
        return b"", self._frame(last) + (b"" if self._events else b"]")

    def fail(self, event: ResponseFailed) -> bytes:
        """The error in place of a chunk."""
        rule = FAILURES[event.failure]
        status = _STATUS.get(event.failure, "INTERNAL")
        error = {"code": rule.http_status, "message": event.message or rule.message, "status": status}
        return self._frame({"error": error}) + (b"" if self._events else b"]")

    def _frame(self, fields: dict[str, Any]) -> bytes:
        self._sent += 1
        if self._events:
            return frame_bytes(_encode(fields))
        return (b"[" if self._sent == 1 else b",\n") + _encode(fields)

    def _send(self, choice: int, parts: list[dict[str, Any]]) -> bytes:
        if not parts:
            return b""
        return self._frame(_chunk(self._answer, self._context, [{"content": _content(parts), "index": choice}]))

    def _text(self, block: Block, text: str) -> bytes:
        if block.kind in {BlockKind.TEXT, BlockKind.REFUSAL}:
            return self._send(block.choice, [{"text": text}])
        if block.kind is BlockKind.REASONING and not self._context.exclude_reasoning:
            return self._send(block.choice, [{"text": text, "thought": True}])
        return b""

    def _complete_in_order(self) -> bytes:
        """Blocks complete in the order in which they began, whichever ended first."""
        data = b""
        while self._next in self._stopped:
            data += self._complete_block(self._answer.blocks[self._next])
            self._next += 1
        return data

    def _complete_block(self, block: Block) -> bytes:
        """Calls and media whole; of reasoning only the proof is left to say."""
        if block.kind in {BlockKind.TOOL_CALL, BlockKind.IMAGE, BlockKind.AUDIO}:
            return self._send(block.choice, _parts(block, self._context))
        proof = mark_proof(block.data or block.signature, block.origin, "google")
        if block.kind is BlockKind.REASONING and proof:
            return self._send(block.choice, [{"text": "", "thoughtSignature": proof}])
        return b""


GOOGLE_GENERATE = Dialect("google_generate", parse_generate, GenerateStreamEncoder, encode_whole, stream_type)
