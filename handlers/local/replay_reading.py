"""What an answer says, read without the code under test: its text and its token counts, in all six formats.

Deliberately naive: plain JSON, no shared code with the adapters, so that both would have to be wrong in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from handlers.translation.framing.aws_event_stream import AwsEventReader

BROKEN_CALLS = frozenset({"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"})
"""Gemini says so of calls that nobody could make: the attempt failed, under status 200."""


class Reading(NamedTuple):
    """Text and tokens of an answer; tokens are None where it says nothing about them."""

    text: str
    prompt_tokens: int | None
    completion_tokens: int | None


def read_answer(wire_format: str, body: bytes) -> Reading:
    """Read an answer of any of the six formats, streamed or whole."""
    texts: list[str] = []
    usage: dict[str, Any] = {}
    for payload in _payloads(wire_format, body):
        texts += _texts(wire_format, payload)
        found = _usage(wire_format, payload)
        usage |= {name: value for name, value in (found or {}).items() if value is not None}
    prompt, completion = _tokens(wire_format, usage)
    return Reading("".join(texts), prompt, completion)


def carries_error(wire_format: str, body: bytes) -> bool:
    """Whether the recorded answer is itself an error, under whatever status."""
    try:
        payloads = list(_payloads(wire_format, body))
        return (
            not payloads
            or b"\nerror: {" in body
            or any(
                payload.get("error")
                or payload.get("type") == "error"
                or any(name.endswith("Exception") for name in payload)
                or any(one.get("finishReason") in BROKEN_CALLS for one in payload.get("candidates") or [])
                for payload in payloads
            )
        )
    except (msgspec.DecodeError, AttributeError):
        return True


def _payloads(wire_format: str, body: bytes) -> Iterator[dict[str, Any]]:
    if wire_format == "bedrock_converse" and body[:1] not in {b"{", b""}:
        for frame in AwsEventReader().receive_data(body):
            yield {frame.event.decode(): msgspec.json.decode(frame.data)}
        return
    if body.lstrip()[:1] in {b"{", b"["}:
        whole = msgspec.json.decode(body)
        yield from whole if isinstance(whole, list) else [whole]
        return
    for line in re.split(rb"\r\n|\r|\n", body):
        if line.startswith(b"data:") and line[5:].strip().startswith(b"{"):
            decoded = msgspec.json.decode(line[5:])
            yield decoded


def _texts(wire_format: str, payload: dict[str, Any]) -> list[str]:
    match wire_format:
        case "openai_chat":
            return list(_chat_texts(payload))
        case "anthropic_messages":
            blocks = [*(payload.get("content") or []), payload.get("content_block") or {}, payload.get("delta") or {}]
            return [b["text"] for b in blocks if b.get("type") in {"text", "text_delta"} and b.get("text")]
        case "openai_responses":
            return list(_response_texts(payload))
        case "gemini":
            return [
                part["text"]
                for candidate in payload.get("candidates") or []
                if not candidate.get("index")
                for part in (candidate.get("content") or {}).get("parts") or []
                if part.get("text") and not part.get("thought")
            ]
        case "google_interactions":
            return list(_interaction_texts(payload))
        case "bedrock_converse":
            return list(_bedrock_texts(payload))
        case _:
            return list(_cohere_texts(payload))


def _chat_texts(payload: dict[str, Any]) -> Iterator[str]:
    for choice in payload.get("choices") or []:
        said = choice.get("delta") or choice.get("message") or {}
        if choice.get("index"):
            continue
        yield said.get("refusal") or ""
        content = said.get("content")
        if isinstance(content, str):
            yield content
        elif isinstance(content, list):
            yield from (part["text"] for part in content if part.get("type") == "text")


def _response_texts(payload: dict[str, Any]) -> Iterator[str]:
    """The whole response, which a stream repeats at its end."""
    whole = payload if "output" in payload else payload.get("response") or {}
    if whole.get("status") in {"in_progress", "queued"}:
        return
    for item in whole.get("output") or []:
        for part in (item.get("content") or []) if item.get("type") == "message" else []:
            yield part.get("text") or part.get("refusal") or ""


def _interaction_texts(payload: dict[str, Any]) -> Iterator[str]:
    """The steps of a whole interaction, or one piece of a stream."""
    delta = payload.get("delta") or {}
    if delta.get("type") == "text":
        yield delta.get("text") or ""
    for step in payload.get("steps") or []:
        if step.get("type") == "model_output":
            yield from (part["text"] for part in step.get("content") or [] if part.get("type") == "text")


def _bedrock_texts(payload: dict[str, Any]) -> Iterator[str]:
    delta = (payload.get("contentBlockDelta") or {}).get("delta") or {}
    if delta.get("text"):
        yield delta["text"]
    for block in ((payload.get("output") or {}).get("message") or {}).get("content") or []:
        if "text" in block:
            yield block["text"]
        for piece in (block.get("citationsContent") or {}).get("content") or []:
            yield piece.get("text") or ""


def _cohere_texts(payload: dict[str, Any]) -> Iterator[str]:
    message = payload.get("message") or (payload.get("delta") or {}).get("message") or {}
    content = message.get("content")
    for piece in content if isinstance(content, list) else [content] if content else []:
        if piece.get("text"):
            yield piece["text"]


def _usage(wire_format: str, payload: dict[str, Any]) -> dict[str, Any] | None:
    found: Any = None
    match wire_format:
        case "openai_chat":
            inner = next((choice.get("usage") for choice in payload.get("choices") or [] if choice.get("usage")), None)
            found = payload.get("usage") or inner or (payload.get("x_groq") or {}).get("usage")
        case "anthropic_messages":
            found = payload.get("usage") or (payload.get("message") or {}).get("usage")
        case "openai_responses":
            found = payload.get("usage") or (payload.get("response") or {}).get("usage")
        case "gemini":
            found = payload.get("usageMetadata")
        case "bedrock_converse":
            found = payload.get("usage") or (payload.get("metadata") or {}).get("usage")
        case _:
            whole = payload.get("usage") or (payload.get("delta") or {}).get("usage") or {}
            found = whole.get("billed_units")
    return found if isinstance(found, dict) else None


def _sum(usage: dict[str, Any], *names: str) -> int:
    return int(sum(usage.get(name) or 0 for name in names))


def _tokens(wire_format: str, usage: dict[str, Any]) -> tuple[int | None, int | None]:
    """Prompt and completion tokens, cached ones and reasoning included."""
    if not usage:
        return None, None
    match wire_format:
        case "openai_chat":
            prompt, completion = _sum(usage, "prompt_tokens"), _sum(usage, "completion_tokens")
            thought = _sum(usage.get("completion_tokens_details") or {}, "reasoning_tokens")
            on_top = thought and usage.get("total_tokens") == prompt + completion + thought
            return prompt, completion + (thought if on_top else 0)
        case "anthropic_messages":
            cached = _sum(usage, "cache_creation_input_tokens", "cache_read_input_tokens")
            return _sum(usage, "input_tokens") + cached, _sum(usage, "output_tokens")
        case "gemini":
            prompt = _sum(usage, "promptTokenCount", "toolUsePromptTokenCount")
            return prompt, _sum(usage, "candidatesTokenCount", "thoughtsTokenCount")
        case "bedrock_converse":
            cached = _sum(usage, "cacheReadInputTokens", "cacheWriteInputTokens")
            return _sum(usage, "inputTokens") + cached, _sum(usage, "outputTokens")
        case _:
            return _sum(usage, "input_tokens"), _sum(usage, "output_tokens")
