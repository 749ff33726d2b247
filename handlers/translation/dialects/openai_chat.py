"""OpenAI chat completions, answers: canonical events -> chunks, or one completion. With OpenRouter's additions.

Order of a stream: a role chunk, content, one finish chunk for each choice, the usage chunk with empty choices if asked
for, `[DONE]`. A failure after content is one chunk with `error` and `finish_reason: "error"`, and no `[DONE]`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.errors import FAILURES
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
from handlers.translation.canonical.usage import NO_USAGE, Usage
from handlers.translation.dialects.base import AnswerContext, Dialect
from handlers.translation.dialects.openai_chat_parse import REASONING_FORMATS, parse_chat

DONE = b"data: [DONE]\n\n"
_FINISH = {reason: reason.value for reason in FinishReason} | {FinishReason.REFUSAL: "content_filter"}
_encode = msgspec.json.Encoder().encode


def encode_whole(answer: Answer, context: AnswerContext) -> bytes:
    """One completion."""
    body = {
        "id": answer.id or context.response_id,
        "object": "chat.completion",
        "created": answer.created or context.now_s,
        "model": context.model,
        "provider": context.provider,
        "choices": [_whole_choice(answer, choice, context) for choice in answer.choices()],
        "usage": usage_fields(answer.usage),
    }
    return _encode(body)


def usage_fields(usage: Usage) -> dict[str, Any]:
    """OpenAI's usage: totals with details."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
            "audio_tokens": usage.audio_input,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.audio_output,
            "image_tokens": usage.image_output,
        },
    }


def error_fields(event: ResponseFailed) -> dict[str, Any]:
    """Our words about a failure, in OpenAI's shape with OpenRouter's metadata."""
    rule = FAILURES[event.failure]
    return {
        "code": rule.http_status,
        "message": event.message or rule.message,
        "type": rule.code,
        "param": event.param or None,
        "metadata": {"error_type": rule.code},
    }


def finish_word(reason: FinishReason) -> str:
    """OpenAI's finish reason."""
    return _FINISH[reason]


def citation_fields(cited: Cited) -> dict[str, Any]:
    """A web citation."""
    fields = {"url": cited.url, "title": cited.title, "start_index": cited.start, "end_index": cited.end}
    return {"type": "url_citation", "url_citation": fields}


def _detail(form: str, index: int, block: BlockStarted | Block, **fields: str) -> dict[str, Any]:
    detail: dict[str, Any] = {"type": f"reasoning.{form}", "index": index, "id": block.id or None}
    if block.origin:
        detail["format"] = REASONING_FORMATS[block.origin]
    return {**detail, **fields}


