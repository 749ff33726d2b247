"""OpenAI Responses, requests: typed fields -> canonical request.

Tools that run at OpenAI (search, code, files) have no counterpart elsewhere; they are left out and named, unless the client
insists on one. Calls and outputs of such tools in the history are refused.
"""

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
    Refusal,
    ResponseFormat,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from handlers.translation.dialects.base import ClientBody
from handlers.translation.dialects.reading import check_effort, decode_body, decode_top, given, read_media, require
from handlers.translation.dialects.responses_fields import (
    KNOWN_FIELDS,
    STATE_FIELDS,
    ItemField,
    PartField,
    ResponsesFields,
    ToolField,
    check_fields,
    refuse_state,
)

_FIELDS = msgspec.json.Decoder(ResponsesFields)
_EXTENSIONS = ("safety_identifier",)
ENCRYPTED = "reasoning.encrypted_content"
"""What may be asked of every format: it comes whenever there is any."""


def decode_responses(client: ClientBody) -> ResponsesFields:
    """The checked fields of a body.

    Raises:
        InvalidRequest: naming the field at fault.
    """
    fields = decode_body(_FIELDS, client.body)
    check_fields(fields)
    if client.stateless:
        refuse_state(fields)
    return fields


def wants_padding(fields: ResponsesFields) -> bool:
    """Whether the client asks for padded events."""
    options = fields.stream_options
    return isinstance(options, dict) and options.get("include_obfuscation") is True


def parse_responses(client: ClientBody) -> CanonicalRequest:
    """A Responses body in canonical terms."""
    fields = decode_responses(client)
    for name in STATE_FIELDS:
        if getattr(fields, name):
            raise Unprocessable(f"{name} works with OpenAI's own endpoints only.", param=name)
    tools, dropped = _tools(fields)
    top = decode_top(client.body)
    system = [Message("system", (Text(fields.instructions),), "instructions")] if fields.instructions else []
    return CanonicalRequest(
        messages=(*system, *_messages(fields.input or "")),
        stream=client.stream,
        padded=wants_padding(fields),
        tools=tools,
        tool_choice=_tool_choice(fields, tools),
        parallel_tool_calls=fields.parallel_tool_calls,
        response_format=_response_format(fields),
        reasoning=_reasoning(fields),
        sampling=Sampling(temperature=fields.temperature, top_p=fields.top_p, top_logprobs=fields.top_logprobs or None),
        output_tokens_max=fields.max_output_tokens,
        user=fields.user or "",
        service_tier=fields.service_tier or "",
        verbosity=(fields.text.verbosity or "") if fields.text else "",
        cache_key=fields.prompt_cache_key or "",
        extensions={name: top[name] for name in _EXTENSIONS if name in top and bytes(top[name]) != b"null"},
        unknown=(*dropped, *_openai_only(fields), *(name for name in top if name not in KNOWN_FIELDS)),
    )


def _openai_only(fields: ResponsesFields) -> list[str]:
    """Fields that no other format has a word for."""
    found = [name for name in ("max_tool_calls", "context_management") if getattr(fields, name) is not None]
    if fields.truncation not in {None, "disabled"}:
        found.append("truncation")
    if set(fields.include or ()) - {ENCRYPTED}:
        found.append("include")
    return found


def _messages(given_input: str | list[ItemField]) -> list[Message]:
    if isinstance(given_input, str):
        return [Message("user", (Text(given_input),), "input")]
    return [_item(item, f"input[{number}]") for number, item in enumerate(given_input)]


def _item(item: ItemField, at: str) -> Message:
    match item.type:
        case "message":
            return _message(item, at)
        case "function_call":
            arguments = item.arguments if isinstance(item.arguments, str) else ""
            call = ToolCall(require(item.call_id, f"{at}.call_id"), require(item.name, f"{at}.name"), arguments, at)
            return Message("assistant", (call,), at)
        case "function_call_output":
            result = ToolResult(require(item.call_id, f"{at}.call_id"), _output(item, at), at)
            return Message("tool", (result,), at)
        case "reasoning":
            return Message("assistant", (_thought(item),), at)
    raise Unprocessable(f"{at}.type: this item is understood by OpenAI's own endpoints only.", param=f"{at}.type")


def _message(item: ItemField, at: str) -> Message:
    if item.role is None:
        raise InvalidRequest(f"{at}.role is required.", param=f"{at}.role")
    if item.content is None:
        raise InvalidRequest(f"{at}.content is required.", param=f"{at}.content")
    if isinstance(item.content, str):
        return Message(item.role, (Text(item.content),), at)
    parts = tuple(_part(part, f"{at}.content[{number}]") for number, part in enumerate(item.content))
    return Message(item.role, parts, at)


