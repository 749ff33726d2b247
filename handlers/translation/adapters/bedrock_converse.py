"""Bedrock Converse as an upstream format: canonical request -> body. The model stands in the path; signing comes later."""

from __future__ import annotations

import re
from typing import Any, ClassVar
from urllib.parse import quote

from handlers.translation.adapters.anthropic_messages import tool_id
from handlers.translation.adapters.base import Built, build_post
from handlers.translation.adapters.bedrock_decoder import BedrockDecoder
from handlers.translation.adapters.bedrock_options import option_fields
from handlers.translation.adapters.refusals import refused_media
from handlers.translation.adapters.tool_names import rename_tools
from handlers.translation.adapters.turns import FILLER, merge_turns, refuse_prefill, split_system
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.request import (
    CacheControl,
    CanonicalRequest,
    Media,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from handlers.translation.dialects.anthropic_messages import arguments_object

_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_VIDEOS = {"video/mp4": "mp4", "video/quicktime": "mov", "video/webm": "webm", "video/x-matroska": "mkv"}
_FORMATS = {"image": _IMAGES, "document": _DOCUMENTS, "video": _VIDEOS}
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9 \-()\[\]]+")


class BedrockAdapter:
    """The wire format."""

    name: ClassVar[str] = "bedrock_converse"

    def build_request(self, request: CanonicalRequest, target: UpstreamTarget) -> Built:
        """The body of a Converse request."""
        names = rename_tools(request.tools, r"[A-Za-z0-9_-]{1,64}")
        warnings: list[str] = []
        system, turns = split_system(request.messages)
        refuse_prefill(turns, target)
        messages = []
        for turn in merge_turns(turns, warnings):
            content = [block for part in turn.parts for block in _blocks(part, target, names)]
            if content or turn.role == "user":
                messages.append({"role": turn.role, "content": content or [{"text": FILLER}]})
        body: dict[str, Any] = {"messages": messages}
        if system:
            body["system"] = [b for part in system for b in ({"text": part.text}, *cache_point(part.cache))]
        answer_tool = option_fields(body, request, target, names, warnings)
        method = "converse-stream" if request.stream else "converse"
        accept = "application/vnd.amazon.eventstream" if request.stream else "application/json"
        path = f"/model/{quote(target.upstream_model, safe='')}/{method}"
        headers = (("accept", accept),)
        return build_post(path, body, request, names=names, warnings=warnings, headers=headers, answer_tool=answer_tool)

    def decoder(self, *, streams: bool, target: UpstreamTarget, prompt_tokens: int) -> BedrockDecoder:
        """Reads a successful answer."""
        decoder = BedrockDecoder(streams=streams, prompt_tokens=prompt_tokens)
        decoder.model = target.upstream_model
        return decoder


def cache_point(cache: CacheControl | None) -> list[dict[str, Any]]:
    """A cache breakpoint: a block of its own, after what it covers."""
    if cache is None:
        return []
    return [{"cachePoint": {"type": "default"} | ({"ttl": "1h"} if cache.ttl == "1h" else {})}]


def _blocks(part: Part, target: UpstreamTarget, names: dict[str, str]) -> list[dict[str, Any]]:
    """The blocks of one part: none for blank text and for reasoning that cannot be proved."""
    match part:
        case Text():
            return [{"text": part.text}, *cache_point(part.cache)] if part.text.strip() else []
        case Refusal():
            return [{"text": part.text}] if part.text.strip() else []
        case Media():
            return [_media(part, target), *cache_point(part.cache)]
        case ToolCall():
            name = names.get(part.name, part.name)
            call = {"toolUseId": tool_id(part.id), "name": name, "input": arguments_object(part.arguments)}
            return [{"toolUse": call}, *cache_point(part.cache)]
        case ToolResult():
            content = [b for inner in part.parts for b in _blocks(inner, target, names) if "cachePoint" not in b]
            result: dict[str, Any] = {"toolUseId": tool_id(part.call_id), "content": content or [{"text": FILLER}]}
            if part.is_error:
                result["status"] = "error"
            return [{"toolResult": result}, *cache_point(part.cache)]
        case Reasoning():
            return _reasoning(part)


def _reasoning(part: Reasoning) -> list[dict[str, Any]]:
    if part.origin not in {"", "anthropic"}:
        return []
    if part.form == "encrypted":
        return [{"reasoningContent": {"redactedContent": part.data}}] if part.data else []
    if not part.signature:
        return []
    return [{"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}}]


def _media(part: Media, target: UpstreamTarget) -> dict[str, Any]:
    allowed = {"image": target.vision, "video": target.vision, "document": target.files}
    kind = _FORMATS.get(part.kind, {}).get(part.media_type)
    if not allowed.get(part.kind) or kind is None or not part.data:
        raise refused_media(part)
    fields: dict[str, Any] = {"format": kind, "source": {"bytes": part.data}}
    if part.kind == "document":
        fields["name"] = _UNNAMEABLE.sub(" ", part.name).strip()[:200] or "document"
    return {part.kind: fields}