class ChatStreamEncoder:
    """Writes chunks."""

    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._usage = NO_USAGE
        self._head = self._opening(ResponseStarted())
        self._blocks: dict[int, BlockStarted] = {}
        self._calls: dict[int, int] = {}
        self._arguments: set[int] = set()
        self._announced: set[int] = set()
        self._call_counts: dict[int, int] = {}

    def encode(self, event: Event) -> bytes:
        """Client-ready bytes of an event that is not terminal."""
        match event:
            case BlockDelta():
                return self._delta(event)
            case BlockStarted():
                return self._block_started(event)
            case BlockStopped(index):
                return self._block_stopped(index)
            case ResponseStarted():
                return self._started(event)
            case ChoiceFinished():
                return self._finished(event)
            case UsageReported(usage):
                self._usage = usage
            case Cited():
                choice = self._blocks[event.index].choice
                return self._chunk({"annotations": [citation_fields(event)]}, choice)
            case _:
                pass
        return b""

    def complete(self) -> tuple[bytes, bytes]:
        """The usage chunk if asked for; the end marker."""
        if not self._context.include_usage:
            return b"", DONE
        usage = self._head + b'"choices":[],"usage":' + _encode(usage_fields(self._usage)) + b"}\n\n"
        return usage, DONE

    def fail(self, event: ResponseFailed) -> bytes:
        """One chunk with the error, and no end marker."""
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
        return self._head + b'"choices":[' + _encode(choice) + b'],"error":' + _encode(error_fields(event)) + b"}\n\n"

    def _started(self, event: ResponseStarted) -> bytes:
        self._head = self._opening(event)
        return self._announce(0)

    def _opening(self, event: ResponseStarted) -> bytes:
        """The fields that all chunks share."""
        fields = {
            "id": event.id or self._context.response_id,
            "object": "chat.completion.chunk",
            "created": event.created or self._context.now_s,
            "model": self._context.model,
            "provider": self._context.provider,
        }
        return b"data: " + _encode(fields)[:-1] + b","

    def _announce(self, choice: int) -> bytes:
        """The role, once for each choice."""
        if choice in self._announced:
            return b""
        self._announced.add(choice)
        return self._chunk({"role": "assistant", "content": ""}, choice)

    def _chunk(self, delta: dict[str, Any], choice: int, finish: bytes = b"null", native: str = "") -> bytes:
        fields = [b'"choices":[{"index":', str(choice).encode(), b',"delta":', _encode(delta)]
        fields += [b',"logprobs":null,"finish_reason":', finish]
        if native:
            fields += [b',"native_finish_reason":', _encode(native)]
        return self._head + b"".join(fields) + b"}]}\n\n"

    def _block_started(self, event: BlockStarted) -> bytes:
        self._blocks[event.index] = event
        announced = self._announce(event.choice)
        if event.kind is not BlockKind.TOOL_CALL:
            return announced
        number = self._call_counts.get(event.choice, 0)
        self._call_counts[event.choice] = number + 1
        self._calls[event.index] = number
        call_id = event.id or f"call_{self._context.response_id[-16:]}_{event.index}"
        call = {
            "index": number,
            "id": call_id,
            "type": "function",
            "function": {"name": event.name, "arguments": ""},
        }
        return announced + self._chunk({"tool_calls": [call]}, event.choice)

    def _block_stopped(self, index: int) -> bytes:
        """A call without arguments ends as an empty object."""
        if index not in self._calls or index in self._arguments:
            return b""
        return self._call_delta(index, {"function": {"arguments": "{}"}})

    def _call_delta(self, index: int, fields: dict[str, Any]) -> bytes:
        call = {"index": self._calls[index], **fields}
        return self._chunk({"tool_calls": [call]}, self._blocks[index].choice)

    def _finished(self, event: ChoiceFinished) -> bytes:
        finish = b'"' + finish_word(event.reason).encode() + b'"'
        return self._announce(event.choice) + self._chunk({}, event.choice, finish, event.native_reason)

    def _delta(self, event: BlockDelta) -> bytes:
        block = self._blocks[event.index]
        match block.kind:
            case BlockKind.TEXT:
                return self._text(block, event)
            case BlockKind.TOOL_CALL:
                if event.signature:
                    extra = {"google": {"thought_signature": event.signature}}
                    return self._call_delta(event.index, {"extra_content": extra})
                self._arguments.add(event.index)
                return self._call_delta(event.index, {"function": {"arguments": event.text}})
            case BlockKind.REASONING:
                return b"" if self._context.exclude_reasoning else self._reasoning(block, event)
            case BlockKind.REFUSAL:
                return self._chunk({"refusal": event.text}, block.choice)
            case BlockKind.IMAGE:
                return self._chunk({"images": [image_fields(block.form, event.data)]}, block.choice)
            case BlockKind.AUDIO:
                audio = {"id": block.id or None, "data": event.data or None, "transcript": event.text or None}
                return self._chunk({"audio": {k: v for k, v in audio.items() if v is not None}}, block.choice)

    def _text(self, block: BlockStarted, event: BlockDelta) -> bytes:
        fields = b'"choices":[{"index":%d,"delta":{"content":' % block.choice + _encode(event.text)
        logprobs = b"null" if event.logprobs is None else bytes(event.logprobs)
        return self._head + fields + b'},"logprobs":' + logprobs + b',"finish_reason":null}]}\n\n'

    def _reasoning(self, block: BlockStarted, event: BlockDelta) -> bytes:
        if event.data:
            delta: dict[str, Any] = {"reasoning_details": [_detail("encrypted", block.index, block, data=event.data)]}
            return self._chunk(delta, block.choice)
        if event.signature:
            detail = _detail("text", block.index, block, signature=event.signature)
            return self._chunk({"reasoning_details": [detail]}, block.choice)
        form = "summary" if block.form == "summary" else "text"
        detail = _detail(form, block.index, block, **{form: event.text})
        delta = {"reasoning": event.text, "reasoning_content": event.text, "reasoning_details": [detail]}
        return self._chunk(delta, block.choice)


