"""Anthropic Messages, requests: typed fields -> canonical request."""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.errors import InvalidRequest, Unprocessable
from handlers.translation.canonical.proof import read_proof
from handlers.translation.canonical.request import (
    CanonicalRequest,
    Media,
    Message,
    Part,
    Reasoning,
    ReasoningControl,
    ResponseFormat,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from handlers.translation.dialects.anthropic_fields import (
    KNOWN_FIELDS,
    BlockField,
    MessageField,
    MessagesFields,
    SourceField,
    ToolField,
    check_fields,
    refuse_state,
)
from handlers.translation.dialects.base import ClientBody
from handlers.translation.dialects.reading import (
    cache_control,
    check_effort,
    decode_body,
    decode_top,
    given,
    read_stops,
    require,
)

_FIELDS = msgspec.json.Decoder(MessagesFields)
_SERVER_FIELDS = ("container", "mcp_servers")
_OPTIMISATIONS = ("context_management", "cache_control", "service_tier")
"""They make a conversation cheaper and say nothing in it: left out, and named."""


def decode_messages(client: ClientBody, *, counting: bool = False) -> MessagesFields:
    """The checked fields of a body.

    Raises:
        InvalidRequest: naming the field at fault.
    """
    fields = decode_body(_FIELDS, client.body)
    check_fields(fields, counting=counting)
    if client.stateless:
        refuse_state(fields)
    return fields


def parse_messages(client: ClientBody, *, counting: bool = False) -> CanonicalRequest:
    """A Messages body in canonical terms."""
    fields = decode_messages(client, counting=counting)
    for name in _SERVER_FIELDS:
        if getattr(fields, name):
            raise Unprocessable(f"{name} works with Anthropic's own endpoints only.", param=name)
    choice = fields.tool_choice
    return CanonicalRequest(
        messages=(*_system(fields), *_messages(fields.messages)),
        stream=client.stream,
        tools=tuple(_tool(tool, f"tools[{number}]") for number, tool in enumerate(fields.tools or ())),
        tool_choice=_tool_choice(fields),
        parallel_tool_calls=False if choice and choice.disable_parallel_tool_use else None,
        response_format=_response_format(fields),
        reasoning=_reasoning(fields),
        sampling=Sampling(temperature=fields.temperature, top_p=fields.top_p, top_k=fields.top_k),
        stop=read_stops("stop_sequences", fields.stop_sequences),
        output_tokens_max=fields.max_tokens,
        user=(fields.metadata.user_id or "") if fields.metadata else "",
        unknown=tuple(name for name in decode_top(client.body) if name not in KNOWN_FIELDS or name in _OPTIMISATIONS),
    )


def _system(fields: MessagesFields) -> list[Message]:
    system = fields.system
    if not system:
        return []
    if isinstance(system, str):
        return [Message("system", (Text(system),), "system")]
    parts = [_text(block, f"system[{number}]") for number, block in enumerate(system)]
    return [Message("system", tuple(parts), "system")]


def _text(field: BlockField, at: str) -> Text:
    if field.type != "text" or field.text is None:
        raise InvalidRequest(f"{at}.type must be text.", param=f"{at}.type")
    return Text(field.text, cache_control(field.cache_control))


def _messages(fields: list[MessageField]) -> list[Message]:
    messages = []
    for number, field in enumerate(fields):
        at = f"messages[{number}]"
        if isinstance(field.content, str):
            parts: tuple[Part, ...] = (Text(field.content),)
        else:
            parts = tuple(_part(block, f"{at}.content[{place}]") for place, block in enumerate(field.content))
        messages.append(Message(field.role, parts, at))
    return messages


def _part(field: BlockField, at: str) -> Part:
    match field.type:
        case "text":
            return _text(field, at)
        case "image" | "document":
            return _media(field, at)
        case "tool_use":
            arguments = bytes(field.input).decode() or "{}"
            name = require(field.name, f"{at}.name")
            return ToolCall(
                require(field.id, f"{at}.id"), name, arguments, at, cache=cache_control(field.cache_control)
            )
        case "tool_result":
            return _tool_result(field, at)
        case "thinking":
            proof, origin = read_proof(field.signature or "", "anthropic")
            return Reasoning(field.thinking or "", proof, origin=origin)
        case "redacted_thinking":
            proof, origin = read_proof(field.data or "", "anthropic")
            return Reasoning(data=proof, form="encrypted", origin=origin)
    raise Unprocessable(f"{at}.type: this block is understood by Anthropic's own endpoints only.", param=f"{at}.type")


def _media(field: BlockField, at: str) -> Media | Text:
    try:
        source = msgspec.convert(field.source, SourceField)
    except msgspec.ValidationError:
        raise InvalidRequest(f"{at}.source must be a source object.", param=f"{at}.source") from None
    cache = cache_control(field.cache_control)
    name = field.title or ""
    match source.type:
        case "base64" if source.data and source.media_type:
            place = f"{at}.source.data"
            return Media(field.type, place, data=source.data, media_type=source.media_type, name=name, cache=cache)
        case "url" if source.url:
            if not source.url.startswith(("https://", "http://")):
                raise InvalidRequest(f"{at}.source.url must be an http(s) URL.", param=f"{at}.source.url")
            return Media(field.type, f"{at}.source.url", url=source.url, name=name, cache=cache)
        case "text" if source.data is not None:
            return Text(source.data, cache)
        case "file":
            raise Unprocessable(f"{at}.source.file_id works with Anthropic only.", param=f"{at}.source.file_id")
    raise InvalidRequest(f"{at}.source needs base64 data with media_type, or url.", param=f"{at}.source")


def _tool_result(field: BlockField, at: str) -> ToolResult:
    call_id = require(field.tool_use_id, f"{at}.tool_use_id")
    parts: tuple[Text | Media, ...] = ()
    if isinstance(field.content, str):
        parts = (Text(field.content),)
    elif isinstance(field.content, list):
        parts = tuple(_result_part(block, f"{at}.content[{n}]") for n, block in enumerate(field.content))
    return ToolResult(call_id, parts, at, bool(field.is_error), cache=cache_control(field.cache_control))


def _result_part(block: Any, at: str) -> Text | Media:
    try:
        field = msgspec.convert(block, BlockField)
    except msgspec.ValidationError:
        raise InvalidRequest(f"{at} must be a content block.", param=at) from None
    if field.type == "text":
        return _text(field, at)
    if field.type in {"image", "document"}:
        return _media(field, at)
    raise Unprocessable(f"{at}.type: only text, image and document results are supported here.", param=f"{at}.type")


def _tool(field: ToolField, at: str) -> Tool:
    if field.type not in {None, "custom"}:
        raise Unprocessable(f"{at}.type: this tool runs at Anthropic's own endpoints only.", param=f"{at}.type")
    name = require(field.name, f"{at}.name")
    schema = given(field.input_schema)
    return Tool(name, field.description or "", schema, field.strict, cache_control(field.cache_control), at)


def _tool_choice(fields: MessagesFields) -> ToolChoice | None:
    choice = fields.tool_choice
    if choice is None:
        return None
    if choice.type == "tool":
        return ToolChoice("named", require(choice.name, "tool_choice.name"))
    return ToolChoice("required" if choice.type == "any" else choice.type)


def _response_format(fields: MessagesFields) -> ResponseFormat | None:
    wanted = fields.output_config.format if fields.output_config else None
    wanted = wanted or fields.output_format
    if wanted is None:
        return None
    return ResponseFormat("json_schema", schema=given(wanted.schema), strict=True)


def _reasoning(fields: MessagesFields) -> ReasoningControl | None:
    effort = (fields.output_config.effort or "") if fields.output_config else ""
    check_effort("output_config.effort", effort)
    thinking = fields.thinking
    if thinking is None:
        return ReasoningControl(effort=effort) if effort else None
    if thinking.type == "disabled":
        return ReasoningControl(enabled=False)
    return ReasoningControl(effort, thinking.budget_tokens, enabled=True)
