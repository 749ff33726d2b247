"""Gemini as an upstream format (AI Studio and Vertex): canonical request -> body. The model stands in the path."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import quote

import msgspec

from handlers.errors import Unprocessable
from handlers.translation.adapters.base import Built, build_post
from handlers.translation.adapters.gemini_decoder import GeminiDecoder
from handlers.translation.adapters.gemini_options import generation_config, tool_fields
from handlers.translation.adapters.refusals import refused_media
from handlers.translation.adapters.tool_names import rename_tools
from handlers.translation.adapters.turns import split_system
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.request import (
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

DUMMY_SIGNATURE = "skip_thought_signature_validator"
"""What Google documents for calls that another model made."""
_MEDIA_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "pdf": "application/pdf",
    "mp4": "video/mp4",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
}
_KIND_TYPES = {"image": "image/jpeg", "document": "application/pdf", "video": "video/mp4", "audio": "audio/mpeg"}


class GeminiAdapter:
    """The wire format."""

    name: ClassVar[str] = "gemini"

    def build_request(self, request: CanonicalRequest, target: UpstreamTarget) -> Built:
        """The body of a generateContent request."""
        names = rename_tools(request.tools, r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")
        system, turns = split_system(request.messages)
        warnings: list[str] = []
        body: dict[str, Any] = {"contents": _contents(turns, target, names)}
        if system:
            body["systemInstruction"] = {"parts": [{"text": text.text} for text in system]}
        body |= tool_fields(request, target, names)
        config = generation_config(request, target, warnings)
        if config:
            body["generationConfig"] = config
        return build_post(method_path(target, streams=request.stream), body, request, names=names, warnings=warnings)

    def decoder(self, *, streams: bool, target: UpstreamTarget, prompt_tokens: int) -> GeminiDecoder:
        """Reads a successful answer."""
        del target
        return GeminiDecoder(streams=streams, prompt_tokens=prompt_tokens)


def method_path(target: UpstreamTarget, *, streams: bool, method: str = "generateContent") -> str:
    """Where a model's method lives."""
    model = quote(target.upstream_model, safe="")
    return f"/models/{model}:streamGenerateContent?alt=sse" if streams else f"/models/{model}:{method}"


def _contents(turns: list[Message], target: UpstreamTarget, names: dict[str, str]) -> list[dict[str, Any]]:
    """Turns of user and model; neighbours of one role are merged, so all results of a turn's calls stand together."""
    called = {part.id: part.name for message in turns for part in message.parts if isinstance(part, ToolCall)}
    contents: list[dict[str, Any]] = []
    for message in turns:
        role = "model" if message.role == "assistant" else "user"
        parts = _parts(message, target, names, called)
        if not parts:
            continue
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": role, "parts": parts})
    return contents


def _parts(
    message: Message, target: UpstreamTarget, names: dict[str, str], called: dict[str, str]
) -> list[dict[str, Any]]:
    """The parts of one turn; a signature that stood alone goes back on the text after it."""
    parts: list[dict[str, Any]] = []
    pending = ""
    for part in message.parts:
        if isinstance(part, Reasoning):
            proof = part.data or part.signature
            pending = proof if proof and part.origin in {"", "google"} else pending
            continue
        fields = _part(part, target, names, called)
        if fields is None:
            continue
        if isinstance(part, ToolCall) and "thought_signatures" in target.quirks and "thoughtSignature" not in fields:
            fields["thoughtSignature"] = pending or DUMMY_SIGNATURE
            pending = ""
        elif pending and isinstance(part, Text):
            fields["thoughtSignature"] = pending
            pending = ""
        parts.append(fields)
    if pending:
        parts.append({"text": "", "thoughtSignature": pending})
    return parts


def _part(part: Part, target: UpstreamTarget, names: dict[str, str], called: dict[str, str]) -> dict[str, Any] | None:
    match part:
        case Text() | Refusal():
            return {"text": part.text} if part.text else None
        case Media():
            return _media(part, target)
        case ToolCall():
            call = {"name": names.get(part.name, part.name), "args": arguments_object(part.arguments)}
            signature = {"thoughtSignature": part.signature} if part.signature else {}
            return {"functionCall": call, **signature}
        case ToolResult():
            name = part.name or called.get(part.call_id, "")
            if not name:
                raise Unprocessable(f"{part.at}: no tool call before it has this id.", param=part.at)
            return {"functionResponse": {"name": names.get(name, name), "response": _response(part)}}
        case Reasoning():
            return None


def _response(part: ToolResult) -> dict[str, Any]:
    """A tool's answer as an object; text that is one already goes as it is, unless it would be read as a schema."""
    text = "\n".join(inner.text for inner in part.parts if isinstance(inner, Text))
    if part.is_error:
        return {"error": text}
    try:
        decoded = msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        decoded = None
    return decoded if isinstance(decoded, dict) and "$ref" not in text else {"result": text}


def _media(part: Media, target: UpstreamTarget) -> dict[str, Any]:
    allowed = {"image": target.vision, "video": target.vision, "document": target.files, "audio": target.audio}
    if not allowed.get(part.kind) or (part.url and "no_media_urls" in target.quirks):
        raise refused_media(part)
    if part.data:
        return {"inlineData": {"mimeType": part.media_type, "data": part.data}}
    ending = part.url.partition("?")[0].rpartition(".")[2].lower()
    media_type = part.media_type or _MEDIA_TYPES.get(ending, _KIND_TYPES[part.kind])
    return {"fileData": {"mimeType": media_type, "fileUri": part.url}}
