"""OpenAI Responses, answers: canonical events -> events of a stream, or one response.

Each block is one output item: a message with one part, a reasoning item, a function call. Order of a stream:
response.created, response.in_progress, each item from added to done with its deltas between, response.completed (or
response.incomplete) with the whole response once more. All events are numbered. Nothing is stored: `store` is false.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    ResponseStarted,
    UsageReported,
)
from handlers.translation.canonical.proof import mark_proof
from handlers.translation.canonical.request import Sampling, Tool
from handlers.translation.canonical.usage import Usage
from handlers.translation.dialects.base import AnswerContext, Dialect
from handlers.translation.dialects.responses_parse import parse_responses
from handlers.translation.framing.sse import frame_bytes

_INCOMPLETE = {FinishReason.LENGTH: "max_output_tokens", FinishReason.CONTENT_FILTER: "content_filter"}
_TEXT_KINDS = frozenset({BlockKind.TEXT, BlockKind.REFUSAL})
_encode = msgspec.json.Encoder().encode


def encode_whole(answer: Answer, context: AnswerContext) -> bytes:
    """One response."""
    return _encode(_finished(answer, context))


def usage_fields(usage: Usage) -> dict[str, Any]:
    """The Responses API's usage."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _response(answer: Answer, context: AnswerContext, status: str) -> dict[str, Any]:
    """A response without output; what the client asked for is repeated as far as it was understood."""
    request = context.request
    sampling = request.sampling if request else Sampling()
    control = request.reasoning if request else None
    return {
        "id": _response_id(answer.id or context.response_id),
        "object": "response",
        "created_at": answer.created or context.now_s,
        "completed_at": None if status == "in_progress" else context.now_s,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": request.output_tokens_max if request else None,
        "max_tool_calls": None,
        "model": context.model,
        "output": [],
        "parallel_tool_calls": not request or request.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {
            "effort": control.effort or None if control else None,
            "summary": control.summary or None if control else None,
        },
        "store": False,
        "temperature": 1.0 if sampling.temperature is None else sampling.temperature,
        "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
        "top_logprobs": sampling.top_logprobs or 0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [_tool(tool) for tool in request.tools] if request else [],
        "truncation": "disabled",
        "usage": None,
        "metadata": {},
        "service_tier": "default",
        "safety_identifier": None,
        "prompt_cache_key": None,
        "provider": context.provider,
    }


def _response_id(response_id: str) -> str:
    return response_id if response_id.startswith("resp_") else f"resp_{response_id}"


def _tool(tool: Tool) -> dict[str, Any]:
    fields = {"type": "function", "name": tool.name, "description": tool.description or None}
    return {**fields, "parameters": tool.parameters, "strict": bool(tool.strict)}


def _finished(answer: Answer, context: AnswerContext) -> dict[str, Any]:
    """The whole response."""
    finish = answer.finish()
    incomplete = _INCOMPLETE.get(finish.reason)
    response = _response(answer, context, "incomplete" if incomplete else "completed")
    if incomplete:
        response["incomplete_details"] = {"reason": incomplete}
    shown = [block for block in answer.blocks if _is_shown(block, context)]
    status = "incomplete" if incomplete and shown else "completed"
    response["output"] = [
        _item(block, index, context, status if block is shown[-1] else "completed") for index, block in enumerate(shown)
    ]
    response["usage"] = usage_fields(answer.usage)
    return response


def _is_shown(block: Block | BlockStarted, context: AnswerContext) -> bool:
    if block.choice != 0 or block.kind is BlockKind.AUDIO:
        return False
    return block.kind is not BlockKind.REASONING or not context.exclude_reasoning


def _item_id(kind: BlockKind, index: int, context: AnswerContext, block_id: str = "") -> str:
    prefix = {BlockKind.REASONING: "rs", BlockKind.TOOL_CALL: "fc", BlockKind.IMAGE: "ig"}.get(kind, "msg")
    if kind is BlockKind.REASONING and block_id.startswith("rs_"):
        return block_id
    return f"{prefix}_{context.response_id[-16:]}_{index}"


def _call_id(block_id: str, index: int, context: AnswerContext) -> str:
    return block_id or f"call_{context.response_id[-16:]}_{index}"


def _item(block: Block, index: int, context: AnswerContext, status: str) -> dict[str, Any]:
    """One output item; an unfinished one has empty content."""
    item: dict[str, Any] = {"id": _item_id(block.kind, index, context, block.id), "status": status}
    match block.kind:
        case BlockKind.TEXT | BlockKind.REFUSAL:
            content = [_part(block)] if status != "in_progress" else []
            return item | {"type": "message", "role": "assistant", "content": content}
        case BlockKind.TOOL_CALL:
            arguments = block.text if status == "in_progress" else block.text or "{}"
            call = {"call_id": _call_id(block.id, index, context), "name": block.name, "arguments": arguments}
            return item | {"type": "function_call", **call}
        case BlockKind.IMAGE:
            return item | {"type": "image_generation_call", "result": block.data or None}
        case _:
            summary = [{"type": "summary_text", "text": block.text}] if block.text else []
            proof = mark_proof(block.data or block.signature, block.origin, "openai")
            del item["status"]
            sealed = {"encrypted_content": proof} if proof else {}
            return item | {"type": "reasoning", "summary": summary, **sealed}


def _part(block: Block) -> dict[str, Any]:
    if block.kind is BlockKind.REFUSAL:
        return {"type": "refusal", "refusal": block.text}
    annotations = [
        {"type": "url_citation", "url": c.url, "title": c.title, "start_index": c.start, "end_index": c.end}
        for c in block.citations
    ]
    return {"type": "output_text", "text": block.text, "annotations": annotations, "logprobs": []}


