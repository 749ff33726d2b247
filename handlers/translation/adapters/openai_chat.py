"""OpenAI chat completions as an upstream format: canonical request -> body. Compatible providers differ by quirks alone."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar

import msgspec

from handlers.errors import Unprocessable
from handlers.translation.adapters.base import Built, build_post
from handlers.translation.adapters.openai_chat_decoder import OpenaiChatDecoder
from handlers.translation.adapters.openai_parameters import GROQS_DEFAULT_TIER, drop_parameters, reasoning_fields
from handlers.translation.adapters.refusals import refuse_tools, refused_media
from handlers.translation.adapters.tool_names import rename_tools
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.request import (
    CanonicalRequest,
    Media,
    Message,
    Part,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

PATH = "/chat/completions"
SHOWN_BELOW = "The result is shown in the next message."
"""The text of a tool message whose result is nothing but media."""
_AUDIO_FORMATS = {"audio/mpeg": "mp3", "audio/mp3": "mp3", "audio/wav": "wav", "audio/x-wav": "wav"}


class OpenaiChatAdapter:
    """The wire format."""

    name: ClassVar[str] = "openai_chat"

    def build_request(self, request: CanonicalRequest, target: UpstreamTarget) -> Built:
        """The body of a chat completion."""
        names = rename_tools(request.tools, r"[A-Za-z0-9_-]{1,64}")
        body: dict[str, Any] = {
            "model": target.upstream_model,
            "messages": [_message(message, target, names) for message in _turns(request.messages)],
            "stream": request.stream,
        }
        if request.stream:
            body["stream_options"] = {"include_usage": True}
        body |= _options(request, target, names)
        body |= {name: value for name, value in request.extensions.items() if name not in body}
        warnings = drop_parameters(body, target)
        warnings += [f"dropped:{name}" for name in request.unknown]
        return build_post(PATH, body, request, names=names, warnings=warnings)

    def decoder(self, *, streams: bool, target: UpstreamTarget, prompt_tokens: int) -> OpenaiChatDecoder:
        """Reads a successful answer."""
        del target
        return OpenaiChatDecoder(streams=streams, prompt_tokens=prompt_tokens)


def _turns(messages: tuple[Message, ...]) -> list[Message]:
    """Tool results stand alone, one to a message, before anything else of their turn.

    A tool message holds text only, so media among the results follow in a message of the user's.
    """
    turns: list[Message] = []
    seen: list[Part] = []
    for message in messages:
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        rest = tuple(part for part in message.parts if not isinstance(part, ToolResult))
        if seen and (rest or not results):
            turns.append(Message("user", tuple(seen)))
            seen = []
        turns += [Message("tool", (_text_only(result),), result.at) for result in results]
        seen += [inner for result in results for inner in result.parts if isinstance(inner, Media)]
        if rest or not results:
            if seen:
                turns.append(Message("user", tuple(seen)))
                seen = []
            turns.append(msgspec.structs.replace(message, parts=rest))
    if seen:
        turns.append(Message("user", tuple(seen)))
    return turns


def _text_only(result: ToolResult) -> ToolResult:
    texts = tuple(part for part in result.parts if isinstance(part, Text))
    if len(texts) == len(result.parts):
        return result
    return msgspec.structs.replace(result, parts=texts or (Text(SHOWN_BELOW),))


def _message(message: Message, target: UpstreamTarget, names: dict[str, str]) -> dict[str, Any]:
    if message.role == "tool":
        return _tool_result(message, target)
    role = message.role
    if role == "developer" and "developer_role" not in target.quirks:
        role = "system"
    fields: dict[str, Any] = {"role": role}
    if message.name:
        fields["name"] = message.name
    content = [_part(part, target) for part in message.parts if isinstance(part, Text | Media)]
    if role == "assistant":
        fields |= _assistant(message, target, names)
    fields["content"] = _flatten(content, text_only=role in {"system", "assistant"})
    if role == "assistant" and not content:
        fields["content"] = None if fields.get("tool_calls") or fields.get("refusal") else ""
    return fields


def _flatten(content: list[dict[str, Any]], *, text_only: bool) -> str | list[dict[str, Any]]:
    """Plain text where nothing but text is in it: every compatible provider understands that."""
    plain = all(part["type"] == "text" and "cache_control" not in part for part in content)
    if plain and (text_only or len(content) <= 1):
        return "\n".join(part["text"] for part in content)
    return content


def _assistant(message: Message, target: UpstreamTarget, names: dict[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    if calls:
        fields["tool_calls"] = [_call(call, target, names) for call in calls]
    refusals = [part.text for part in message.parts if isinstance(part, Refusal)]
    if refusals:
        fields["refusal"] = "".join(refusals)
    thoughts = [part.text for part in message.parts if isinstance(part, Reasoning) and part.text]
    if thoughts and "reasoning_content_back" in target.quirks:
        fields["reasoning_content"] = "".join(thoughts)
    return fields


def _call(call: ToolCall, target: UpstreamTarget, names: dict[str, str]) -> dict[str, Any]:
    return {
        "id": tool_call_id(call.id, target),
        "type": "function",
        "function": {"name": names.get(call.name, call.name), "arguments": call.arguments or "{}"},
    }


def tool_call_id(call_id: str, target: UpstreamTarget) -> str:
    """The id as the provider accepts it: Mistral takes exactly nine letters and digits."""
    if "nine_character_tool_ids" not in target.quirks or (len(call_id) == 9 and call_id.isalnum()):
        return call_id
    return short_id(call_id, 9)


def short_id(text: str, length: int) -> str:
    """A stable id of letters and digits for any text."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _tool_result(message: Message, target: UpstreamTarget) -> dict[str, Any]:
    result = message.parts[0]
    if not isinstance(result, ToolResult):
        raise Unprocessable(f"{message.at}: a tool message holds tool results only.", param=message.at)
    content = [_part(part, target) for part in result.parts]
    fields = {"role": "tool", "tool_call_id": tool_call_id(result.call_id, target)}
    return {**fields, "content": _flatten(content, text_only=True)}


