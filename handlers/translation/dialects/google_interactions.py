"""Google Interactions, answers: canonical events -> steps (server-sent events), or one interaction.

Every block is a step of its own: text a model_output, reasoning a thought, a tool call a function_call. A signature that
belongs to a call stands on a thought before it, because calls have no place for one; so a call begins with its arguments
and not before. Nothing is kept: the id names this answer and cannot be asked for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from handlers.errors import FAILURES
from handlers.translation.canonical.assembled import Answer, Block
from handlers.translation.canonical.events import (
    BlockDelta,
    BlockKind,
    BlockStarted,
    BlockStopped,
    Cited,
    Event,
    FinishReason,
    ResponseFailed,
)
from handlers.translation.canonical.proof import mark_proof
from handlers.translation.canonical.usage import Usage
from handlers.translation.dialects.anthropic_messages import arguments_object
from handlers.translation.dialects.base import AnswerContext, Dialect
from handlers.translation.dialects.interactions_parse import parse_interaction
from handlers.translation.framing.sse import frame_bytes

DONE = b"event: done\ndata: [DONE]\n\n"
_STATUS = {
    FinishReason.STOP: "completed",
    FinishReason.TOOL_CALLS: "requires_action",
    FinishReason.LENGTH: "incomplete",
    FinishReason.CONTENT_FILTER: "incomplete",
    FinishReason.REFUSAL: "completed",
    FinishReason.ERROR: "failed",
}
_MEDIA = {BlockKind.IMAGE: "image", BlockKind.AUDIO: "audio"}
_encode = msgspec.json.Encoder().encode


def encode_whole(answer: Answer, context: AnswerContext) -> bytes:
    """One interaction."""
    steps = [step for block in answer.blocks if block.choice == 0 for step in _steps(block, context)]
    return _encode(_completed(answer, context) | {"steps": steps})


def usage_fields(usage: Usage) -> dict[str, Any]:
    """Cached tokens within the input, thoughts beside the output."""
    return {
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "total_input_tokens": usage.prompt_tokens,
        "total_cached_tokens": usage.cache_read,
        "total_output_tokens": usage.completion_tokens - usage.reasoning,
        "total_thought_tokens": usage.reasoning,
        "total_tool_use_tokens": 0,
    }


def _interaction(answer: Answer, context: AnswerContext, status: str) -> dict[str, Any]:
    return {
        "id": answer.id or context.response_id,
        "object": "interaction",
        "status": status,
        "model": context.model,
    }


def _completed(answer: Answer, context: AnswerContext) -> dict[str, Any]:
    made = datetime.fromtimestamp(context.now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    whole = _interaction(answer, context, _STATUS[answer.finish().reason])
    return whole | {"created": made, "updated": made, "usage": usage_fields(answer.usage)}


def _steps(block: Block, context: AnswerContext) -> list[dict[str, Any]]:
    """The steps that a whole block becomes."""
    match block.kind:
        case BlockKind.TOOL_CALL:
            call = {"type": "function_call", **_call(block), "arguments": arguments_object(block.text)}
            return [{"type": "thought", "signature": block.signature}, call] if block.signature else [call]
        case BlockKind.REASONING:
            thought: dict[str, Any] = {"type": "thought"}
            if block.text and not context.exclude_reasoning:
                thought["summary"] = [{"type": "text", "text": block.text}]
            proof = mark_proof(block.data or block.signature, block.origin, "google")
            return [thought | {"signature": proof}] if proof else [thought]
        case BlockKind.IMAGE | BlockKind.AUDIO:
            return [{"type": "model_output", "content": [_medium(block)]}]
        case _:
            text: dict[str, Any] = {"type": "text", "text": block.text}
            if block.citations:
                text["annotations"] = [_annotation(cited) for cited in block.citations]
            return [{"type": "model_output", "content": [text]}] if block.text else []


def _call(block: Block) -> dict[str, Any]:
    return {"id": block.id or f"call_{block.name}", "name": block.name}


def _medium(block: Block) -> dict[str, Any]:
    return {"type": _MEDIA[block.kind], "mime_type": block.form, "data": block.data}


def _annotation(cited: Cited) -> dict[str, Any]:
    return {
        "type": "url_citation",
        "url": cited.url,
        "title": cited.title,
        "start_index": cited.start,
        "end_index": cited.end,
    }


class InteractionStreamEncoder:
    """Writes events."""

    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._answer = Answer()
        self._begun = False
        self._steps: dict[int, int] = {}
        """Block -> its step, once that has begun."""
        self._next = 0

    def encode(self, event: Event) -> bytes:
        """Client-ready bytes of an event that is not terminal."""
        self._answer.add(event)
        match event:
            case BlockStarted(index, kind, choice) if choice == 0:
                begins = kind in {BlockKind.TEXT, BlockKind.REFUSAL, BlockKind.REASONING}
                return self._begin() + (self._step(index) if begins else b"")
            case BlockDelta(index, text) if self._answer.blocks[index].choice == 0:
                return self._text(index, text) if text else b""
            case Cited(index) if self._answer.blocks[index].choice == 0:
                return self._delta(index, {"type": "text_annotation_delta", "annotations": [_annotation(event)]})
            case BlockStopped(index) if self._answer.blocks[index].choice == 0:
                return self._stop(index)
            case _:
                return b""

    def complete(self) -> tuple[bytes, bytes]:
        """The beginning, if nothing has been said; the completed interaction with its usage, and the end marker."""
        whole = _completed(self._answer, self._context)
        return self._begin(), _frame("interaction.completed", {"interaction": whole}) + DONE

    def fail(self, event: ResponseFailed) -> bytes:
        """The error in place of the completed interaction."""
        rule = FAILURES[event.failure]
        return _frame("error", {"error": {"code": rule.code, "message": event.message or rule.message}})

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        opened = _interaction(self._answer, self._context, "in_progress")
        update = {"interaction_id": opened["id"], "status": "in_progress"}
        return _frame("interaction.created", {"interaction": opened}) + _frame("interaction.status_update", update)

    def _step(self, index: int) -> bytes:
        """The start of a block's step; before a call the thought that carries its signature."""
        block = self._answer.blocks[index]
        step: dict[str, Any] = {"type": "thought" if block.kind is BlockKind.REASONING else "model_output"}
        before = b""
        if block.kind is BlockKind.TOOL_CALL:
            step = {"type": "function_call", **_call(block), "arguments": {}}
            before = self._whole_thought(block.signature) if block.signature else b""
        self._steps[index] = self._next
        self._next += 1
        return before + _frame("step.start", {"index": self._steps[index], "step": step})

    def _whole_thought(self, signature: str) -> bytes:
        number = self._next
        self._next += 1
        proof = {"type": "thought_signature", "signature": signature}
        return b"".join(
            (
                _frame("step.start", {"index": number, "step": {"type": "thought"}}),
                _frame("step.delta", {"index": number, "delta": proof}),
                _frame("step.stop", {"index": number}),
            )
        )

    def _delta(self, index: int, delta: dict[str, Any]) -> bytes:
        return _frame("step.delta", {"index": self._steps[index], "delta": delta})

    def _text(self, index: int, text: str) -> bytes:
        kind = self._answer.blocks[index].kind
        if kind is BlockKind.TOOL_CALL:
            begun = b"" if index in self._steps else self._step(index)
            return begun + self._delta(index, {"type": "arguments_delta", "arguments": text})
        if kind is BlockKind.REASONING:
            if self._context.exclude_reasoning:
                return b""
            return self._delta(index, {"type": "thought_summary", "content": {"type": "text", "text": text}})
        return self._delta(index, {"type": "text", "text": text})

    def _stop(self, index: int) -> bytes:
        block = self._answer.blocks[index]
        data = b"" if index in self._steps else self._step(index)
        if block.kind in _MEDIA:
            data += self._delta(index, _medium(block))
        elif block.kind is BlockKind.REASONING:
            proof = mark_proof(block.data or block.signature, block.origin, "google")
            data += self._delta(index, {"type": "thought_signature", "signature": proof}) if proof else b""
        return data + _frame("step.stop", {"index": self._steps[index]})


def _frame(kind: str, fields: dict[str, Any]) -> bytes:
    return frame_bytes(_encode(fields | {"event_type": kind}), kind)


GOOGLE_INTERACTIONS = Dialect("google_interactions", parse_interaction, InteractionStreamEncoder, encode_whole)