class ResponsesStreamEncoder:
    """Writes events."""

    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._answer = Answer()
        self._number = 0
        self._outputs: dict[int, int] = {}
        """Our block index -> output index."""
        self._begun: set[int] = set()
        """Blocks whose part has been announced."""

    def encode(self, event: Event) -> bytes:
        """Client-ready bytes of an event that is not terminal."""
        self._answer.add(event)
        match event:
            case ResponseStarted():
                started = _response(self._answer, self._context, "in_progress")
                kinds = ("response.created", "response.in_progress")
                return b"".join([self._frame(kind, {"response": started}) for kind in kinds])
            case BlockStarted():
                return self._started(event)
            case BlockDelta() if event.index in self._outputs:
                return self._delta(event)
            case Cited() if event.index in self._outputs:
                return self._cited(event)
            case BlockStopped(index) if index in self._outputs:
                return b"".join(self._stopped(index))
            case UsageReported() | _:
                return b""

    def complete(self) -> tuple[bytes, bytes]:
        """Nothing more; the end with the whole response."""
        response = _finished(self._answer, self._context)
        return b"", self._frame(f"response.{response['status']}", {"response": response})

    def fail(self, event: ResponseFailed) -> bytes:
        """The failed response."""
        rule = FAILURES[event.failure]
        response = _response(self._answer, self._context, "failed")
        response["error"] = {"code": rule.code, "message": event.message or rule.message}
        return self._frame("response.failed", {"response": response})

    def _frame(self, kind: str, fields: dict[str, Any]) -> bytes:
        number = self._number
        self._number += 1
        return frame_bytes(_encode({"type": kind, "sequence_number": number, **fields}), kind)

    def _place(self, index: int) -> dict[str, Any]:
        output = self._outputs[index]
        block = self._answer.blocks[index]
        return {"item_id": _item_id(block.kind, output, self._context, block.id), "output_index": output}

    def _started(self, event: BlockStarted) -> bytes:
        if not _is_shown(event, self._context):
            return b""
        output = self._outputs[event.index] = len(self._outputs)
        item = _item(self._answer.blocks[event.index], output, self._context, "in_progress")
        return self._frame("response.output_item.added", {"output_index": output, "item": item})

    def _begin(self, index: int) -> bytes:
        """The announcement of the block's part, once."""
        if index in self._begun:
            return b""
        self._begun.add(index)
        block = self._answer.blocks[index]
        empty = Block(block.kind, 0, "", "", "")
        if block.kind in _TEXT_KINDS:
            fields = self._place(index) | {"content_index": 0, "part": _part(empty)}
            return self._frame("response.content_part.added", fields)
        if block.kind is BlockKind.REASONING:
            fields = self._place(index) | {"summary_index": 0, "part": {"type": "summary_text", "text": ""}}
            return self._frame("response.reasoning_summary_part.added", fields)
        return b""

    def _delta(self, event: BlockDelta) -> bytes:
        if not event.text:
            return b""
        begun = self._begin(event.index)
        fields = self._place(event.index) | {"delta": event.text}
        match self._answer.blocks[event.index].kind:
            case BlockKind.TEXT:
                return begun + self._frame("response.output_text.delta", fields | {"content_index": 0, "logprobs": []})
            case BlockKind.REFUSAL:
                return begun + self._frame("response.refusal.delta", fields | {"content_index": 0})
            case BlockKind.REASONING:
                return begun + self._frame("response.reasoning_summary_text.delta", fields | {"summary_index": 0})
            case BlockKind.TOOL_CALL:
                return begun + self._frame("response.function_call_arguments.delta", fields)
            case _:
                return b""

    def _cited(self, event: Cited) -> bytes:
        begun = self._begin(event.index)
        annotations = _part(self._answer.blocks[event.index])["annotations"]
        fields = self._place(event.index) | {"content_index": 0, "annotation_index": len(annotations) - 1}
        return begun + self._frame("response.output_text.annotation.added", fields | {"annotation": annotations[-1]})

    def _stopped(self, index: int) -> Iterator[bytes]:
        block = self._answer.blocks[index]
        place = self._place(index)
        if block.kind in _TEXT_KINDS:
            yield self._begin(index)
            part = _part(block)
            name = "text" if block.kind is BlockKind.TEXT else "refusal"
            done = place | {"content_index": 0}
            logprobs: dict[str, Any] = {"logprobs": []} if name == "text" else {}
            kind = "output_text" if name == "text" else "refusal"
            yield self._frame(f"response.{kind}.done", done | {name: part[name]} | logprobs)
            yield self._frame("response.content_part.done", done | {"part": part})
        elif block.kind is BlockKind.REASONING and index in self._begun:
            done = place | {"summary_index": 0}
            yield self._frame("response.reasoning_summary_text.done", done | {"text": block.text})
            part = {"type": "summary_text", "text": block.text}
            yield self._frame("response.reasoning_summary_part.done", done | {"part": part})
        elif block.kind is BlockKind.TOOL_CALL:
            done = place | {"arguments": block.text or "{}", "name": block.name}
            yield self._frame("response.function_call_arguments.done", done)
        item = _item(block, place["output_index"], self._context, "completed")
        yield self._frame("response.output_item.done", {"output_index": place["output_index"], "item": item})


OPENAI_RESPONSES = Dialect("openai_responses", parse_responses, ResponsesStreamEncoder, encode_whole)