def _part(part: Text | Media, target: UpstreamTarget) -> dict[str, Any]:
    if isinstance(part, Text):
        fields: dict[str, Any] = {"type": "text", "text": part.text}
    else:
        fields = _media(part, target)
    if part.cache and "cache_control" in target.quirks:
        fields["cache_control"] = {"type": "ephemeral"} | ({"ttl": "1h"} if part.cache.ttl == "1h" else {})
    return fields


def _media(part: Media, target: UpstreamTarget) -> dict[str, Any]:
    url = part.url or f"data:{part.media_type};base64,{part.data}"
    match part.kind:
        case "image" if target.vision:
            detail = {"detail": part.detail} if part.detail in {"auto", "low", "high"} else {}
            return {"type": "image_url", "image_url": {"url": url, **detail}}
        case "audio" if target.audio and part.data and part.media_type in _AUDIO_FORMATS:
            audio = {"data": part.data, "format": _AUDIO_FORMATS[part.media_type]}
            return {"type": "input_audio", "input_audio": audio}
        case "video" if target.vision and "open_parameters" in target.quirks:  # OpenAI has no such part
            return {"type": "video_url", "video_url": {"url": url}}
        case "document" if target.files and part.data:
            return {"type": "file", "file": {"filename": part.name or "document.pdf", "file_data": url}}
    raise refused_media(part)


def _options(request: CanonicalRequest, target: UpstreamTarget, names: dict[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if request.output_tokens_max is not None:
        cap = "max_completion_tokens" if "max_completion_tokens" in target.quirks else "max_tokens"
        fields[cap] = request.output_tokens_max
    sampling = msgspec.structs.asdict(request.sampling)
    fields |= {name: value for name, value in sampling.items() if value is not None}
    if request.stop:
        fields["stop"] = list(request.stop)
    if request.choices > 1:
        fields["n"] = request.choices
    fields |= _tools(request, target, names)
    if request.response_format is not None:
        fields["response_format"] = _response_format(request)
    fields |= reasoning_fields(request.reasoning, target)
    for name in ("user", "service_tier", "verbosity"):
        if getattr(request, name) not in {"", GROQS_DEFAULT_TIER}:
            fields[name] = getattr(request, name)
    if request.cache_key:
        fields["prompt_cache_key"] = request.cache_key
    if request.modalities:
        fields["modalities"] = list(request.modalities)
    return fields


def _tools(request: CanonicalRequest, target: UpstreamTarget, names: dict[str, str]) -> dict[str, Any]:
    if not request.tools:
        return {}
    refuse_tools(target)
    fields: dict[str, Any] = {"tools": [_tool(tool, names) for tool in request.tools]}
    choice = request.tool_choice
    if choice is not None and choice.mode == "named":
        fields["tool_choice"] = {"type": "function", "function": {"name": names.get(choice.name, choice.name)}}
    elif choice is not None:
        fields["tool_choice"] = choice.mode
    if request.parallel_tool_calls is not None:
        fields["parallel_tool_calls"] = request.parallel_tool_calls
    return fields


def _tool(tool: Tool, names: dict[str, str]) -> dict[str, Any]:
    function: dict[str, Any] = {"name": names.get(tool.name, tool.name)}
    if tool.description:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _response_format(request: CanonicalRequest) -> dict[str, Any]:
    wanted = request.response_format
    if wanted is None or wanted.kind != "json_schema":
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": wanted.name, "schema": wanted.schema}
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    if wanted.description:
        schema["description"] = wanted.description
    return {"type": "json_schema", "json_schema": schema}
