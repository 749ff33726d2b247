"""Google Interactions, requests: typed steps -> canonical request.

Consecutive steps of one side are one turn: a thought, an output and its calls belong together, as do the results of several
calls. A signature that Google put on a thought goes back with it.
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
    ResponseFormat,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from handlers.translation.dialects.base import ClientBody
from handlers.translation.dialects.interactions_fields import (
    KNOWN_FIELDS,
    ConfigField,
    ContentField,
    InteractionFields,
    StepField,
    ToolField,
    check_fields,
)
from handlers.translation.dialects.reading import decode_body, decode_top, given, require

_FIELDS = msgspec.json.Decoder(InteractionFields)
_MODES = {"auto": "auto", "validated": "auto", "any": "required", "none": "none"}
_LEVELS = frozenset({"minimal", "low", "medium", "high"})
_CONTENT = frozenset({"text", "image", "audio", "video", "document"})
_ROLES = {
    "user_input": "user",
    "model_output": "assistant",
    "thought": "assistant",
    "function_call": "assistant",
    "function_result": "tool",
}
_UNSAID = ("speech_config", "image_config", "video_config", "transcription_config")
_encode = msgspec.json.Encoder().encode


def parse_interaction(client: ClientBody) -> CanonicalRequest:
    """The body of an interaction in canonical terms."""
    fields = decode_body(_FIELDS, client.body)
    check_fields(fields)
    config = fields.generation_config or ConfigField()
    tools = tuple(_tool(tool, n) for n, tool in enumerate(fields.tools or ()) if tool.type == "function")
    shape, modalities = _response_format(fields)
    dropped = [
        f"tools.{tool.type}" for tool in fields.tools or () if tool.type != "function" and tool.type.isidentifier()
    ]
    dropped += [f"generation_config.{name}" for name in _UNSAID if getattr(config, name)]
    dropped += [name for name in ("safety_settings", "labels") if getattr(fields, name)] + ["store"] * bool(
        fields.store
    )
    said = fields.system_instruction
    system = (Message("system", (Text(said),), "system_instruction"),) if said else ()
    return CanonicalRequest(
        messages=(*system, *_messages(fields.input)),
        stream=client.stream,
        tools=tools,
        tool_choice=_tool_choice(config) if tools else None,
        response_format=shape,
        reasoning=_reasoning(config),
        sampling=Sampling(temperature=config.temperature, top_p=config.top_p, seed=config.seed),
        stop=tuple(config.stop_sequences or ()),
        output_tokens_max=config.max_output_tokens,
        service_tier="" if fields.service_tier in {None, "standard"} else str(fields.service_tier),
        modalities=modalities,
        unknown=(*dropped, *(name for name in decode_top(client.body) if name not in KNOWN_FIELDS)),
    )


def _messages(given_input: str | StepField | list[StepField]) -> list[Message]:
    """The turns. Pieces of content without steps around them are one turn of the user."""
    if isinstance(given_input, str):
        return [Message("user", (Text(given_input),), "input")]
    steps = given_input if isinstance(given_input, list) else [given_input]
    if all(step.type in _CONTENT for step in steps):
        return [Message("user", tuple(_content(step, f"input[{n}]") for n, step in enumerate(steps)), "input")]
    turns: list[tuple[str, list[Part], str]] = []
    for number, step in enumerate(steps):
        at = f"input[{number}]"
        role = _ROLES.get(step.type)
        if role is None:
            raise Unprocessable(f"{at}: steps of this type are understood by Google's own endpoints only.", param=at)
        if not turns or turns[-1][0] != role:
            turns.append((role, [], at))
        turns[-1][1].extend(_parts(step, at))
    return [Message(role, tuple(parts), at) for role, parts, at in turns]


def _parts(step: StepField, at: str) -> list[Part]:
    match step.type:
        case "thought":
            proof, origin = read_proof(step.signature or "", "google")
            summary = "".join(part.text or "" for part in step.summary or ())
            return [Reasoning(summary, proof, form="summary", origin=origin if proof else "")]
        case "function_call":
            if not step.name or not step.id:
                raise InvalidRequest(f"{at} needs id and name.", param=at)
            arguments = given(step.arguments)
            return [ToolCall(step.id, step.name, bytes(arguments).decode() if arguments is not None else "{}", at)]
        case "function_result":
            return [_result(step, at)]
        case _:
            content = step.content
            if isinstance(content, str):
                return [Text(content)]
            pieces = [content] if isinstance(content, ContentField) else content or []
            return [_content(piece, f"{at}.content[{number}]") for number, piece in enumerate(pieces)]


def _result(step: StepField, at: str) -> ToolResult:
    call_id = require(step.call_id, f"{at}.call_id")
    parts: tuple[Text | Media, ...]
    if isinstance(step.result, list):
        try:
            pieces = msgspec.convert(step.result, list[ContentField])
        except msgspec.ValidationError:
            raise InvalidRequest(f"{at}.result must be a text, an object or a list of content.", param=at) from None
        parts = tuple(_content(piece, f"{at}.result[{number}]") for number, piece in enumerate(pieces))
    else:
        parts = (Text(step.result if isinstance(step.result, str) else _encode(step.result or {}).decode()),)
    return ToolResult(call_id, parts, at, is_error=bool(step.is_error), name=step.name or "")


def _content(piece: ContentField | StepField, at: str) -> Text | Media:
    if piece.type == "text":
        return Text(piece.text or "")
    if piece.type not in _CONTENT:
        raise InvalidRequest(f"{at}.type must be text, image, audio, video or document.", param=f"{at}.type")
    media_type = piece.mime_type or ""
    if piece.data:
        return Media(piece.type, f"{at}.data", data=piece.data, media_type=media_type)
    uri = piece.uri or ""
    if not uri.startswith(("https://", "http://")) or "generativelanguage.googleapis.com/" in uri:
        param = f"{at}.uri"
        raise InvalidRequest(
            f"{param} must be a web address; objects that a provider keeps are never used. Or send `data`.", param=param
        )
    return Media(piece.type, f"{at}.uri", url=uri, media_type=media_type)


def _tool(field: ToolField, number: int) -> Tool:
    at = f"tools[{number}]"
    name = require(field.name, f"{at}.name")
    return Tool(name, field.description or "", given(field.parameters), at=at)


def _tool_choice(config: ConfigField) -> ToolChoice | None:
    choice = config.tool_choice
    allowed = None if choice is None or isinstance(choice, str) else choice.allowed_tools
    mode = choice if isinstance(choice, str) else allowed.mode if allowed else None
    if mode is None:
        return None
    if mode not in _MODES:
        param = "generation_config.tool_choice"
        raise InvalidRequest(f"{param} must be auto, any, none or validated.", param=param)
    names = (allowed.tools if allowed else None) or []
    return ToolChoice("named", names[0]) if mode == "any" and len(names) == 1 else ToolChoice(_MODES[mode])


def _reasoning(config: ConfigField) -> ReasoningControl | None:
    """Thoughts are summarised only for those who ask, as Google does."""
    level, summaries = config.thinking_level, config.thinking_summaries
    if level is not None and level not in _LEVELS:
        param = "generation_config.thinking_level"
        raise InvalidRequest(f"{param} must be one of {', '.join(sorted(_LEVELS))}.", param=param)
    if level is None and summaries is None:
        return None
    return ReasoningControl(effort=level or "", exclude=summaries != "auto")


def _response_format(fields: InteractionFields) -> tuple[ResponseFormat | None, tuple[str, ...]]:
    """The shape of the text, and what else is wanted beside text."""
    raw = given(fields.response_format)
    decoded: Any = None if raw is None else msgspec.json.decode(bytes(raw))
    listed = decoded if isinstance(decoded, list) else [decoded] if isinstance(decoded, dict) else []
    shape = ResponseFormat("json_object") if fields.response_mime_type == "application/json" else None
    modalities = [name.lower() for name in fields.response_modalities or ()]
    for entry in listed:
        kind = str(entry.get("type")) if isinstance(entry, dict) else ""
        if kind in {"image", "audio"}:
            modalities.append(kind)
        elif kind == "video":
            raise Unprocessable(
                "response_format: films are made by Google's own endpoints only.", param="response_format"
            )
        elif kind == "text" and entry.get("mime_type") == "application/json":
            shape = _shape(entry.get("schema"))
        elif kind != "text" and isinstance(entry, dict) and fields.response_mime_type == "application/json":
            shape = _shape(entry)
    return shape, tuple(dict.fromkeys(name for name in modalities if name != "text"))


def _shape(schema: Any) -> ResponseFormat:
    if not isinstance(schema, dict):
        return ResponseFormat("json_object")
    return ResponseFormat("json_schema", schema=msgspec.Raw(_encode(schema)))