def _part(part: PartField, at: str) -> Part:
    match part.type:
        case "input_text" | "output_text" | "text" if part.text is not None:
            return Text(part.text)
        case "refusal" if part.refusal is not None:
            return Refusal(part.refusal)
        case "input_image" if part.image_url:
            return read_media("image", part.image_url, f"{at}.image_url", detail=part.detail or "")
        case "input_file" if part.file_data:
            media = read_media("document", part.file_data, f"{at}.file_data")
            return msgspec.structs.replace(media, name=part.filename or "")
        case "input_file" if part.file_url:
            return read_media("document", part.file_url, f"{at}.file_url")
        case "input_image" | "input_file" if part.file_id:
            raise Unprocessable(f"{at}.file_id works with OpenAI's own endpoints only.", param=f"{at}.file_id")
    raise InvalidRequest(
        f"{at}.type must be input_text, output_text, input_image, input_file or refusal, with its content.",
        param=f"{at}.type",
    )


def _output(item: ItemField, at: str) -> tuple[Text | Media, ...]:
    if isinstance(item.output, str):
        return (Text(item.output),)
    if not isinstance(item.output, list):
        raise InvalidRequest(f"{at}.output is required.", param=f"{at}.output")
    parts: list[Text | Media] = []
    for number, raw in enumerate(item.output):
        place = f"{at}.output[{number}]"
        try:
            field = raw if isinstance(raw, PartField) else msgspec.convert(raw, PartField)
        except msgspec.ValidationError:
            raise InvalidRequest(f"{place} must be a content part.", param=place) from None
        part = _part(field, place)
        if isinstance(part, Text | Media):
            parts.append(part)
    return tuple(parts)


def _thought(item: ItemField) -> Reasoning:
    summary = "".join(part.text or "" for part in item.summary or ())
    inner = item.content if isinstance(item.content, list) else []
    text = "".join(part.text or "" for part in inner)
    proof, origin = read_proof(item.encrypted_content or "", "openai")
    form = "summary" if summary else "text" if text else "encrypted"
    if origin == "openai":
        return Reasoning(summary or text, data=proof, id=item.id or "", form=form, origin=origin)
    if form == "encrypted":
        return Reasoning(data=proof, form=form, origin=origin)
    return Reasoning(summary or text, proof, form="text", origin=origin)


def _tools(fields: ResponsesFields) -> tuple[tuple[Tool, ...], list[str]]:
    """The client's own functions, and the names of tools that only OpenAI runs."""
    allowed = _allowed(fields)
    tools = []
    dropped = []
    for number, field in enumerate(fields.tools or ()):
        if field.type == "function":
            tool = _tool(field, f"tools[{number}]")
            if allowed is None or tool.name in allowed:
                tools.append(tool)
        else:
            dropped.append(f"tools.{field.type}" if field.type.isidentifier() and len(field.type) < 40 else "tools")
    return tuple(tools), dropped


def _allowed(fields: ResponsesFields) -> set[str] | None:
    choice = fields.tool_choice
    if isinstance(choice, str) or choice is None or choice.type != "allowed_tools":
        return None
    return {str(tool.get("name")) for tool in choice.tools or ()}


def _tool(field: ToolField, at: str) -> Tool:
    name = require(field.name, f"{at}.name")
    return Tool(name, field.description or "", given(field.parameters), field.strict, at=at)


def _tool_choice(fields: ResponsesFields, tools: tuple[Tool, ...]) -> ToolChoice | None:
    choice = fields.tool_choice
    if choice is None:
        return None
    if isinstance(choice, str):
        return ToolChoice(choice) if tools else None
    if choice.type == "allowed_tools" and tools:
        return ToolChoice(choice.mode or "auto")
    if choice.type == "function" and tools:
        return ToolChoice("named", require(choice.name, "tool_choice.name"))
    raise Unprocessable("tool_choice names a tool that only OpenAI runs.", param="tool_choice.type")


def _response_format(fields: ResponsesFields) -> ResponseFormat | None:
    wanted = fields.text.format if fields.text else None
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return ResponseFormat("json_object")
    return ResponseFormat("json_schema", wanted.name, given(wanted.schema), wanted.description or "", wanted.strict)


def _reasoning(fields: ResponsesFields) -> ReasoningControl | None:
    wanted: Any = fields.reasoning
    if wanted is None or not (wanted.effort or wanted.summary):
        return None
    check_effort("reasoning.effort", wanted.effort)
    return ReasoningControl(effort=wanted.effort or "", summary=wanted.summary or "")
