"""Cohere chat (v2) as an upstream format: canonical request -> body."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from handlers.errors import Unprocessable
from handlers.translation.adapters.base import Built, build_post
from handlers.translation.adapters.cohere_decoder import CohereDecoder
from handlers.translation.adapters.openai_parameters import thinking_tokens
from handlers.translation.adapters.refusals import refuse_many_answers, refuse_tools, refused_media
from handlers.translation.adapters.tool_names import rename_tools
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.parameters import DEFAULT_TIERS, unknown_sampling
from handlers.translation.canonical.request import (
    CanonicalRequest,
    Media,
    Message,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

PATH = "/chat"
_NO_PARAMETERS = msgspec.Raw(b'{"type":"object","properties":{}}')
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "p",
    "top_k": "k",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "logprobs": "logprobs",
}
_UNKNOWN_TO_COHERE = unknown_sampling("cohere")
_CHOICES = {"required": "REQUIRED", "none": "NONE"}


class CohereAdapter:
    """The wire format."""

    name: ClassVar[str] = "cohere"

    def build_request(self, request: CanonicalRequest, target: UpstreamTarget) -> Built:
        """The body of a chat request."""
        refuse_many_answers(request)
        names = rename_tools(request.tools, r"[A-Za-z_][A-Za-z0-9_]{0,63}")
        body: dict[str, Any] = {
            "model": target.upstream_model,
            "messages": [fields for message in request.messages for fields in _messages(message, target, names)],
            "stream": request.stream,
        }
        warnings: list[str] = []
        _options(body, request, target, warnings)
        _tools(body, request, target, names)
        return build_post(PATH, body, request, names=names, warnings=warnings)

    def decoder(self, *, streams: bool, target: UpstreamTarget, prompt_tokens: int) -> CohereDecoder:
        """Reads a successful answer."""
        decoder = CohereDecoder(streams=streams, prompt_tokens=prompt_tokens)
        decoder.model = target.upstream_model
        return decoder


def _messages(message: Message, target: UpstreamTarget, names: dict[str, str]) -> list[dict[str, Any]]:
    """The messages of one turn: each tool result is one of its own."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    messages = [_result(part) for part in results]
    if message.role == "assistant":
        return [*messages, _assistant(message, names)]
    content = [_part(part, target) for part in message.parts if isinstance(part, Text | Media)]
    if content:
        role = "system" if message.role == "developer" else "user" if message.role == "tool" else message.role
        plain = all(part["type"] == "text" for part in content)
        joined = "\n".join(part["text"] for part in content) if plain else content
        messages.append({"role": role, "content": joined})
    return messages


def _assistant(message: Message, names: dict[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": "assistant"}
    text = "".join(part.text for part in message.parts if isinstance(part, Text | Refusal))
    thought = "".join(part.text for part in message.parts if isinstance(part, Reasoning))
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    if calls:
        fields["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": names.get(call.name, call.name), "arguments": call.arguments or "{}"},
            }
            for call in calls
        ]
        plan = thought or text
        if plan:
            fields["tool_plan"] = plan
    if text and not (calls and not thought):
        fields["content"] = text
    elif not calls:
        fields["content"] = text or "."
    return fields


def _result(part: ToolResult) -> dict[str, Any]:
    for inner in part.parts:
        if isinstance(inner, Media):
            raise Unprocessable(f"{inner.at}: this endpoint takes no media in tool results.", param=inner.at)
    text = "\n".join(inner.text for inner in part.parts if isinstance(inner, Text))
    return {"role": "tool", "tool_call_id": part.call_id, "content": text or "."}


def _part(part: Text | Media, target: UpstreamTarget) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if part.kind != "image" or not target.vision:
        raise refused_media(part)
    url = part.url or f"data:{part.media_type};base64,{part.data}"
    return {"type": "image_url", "image_url": {"url": url}}


def _options(body: dict[str, Any], request: CanonicalRequest, target: UpstreamTarget, warnings: list[str]) -> None:
    for name, theirs in _SAMPLING.items():
        value = getattr(request.sampling, name)
        if value is None:
            continue
        if name.endswith("_penalty") and not 0 <= value <= 1:
            value = min(max(value, 0), 1)
            warnings.append(f"adapted:{name}")
        body[theirs] = value
    warnings += [f"dropped:{name}" for name in _UNKNOWN_TO_COHERE if getattr(request.sampling, name) is not None]
    if request.output_tokens_max is not None:
        body["max_tokens"] = request.output_tokens_max
    if request.stop:
        body["stop_sequences"] = list(request.stop[:5])
        warnings += ["adapted:stop"] if len(request.stop) > 5 else []
    wanted = request.response_format
    if wanted is not None:
        schema = {"json_schema": wanted.schema} if wanted.schema is not None else {}
        body["response_format"] = {"type": "json_object", **schema}
    control = request.reasoning
    if control is not None and target.reasoning:
        if control.enabled is False or control.effort == "none":
            body["thinking"] = {"type": "disabled"}
        else:
            budget = {"token_budget": thinking_tokens(control, target.output_tokens_max)} if control.max_tokens else {}
            body["thinking"] = {"type": "enabled", **budget}
    elif control is not None:
        warnings.append("dropped:reasoning")
    if request.parallel_tool_calls is False:
        warnings.append("dropped:parallel_tool_calls")
    warnings += [f"dropped:{name}" for name in (*request.extensions, *request.unknown)]
    warnings += [f"dropped:{name}" for name in ("user", "verbosity") if getattr(request, name)]
    warnings += ["dropped:service_tier"] if request.service_tier not in {"", *DEFAULT_TIERS} else []


def _tools(body: dict[str, Any], request: CanonicalRequest, target: UpstreamTarget, names: dict[str, str]) -> None:
    if not request.tools:
        return
    refuse_tools(target)
    choice = request.tool_choice
    tools = request.tools
    if choice is not None and choice.mode == "named":
        tools = tuple(tool for tool in tools if tool.name == choice.name)
        body["tool_choice"] = "REQUIRED"
    elif choice is not None and choice.mode in _CHOICES:
        body["tool_choice"] = _CHOICES[choice.mode]
    body["tools"] = [_tool(tool, names) for tool in tools]


def _tool(tool: Tool, names: dict[str, str]) -> dict[str, Any]:
    function: dict[str, Any] = {"name": names.get(tool.name, tool.name)}
    if tool.description:
        function["description"] = tool.description
    return {"type": "function", "function": {**function, "parameters": tool.parameters or _NO_PARAMETERS}}