def image_fields(media_type: str, data: str) -> dict[str, Any]:
    """A generated image."""
    return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{data}"}}


def _whole_choice(answer: Answer, choice: int, context: AnswerContext) -> dict[str, Any]:
    finish = answer.finish(choice)
    texts = answer.of(choice, BlockKind.TEXT)
    calls = answer.of(choice, BlockKind.TOOL_CALL)
    refusal = answer.text(choice, BlockKind.REFUSAL)
    text = "".join(block.text for block in texts)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text if texts or not (calls or refusal) else None,
        "refusal": refusal or None,
    }
    if calls:
        message["tool_calls"] = [_whole_call(block, number, context) for number, block in enumerate(calls)]
    message["annotations"] = [citation_fields(cited) for block in texts for cited in block.citations]
    if not context.exclude_reasoning:
        message |= _whole_reasoning(answer, choice)
    images = answer.of(choice, BlockKind.IMAGE)
    if images:
        message["images"] = [image_fields(block.form, block.data) for block in images]
    for audio in answer.of(choice, BlockKind.AUDIO):
        message["audio"] = {"id": audio.id, "data": audio.data, "transcript": audio.text, "expires_at": context.now_s}
    return {
        "index": choice,
        "message": message,
        "logprobs": _merged_logprobs(texts),
        "finish_reason": finish_word(finish.reason),
        "native_finish_reason": finish.native_reason or None,
    }


def _whole_call(block: Block, number: int, context: AnswerContext) -> dict[str, Any]:
    call: dict[str, Any] = {
        "id": block.id or f"call_{context.response_id[-16:]}_{number}",
        "type": "function",
        "function": {"name": block.name, "arguments": block.text or "{}"},
    }
    if block.signature:
        call["extra_content"] = {"google": {"thought_signature": block.signature}}
    return call


def _whole_reasoning(answer: Answer, choice: int) -> dict[str, Any]:
    blocks = answer.of(choice, BlockKind.REASONING)
    if not blocks:
        return {}
    details = []
    for index, block in enumerate(blocks):
        if block.data:
            details.append(_detail("encrypted", index, block, data=block.data))
        if block.form == "summary":
            details.append(_detail("summary", index, block, summary=block.text))
        elif block.text or block.signature:
            signed = {"signature": block.signature} if block.signature else {}
            details.append(_detail("text", index, block, text=block.text, **signed))
    text = "".join(block.text for block in blocks)
    return {"reasoning": text or None, "reasoning_content": text or None, "reasoning_details": details}


def _merged_logprobs(blocks: list[Block]) -> dict[str, Any] | None:
    """One `logprobs` from those of the chunks."""
    pieces = [msgspec.json.decode(raw) for block in blocks for raw in block.logprobs]
    if not pieces:
        return None
    merged: dict[str, Any] = {"content": None, "refusal": None}
    for piece in pieces:
        for name, tokens in piece.items() if isinstance(piece, dict) else ():
            if isinstance(tokens, list):
                merged[name] = (merged.get(name) or []) + tokens
    return merged


OPENAI_CHAT = Dialect("openai_chat", parse_chat, ChatStreamEncoder, encode_whole)
