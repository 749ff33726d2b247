"""OpenAI Responses as an upstream format: canonical request -> body. Nothing is ever stored upstream."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from handlers.translation.adapters.base import Built, build_post
from handlers.translation.adapters.openai_chat import short_id
from handlers.translation.adapters.openai_parameters import GROQS_DEFAULT_TIER
from handlers.translation.adapters.refusals import refuse_many_answers, refuse_tools, refused_media
from handlers.translation.adapters.responses_decoder import ResponsesDecoder
from handlers.translation.adapters.tool_names import rename_tools
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.parameters import unknown_sampling
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

PATH = "/responses"
ENCRYPTED = "reasoning.encrypted_content"
_NO_PARAMETERS = msgspec.Raw(b'{"type":"object","properties":{}}')
_UNKNOWN_TO_RESPONSES = unknown_sampling("openai_responses")


class ResponsesAdapter:
    """The wire format."""

    name: ClassVar[str] = "openai_responses"

    def build_request(self, request: CanonicalRequest, target: UpstreamTarget) -> Built:
        """The body of a response request."""
        refuse_many_answers(request)
        names = rename_tools(request.tools, r"[A-Za-z0-9_-]{1,64}")
        body: dict[str, Any] = {
            "model": target.upstream_model,
            "input": [item for message in request.messages for item in _items(message, target, names)],
            "stream": request.stream,
            "store": False,
        }
        warnings = _options(body, request, target, names)
        return build_post(PATH, body, request, names=names, warnings=warnings)

    def decoder(self, *, streams: bool, target: UpstreamTarget, prompt_tokens: int) -> ResponsesDecoder:
        """Reads a successful answer."""
        del target
        return ResponsesDecoder(streams=streams, prompt_tokens=prompt_tokens)


def _items(message: Message, target: UpstreamTarget, names: dict[str, str]) -> list[dict[str, Any]]:
    """The items of one turn, in order: neighbouring texts and media form one message."""
    items: list[dict[str, Any]] = []
    content: list[dict[str, Any]] = []
    role = "user" if message.role == "tool" else message.role

    def flush() -> None:
        if not content:
            return
        told: str | list[dict[str, Any]] = list(content)
        if role == "assistant":  # parts of earlier answers would need the ids of stored items; plain text does not
            told = "\n".join(part["text"] for part in content)
        items.append({"type": "message", "role": role, "content": told})
        content.clear()

    for part in message.parts:
        if isinstance(part, Text | Media | Refusal):
            content.append(_content(part, target))
            continue
        flush()
        items += _item(part, target, names)
    flush()
    return items


def _content(part: Text | Media | Refusal, target: UpstreamTarget) -> dict[str, Any]:
    if isinstance(part, Media):
        return _media(part, target)
    return {"type": "input_text", "text": part.text}


def _media(part: Media, target: UpstreamTarget) -> dict[str, Any]:
    url = part.url or f"data:{part.media_type};base64,{part.data}"
    if part.kind == "image" and target.vision:
        return {"type": "input_image", "image_url": url, "detail": part.detail or "auto"}
    if part.kind == "document" and target.files:
        if part.url:
            return {"type": "input_file", "file_url": part.url}
        return {"type": "input_file", "filename": part.name or "document.pdf", "file_data": url}
    raise refused_media(part)


def _item(part: Part, target: UpstreamTarget, names: dict[str, str]) -> list[dict[str, Any]]:
    match part:
        case ToolCall():
            name = names.get(part.name, part.name)
            return [{"type": "function_call", "call_id": part.id, "name": name, "arguments": part.arguments or "{}"}]
        case ToolResult():
            return [{"type": "function_call_output", "call_id": part.call_id, "output": _output(part, target)}]
        case Reasoning():
            proof = part.data or part.signature
            if part.origin not in {"", "openai"} or not proof:
                return []
            summary = [{"type": "summary_text", "text": part.text}] if part.text else []
            item_id = part.id or f"rs_{short_id(proof, 32)}"
            return [{"type": "reasoning", "id": item_id, "summary": summary, "encrypted_content": proof}]
        case _:
            return []


def _output(part: ToolResult, target: UpstreamTarget) -> str | list[dict[str, Any]]:
    if all(isinstance(inner, Text) for inner in part.parts):
        return "\n".join(inner.text for inner in part.parts if isinstance(inner, Text))
    return [_content(inner, target) for inner in part.parts]


def _options(
    body: dict[str, Any], request: CanonicalRequest, target: UpstreamTarget, names: dict[str, str]
) -> list[str]:
    """Fill the body's options; warnings that name what was dropped."""
    if request.output_tokens_max is not None:
        body["max_output_tokens"] = max(16, request.output_tokens_max)
    _tools(body, request, target, names)
    text: dict[str, Any] = {}
    if request.response_format is not None:
        text["format"] = _format(request)
    if request.verbosity:
        text["verbosity"] = request.verbosity
    if text:
        body["text"] = text
    control = request.reasoning
    if control is not None and target.reasoning:
        effort = "none" if control.enabled is False else control.effort or "medium"
        body["reasoning"] = {"effort": effort, "summary": control.summary or "auto"}
        body["include"] = [ENCRYPTED]
    warnings = ["dropped:reasoning"] if control is not None and not target.reasoning else []
    for name in ("temperature", "top_p", "top_logprobs"):
        value = getattr(request.sampling, name)
        if value is None:
            continue
        if "no_sampling" in target.quirks:
            warnings.append(f"dropped:{name}")
        else:
            body[name] = value
    if request.user:
        body["user"] = request.user
    if request.service_tier not in {"", GROQS_DEFAULT_TIER}:
        body["service_tier"] = request.service_tier
    if request.cache_key:
        body["prompt_cache_key"] = request.cache_key
    warnings += [f"dropped:{name}" for name in _UNKNOWN_TO_RESPONSES if getattr(request.sampling, name) is not None]
    warnings += ["dropped:stop"] if request.stop else []
    return warnings + [f"dropped:{name}" for name in (*request.extensions, *request.unknown)]


def _tools(body: dict[str, Any], request: CanonicalRequest, target: UpstreamTarget, names: dict[str, str]) -> None:
    if not request.tools:
        return
    refuse_tools(target)
    body["tools"] = [_tool(tool, names) for tool in request.tools]
    choice = request.tool_choice
    if choice is not None and choice.mode == "named":
        body["tool_choice"] = {"type": "function", "name": names.get(choice.name, choice.name)}
    elif choice is not None:
        body["tool_choice"] = choice.mode
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls


def _tool(tool: Tool, names: dict[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {"type": "function", "name": names.get(tool.name, tool.name)}
    if tool.description:
        fields["description"] = tool.description
    return {**fields, "parameters": tool.parameters or _NO_PARAMETERS, "strict": bool(tool.strict)}


def _format(request: CanonicalRequest) -> dict[str, Any]:
    wanted = request.response_format
    if wanted is None or wanted.kind != "json_schema":
        return {"type": "json_object"}
    fields: dict[str, Any] = {"type": "json_schema", "name": wanted.name, "schema": wanted.schema}
    if wanted.description:
        fields["description"] = wanted.description
    if wanted.strict is not None:
        fields["strict"] = wanted.strict
    return fields
