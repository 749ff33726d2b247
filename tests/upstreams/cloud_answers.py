"""Correct answers in the formats of Gemini, Bedrock and Cohere."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from tests.upstreams.answers import Answer

_encode = msgspec.json.encode


def _event(data: object, name: str = "") -> bytes:
    prefix = f"event: {name}\n".encode() if name else b""
    return prefix + b"data: " + _encode(data) + b"\n\n"


def gemini_pieces(answer: Answer) -> list[bytes]:
    """`generateContent`: one candidate."""

    def part(text: str) -> dict[str, Any]:
        if answer.tool_arguments:
            return {"functionCall": {"name": "lookup", "args": msgspec.json.decode(answer.tool_arguments)}}
        return {"text": text}

    def response(text: str, *, last: bool) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": [part(text)]}, "index": 0}
        if last:
            candidate["finishReason"] = {"stop": "STOP", "length": "MAX_TOKENS"}.get(answer.finish, answer.finish)
        body: dict[str, Any] = {"candidates": [candidate], "modelVersion": answer.model, "responseId": "scripted"}
        if last and answer.usage is not None:
            usage = answer.usage
            body["usageMetadata"] = {
                "promptTokenCount": usage["input"],
                "cachedContentTokenCount": usage.get("cached", 0),
                "candidatesTokenCount": usage["output"],
                "totalTokenCount": usage["input"] + usage["output"],
            }
        return body

    if not answer.stream or answer.tool_arguments:
        whole = response(answer.text, last=True)
        return [_event(whole) if answer.stream else _encode(whole)]
    *first, last = answer.words
    return [*(_event(response(word, last=False)) for word in first), _event(response(last, last=True))]


def cohere_pieces(answer: Answer) -> list[bytes]:
    """`/v2/chat`: text only."""
    counts = answer.usage or {"input": 0, "output": 0}
    tokens = {"input_tokens": counts["input"], "output_tokens": counts["output"]}
    usage = {"billed_units": tokens, "tokens": tokens, "cached_tokens": counts.get("cached", 0)}
    finish = {"stop": "COMPLETE", "length": "MAX_TOKENS"}.get(answer.finish, answer.finish)
    if not answer.stream:
        message = {"role": "assistant", "content": [{"type": "text", "text": answer.text}]}
        body = {"id": "scripted", "finish_reason": finish, "message": message}
        return [_encode(body if answer.usage is None else {**body, "usage": usage})]

    def event(kind: str, **fields: object) -> bytes:
        return _event({"type": kind, **fields}, kind)

    def content(value: dict[str, Any]) -> dict[str, Any]:
        return {"message": {"content": value}}

    ending: dict[str, Any] = {"finish_reason": finish}
    if answer.usage is not None:
        ending["usage"] = usage
    opening = {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}}
    return [
        event("message-start", id="scripted", delta=opening),
        event("content-start", index=0, delta=content({"type": "text", "text": ""})),
        *(event("content-delta", index=0, delta=content({"text": word})) for word in answer.words),
        event("content-end", index=0),
        event("message-end", delta=ending),
    ]


def bedrock_pieces(answer: Answer) -> list[bytes]:
    """`converse` and `converse-stream`: text only."""
    stop = {"stop": "end_turn", "length": "max_tokens"}.get(answer.finish, answer.finish)
    closing: dict[str, Any] = {"metrics": {"latencyMs": 1}}
    if answer.usage is not None:
        cached = answer.usage.get("cached", 0)
        closing["usage"] = {
            "inputTokens": answer.usage["input"] - cached,
            "outputTokens": answer.usage["output"],
            "totalTokens": answer.usage["input"] + answer.usage["output"],
            "cacheReadInputTokens": cached,
        }
    if not answer.stream:
        message = {"role": "assistant", "content": [{"text": answer.text}]}
        return [_encode({"output": {"message": message}, "stopReason": stop, **closing})]
    return [
        aws_frame("messageStart", {"role": "assistant"}),
        *(aws_frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}}) for word in answer.words),
        aws_frame("contentBlockStop", {"contentBlockIndex": 0}),
        aws_frame("messageStop", {"stopReason": stop}),
        aws_frame("metadata", closing),
    ]


def aws_frame(kind: str, payload: object, message: str = "event") -> bytes:
    """One frame of an AWS event stream; `message` is event or exception."""
    headers = b"".join(
        _aws_header(name, value)
        for name, value in (
            (f":{message}-type", kind),
            (":content-type", "application/json"),
            (":message-type", message),
        )
    )
    body = _encode(payload)
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    frame = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return frame + struct.pack(">I", zlib.crc32(frame))


def _aws_header(name: str, value: str) -> bytes:
    return struct.pack(">B", len(name)) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
