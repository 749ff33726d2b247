"""Gemini, requests: typed fields -> canonical request."""

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
from handlers.translation.dialects.base import ClientBody
from handlers.translation.dialects.google_fields import (
    KNOWN_FIELDS,
    ConfigField,
    ContentField,
    FunctionField,
    GenerateFields,
    PartField,
    camel_body,
    check_fields,
    refuse_state,
)
from handlers.translation.dialects.reading import refusal

_MODES = {"AUTO": "auto", "ANY": "required", "NONE": "none", "VALIDATED": "auto", "MODE_UNSPECIFIED": "auto"}
_EFFORTS = {"minimal": "minimal", "low": "low", "medium": "medium", "high": "high"}
_NUMBERED_TYPES = ("", "string", "number", "integer", "boolean", "array", "object", "null")
_encode = msgspec.json.Encoder().encode


def decode_generate(client: ClientBody) -> tuple[GenerateFields, dict[str, Any]]:
    """The checked fields of a body, and the body with its names in camelCase.

    Raises:
        InvalidRequest: naming the field at fault.
    """
    body = camel_body(client.body)
    try:
        fields = msgspec.convert(body, GenerateFields)
    except msgspec.ValidationError as error:
        raise refusal(error, GenerateFields) from None
    check_fields(fields)
    if client.stateless:
        refuse_state(fields)
    return fields, body


def parse_generate(client: ClientBody) -> CanonicalRequest:
    """A generateContent body in canonical terms."""
    fields, body = decode_generate(client)
    if fields.cached_content:
        raise Unprocessable("cachedContent works with Google's own endpoints only.", param="cachedContent")
    config = fields.generation_config or ConfigField()
    tools, dropped = _tools(fields)
    dropped += ["safetySettings"] if fields.safety_settings else []
    return CanonicalRequest(
        messages=(*_system(fields), *_messages(fields)),
        stream=client.stream,
        tools=tools,
        tool_choice=_tool_choice(fields) if tools else None,
        response_format=_response_format(config),
        reasoning=_reasoning(config),
        sampling=Sampling(
            temperature=config.temperature,
            top_p=config.top_p,
            top_k=None if config.top_k is None else int(config.top_k),
            frequency_penalty=config.frequency_penalty,
            presence_penalty=config.presence_penalty,
            seed=config.seed,
            logprobs=config.response_logprobs,
            top_logprobs=config.logprobs,
        ),
        stop=tuple(config.stop_sequences or ()),
        output_tokens_max=config.max_output_tokens,
        choices=config.candidate_count or 1,
        modalities=tuple(modality.lower() for modality in config.response_modalities or () if modality != "TEXT"),
        unknown=(*dropped, *_unknown_config(body), *(name for name in body if name not in KNOWN_FIELDS)),
    )


_KNOWN_CONFIG = frozenset(field.encode_name for field in msgspec.structs.fields(ConfigField))


def _unknown_config(body: dict[str, Any]) -> list[str]:
    """Settings that no other format has a word for."""
    config = body.get("generationConfig")
    given = config if isinstance(config, dict) else {}
    return [
        f"generationConfig.{name}" for name, value in given.items() if name not in _KNOWN_CONFIG and value is not None
    ]


def _system(fields: GenerateFields) -> list[Message]:
    system = fields.system_instruction
    if system is None:
        return []
    if isinstance(system, str):
        return [Message("system", (Text(system),), "systemInstruction")]
    parts = tuple(Text(part.text) for part in system.parts if part.text)
    return [Message("system", parts, "systemInstruction")] if parts else []


def _messages(fields: GenerateFields) -> list[Message]:
    """The turns; calls without an id get one from their place, results find theirs by name and order."""
    contents = fields.contents if isinstance(fields.contents, list) else [fields.contents]
    waiting: list[tuple[str, str]] = []
    return [_message(content, f"contents[{number}]", waiting) for number, content in enumerate(contents)]


def _message(content: ContentField, at: str, waiting: list[tuple[str, str]]) -> Message:
    if content.role not in {None, "user", "model", "function"}:
        raise InvalidRequest(f"{at}.role must be user or model.", param=f"{at}.role")
    parts: list[Part] = []
    for number, part in enumerate(content.parts):
        parts += _part(part, f"{at}.parts[{number}]", waiting)
    if content.role == "model":
        return Message("assistant", tuple(parts), at)
    only_results = bool(parts) and all(isinstance(part, ToolResult) for part in parts)
    return Message("tool" if only_results else "user", tuple(parts), at)


