"""Anthropic Messages as an upstream format: canonical request -> body.

What Anthropic asks for beyond OpenAI: an output cap, turns that alternate and begin with the user, all results of a turn's
tool calls in the very next turn and first in it, no blank text, `system` apart, arguments as objects.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from handlers.translation.adapters.anthropic_decoder import AnthropicDecoder
from handlers.translation.adapters.anthropic_options import option_fields
from handlers.translation.adapters.base import Built, build_post
from handlers.translation.adapters.openai_chat import short_id
from handlers.translation.adapters.refusals import refused_media
from handlers.translation.adapters.tool_names import rename_tools
from handlers.translation.adapters.turns import FILLER, merge_turns, refuse_prefill, split_system
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.request import (
    CacheControl,
    CanonicalRequest,
    Media,
    Message,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from handlers.translation.dialects.anthropic_messages import arguments_object

PATH = "/messages"
VERSION = "2023-06-01"
HEADERS = (("anthropic-version", VERSION),)
_TOOL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class AnthropicAdapter:
    """The wire format."""

    name: ClassVar[str] = "anthropic_messages"

    def build_request(self, request: CanonicalRequest, target: UpstreamTarget) -> Built:
        """The body of a message request."""
        names = rename_tools(request.tools, r"[A-Za-z0-9_-]{1,128}")
        warnings: list[str] = []
        texts, turns = split_system(request.messages)
        refuse_prefill(turns, target)
        system = [{"type": "text", "text": part.text, **cache_fields(part.cache)} for part in texts]
        body: dict[str, Any] = {"model": target.upstream_model, "messages": _messages(turns, target, names, warnings)}
        if system:
            body["system"] = system
        answer_tool = option_fields(body, request, target, names, warnings)
        body["stream"] = request.stream
        return build_post(PATH, body, request, names=names, warnings=warnings, headers=HEADERS, answer_tool=answer_tool)

    def decoder(self, *, streams: bool, target: UpstreamTarget, prompt_tokens: int) -> AnthropicDecoder:
        """Reads a successful answer."""
        del target
        return AnthropicDecoder(streams=streams, prompt_tokens=prompt_tokens)


def cache_fields(cache: CacheControl | None) -> dict[str, Any]:
    """A cache breakpoint."""
    if cache is None:
        return {}
    return {"cache_control": {"type": "ephemeral"} | ({"ttl": "1h"} if cache.ttl == "1h" else {})}


def _messages(
    turns: list[Message], target: UpstreamTarget, names: dict[str, str], warnings: list[str]
) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for turn in merge_turns(turns, warnings):
        content = [block for part in turn.parts for block in _blocks(part, target, names)]
        if content or turn.role == "user":
            messages.append({"role": turn.role, "content": content or [{"type": "text", "text": FILLER}]})
    if messages and messages[-1]["role"] == "assistant":
        _trim_last_text(messages[-1]["content"])
    return messages


def _trim_last_text(content: list[dict[str, Any]]) -> None:
    """An assistant turn to be continued must not end in white space."""
    if content and content[-1]["type"] == "text":
        content[-1]["text"] = content[-1]["text"].rstrip()
        if not content[-1]["text"]:
            content.pop()


def tool_id(call_id: str) -> str:
    """The id as Anthropic accepts it."""
    return call_id if _TOOL_ID.fullmatch(call_id) else f"toolu_{short_id(call_id, 24)}"


def _blocks(part: Part, target: UpstreamTarget, names: dict[str, str]) -> list[dict[str, Any]]:
    """The blocks of one part: none for blank text and for reasoning that cannot be proved."""
    match part:
        case Text():
            return [{"type": "text", "text": part.text, **cache_fields(part.cache)}] if part.text.strip() else []
        case Refusal():
            return [{"type": "text", "text": part.text}] if part.text.strip() else []
        case Media():
            return [{**_media(part, target), **cache_fields(part.cache)}]
        case ToolCall():
            name = names.get(part.name, part.name)
            call = {"type": "tool_use", "id": tool_id(part.id), "name": name, "input": arguments_object(part.arguments)}
            return [{**call, **cache_fields(part.cache)}]
        case ToolResult():
            return [_result(part, target, names)]
        case Reasoning():
            return _reasoning(part)


def _reasoning(part: Reasoning) -> list[dict[str, Any]]:
    """Byte for byte what Anthropic once sent; what others made, it would refuse."""
    if part.origin not in {"", "anthropic"}:
        return []
    if part.form == "encrypted":
        return [{"type": "redacted_thinking", "data": part.data}] if part.data else []
    return [{"type": "thinking", "thinking": part.text, "signature": part.signature}] if part.signature else []


def _result(part: ToolResult, target: UpstreamTarget, names: dict[str, str]) -> dict[str, Any]:
    content = [block for inner in part.parts for block in _blocks(inner, target, names)]
    fields: dict[str, Any] = {"type": "tool_result", "tool_use_id": tool_id(part.call_id)}
    if content:
        fields["content"] = content
    if part.is_error:
        fields["is_error"] = True
    return {**fields, **cache_fields(part.cache)}


def _media(part: Media, target: UpstreamTarget) -> dict[str, Any]:
    source = {"type": "url", "url": part.url}
    if part.data:
        source = {"type": "base64", "media_type": part.media_type, "data": part.data}
    if part.kind == "image" and target.vision:
        return {"type": "image", "source": source}
    if part.kind == "document" and target.files and (part.url or part.media_type == "application/pdf"):
        title = {"title": part.name} if part.name else {}
        return {"type": "document", "source": source, **title}
    raise refused_media(part)