def _part(part: PartField, at: str, waiting: list[tuple[str, str]]) -> list[Part]:
    proof, origin = read_proof(part.thought_signature or "", "google")
    if part.function_call is not None:
        call = part.function_call
        call_id = call.id or f"call_{at.translate(_PLACE)}"
        waiting.append((call.name, call_id))
        arguments = _encode(call.args or {}).decode()
        return [ToolCall(call_id, call.name, arguments, at, proof if origin == "google" else "")]
    if part.function_response is not None:
        result = part.function_response
        text = Text(_encode(result.response if result.response is not None else {}).decode())
        return [ToolResult(result.id or _answered(result.name, at, waiting), (text,), at, name=result.name)]
    if part.inline_data is not None:
        blob = part.inline_data
        kind = _kind(blob.mime_type)
        return [Media(kind, f"{at}.inlineData", data=blob.data, media_type=blob.mime_type)]
    if part.file_data is not None:
        file = part.file_data
        if not file.file_uri.startswith(("https://", "http://")):
            param = f"{at}.fileData.fileUri"
            raise Unprocessable(f"{param} works with Google's own endpoints only.", param=param)
        return [Media(_kind(file.mime_type), f"{at}.fileData.fileUri", url=file.file_uri, media_type=file.mime_type)]
    if part.text is not None or proof:
        return _text(part, proof, origin)
    raise Unprocessable(f"{at}: this part is understood by Google's own endpoints only.", param=at)


_PLACE = str.maketrans({"[": "_", "]": None, ".": "_"})


def _answered(name: str, at: str, waiting: list[tuple[str, str]]) -> str:
    """The id of the first unanswered call of this function."""
    for number, (called, call_id) in enumerate(waiting):
        if called == name:
            del waiting[number]
            return call_id
    raise InvalidRequest(f"{at}.functionResponse.name: no call of this function waits for a result.", param=at)


def _text(part: PartField, proof: str, origin: str) -> list[Part]:
    if part.thought:
        return [Reasoning(part.text or "", proof, origin=origin)]
    parts: list[Part] = [Text(part.text)] if part.text else []
    if proof and origin == "google":
        parts.insert(0, Reasoning(data=proof, form="encrypted", origin=origin))
    elif proof:
        parts.insert(0, Reasoning("", proof, origin=origin))
    return parts


def _kind(media_type: str) -> str:
    family = media_type.partition("/")[0]
    return family if family in {"image", "audio", "video"} else "document"


def _tools(fields: GenerateFields) -> tuple[tuple[Tool, ...], list[str]]:
    """The client's own functions, and the names of tools that only Google runs."""
    tools: list[Tool] = []
    dropped: list[str] = []
    for number, group in enumerate(fields.tools or ()):
        for name, value in group.items():
            at = f"tools[{number}].{name}"
            if name != "functionDeclarations":
                dropped.append(f"tools.{name}" if name.isidentifier() and len(name) < 40 else "tools")
                continue
            try:
                functions = msgspec.convert(value, list[FunctionField])
            except msgspec.ValidationError:
                raise InvalidRequest(f"{at} must list functions with a name.", param=at) from None
            tools += [_tool(function, f"{at}[{place}]") for place, function in enumerate(functions)]
    return tuple(tools), dropped


def _tool(field: FunctionField, at: str) -> Tool:
    schema = field.parameters_json_schema if field.parameters is None else _lower_types(field.parameters)
    raw = None if schema is None else msgspec.Raw(_encode(schema))
    return Tool(field.name, field.description or "", raw, at=at)


def _lower_types(schema: Any) -> Any:
    """Google writes types in capitals (STRING), an old library of its own as numbers (6), JSON schema in small letters."""
    if isinstance(schema, list):
        return [_lower_types(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _lower_type(value) if name == "type" and isinstance(value, str | int) else _lower_types(value)
        for name, value in schema.items()
    }


def _lower_type(value: str | int) -> str:
    if isinstance(value, str):
        return value.lower()
    return _NUMBERED_TYPES[value] if 0 <= value < len(_NUMBERED_TYPES) else ""


def _tool_choice(fields: GenerateFields) -> ToolChoice | None:
    config = fields.tool_config.function_calling_config if fields.tool_config else None
    if config is None or config.mode is None:
        return None
    mode = _MODES.get(config.mode.upper())
    if mode is None:
        param = "toolConfig.functionCallingConfig.mode"
        raise InvalidRequest(f"{param} must be AUTO, ANY or NONE.", param=param)
    names = config.allowed_function_names or []
    if mode == "required" and len(names) == 1:
        return ToolChoice("named", names[0])
    return ToolChoice(mode)


def _response_format(config: ConfigField) -> ResponseFormat | None:
    if config.response_mime_type != "application/json":
        return None
    schema = config.response_json_schema
    if schema is None and config.response_schema is not None:
        schema = _lower_types(config.response_schema)
    if schema is None:
        return ResponseFormat("json_object")
    return ResponseFormat("json_schema", schema=msgspec.Raw(_encode(schema)))


def _reasoning(config: ConfigField) -> ReasoningControl | None:
    thinking = config.thinking_config
    if thinking is None:
        return None
    budget = thinking.thinking_budget
    return ReasoningControl(
        effort=_EFFORTS.get((thinking.thinking_level or "").lower(), ""),
        max_tokens=budget if budget is not None and budget > 0 else None,
        enabled=None if budget is None else budget != 0,
        exclude=thinking.include_thoughts is False,
    )
