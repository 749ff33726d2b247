"""OpenAI chat completions, requests: typed fields -> canonical request."""

from __future__ import annotations

import msgspec

from handlers.errors import InvalidRequest, Unprocessable
from handlers.translation.canonical.request import (
    CacheControl,
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
from handlers.translation.dialects.openai_chat_fields import (
    KNOWN_FIELDS,
    CallField,
    ChatFields,
    MessageField,
    PartField,
    ReasoningDetailField,
    ToolField,
    UrlField,
    check_fields,
)
from handlers.translation.dialects.reading import (
    cache_control,
    check_effort,
    decode_body,
    decode_top,
    given,
    read_media,
    read_stops,
    require,
)

_FIELDS = msgspec.json.Decoder(ChatFields)
_EXTENSIONS = ("metadata", "audio", "prediction", "web_search_options", "safety_identifier", "image_config")
_OPTIMISATIONS = ("prompt_cache_retention", "cache_control")
"""They make a conversation cheaper and say nothing in it: left out, and named, where the format is another."""
REASONING_FORMATS = {
    "anthropic": "anthropic-claude-v1",
    "openai": "openai-responses-v1",
    "google": "google-gemini-v1",
}
"""OpenRouter's names for who made a proof of reasoning."""
_ORIGINS = {name: origin for origin, name in REASONING_FORMATS.items()}
_AUDIO_TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav"}


def decode_chat(body: bytes) -> ChatFields:
    """The checked fields of a body.

    Raises:
        InvalidRequest: naming the field at fault.
    """
    fields = decode_body(_FIELDS, body)
    check_fields(fields)
    return fields


def parse_chat(client: ClientBody) -> CanonicalRequest:
    """A chat completions body in canonical terms."""
    fields = decode_chat(client.body)
    top = decode_top(client.body)
    if fields.functions is not None or fields.function_call is not None:
        raise Unprocessable("functions is not supported by this endpoint; use tools.", param="functions")
    return CanonicalRequest(
        messages=tuple(_message(message, f"messages[{number}]") for number, message in enumerate(fields.messages)),
        stream=client.stream,
        include_usage=wants_usage(fields, top),
        padded=wants_padding(fields),
        tools=tuple(_tool(tool, f"tools[{number}]") for number, tool in enumerate(fields.tools or ())),
        tool_choice=_tool_choice(fields),
        parallel_tool_calls=fields.parallel_tool_calls,
        response_format=_response_format(fields),
        reasoning=read_reasoning(fields),
        sampling=_sampling(fields, top),
        stop=read_stops("stop", fields.stop),
        output_tokens_max=fields.max_completion_tokens or fields.max_tokens,
        choices=fields.n or 1,
        user=fields.user or "",
        service_tier=fields.service_tier or "",
        verbosity=fields.verbosity or "",
        cache_key=fields.prompt_cache_key or "",
        modalities=tuple(fields.modalities or ()),
        extensions={name: top[name] for name in _EXTENSIONS if name in top and bytes(top[name]) != b"null"},
        unknown=tuple(name for name in top if name not in KNOWN_FIELDS or name in _OPTIMISATIONS),
    )


def wants_usage(fields: ChatFields, top: dict[str, msgspec.Raw]) -> bool:
    """Whether the client asks to see the usage of a stream, in OpenAI's way or OpenRouter's older one: `usage: {include: true}`."""
    if fields.stream_options is not None and fields.stream_options.include_usage:
        return True
    asked = top.get("usage")
    return asked is not None and b"true" in bytes(asked)


def wants_padding(fields: ChatFields) -> bool:
    """Whether the client asks for padded events."""
    return fields.stream_options is not None and fields.stream_options.include_obfuscation is True


def _message(field: MessageField, at: str) -> Message:
    if field.role == "function":
        raise Unprocessable(f"{at}.role: function messages are not supported; use tools.", param=f"{at}.role")
    if field.role == "tool":
        return Message("tool", (_tool_result(field, at),), at)
    parts: list[Part] = []
    if field.role == "assistant":
        parts += _reasoning_parts(field)
    parts += _content(field.content, at)
    if field.role == "assistant":
        if field.refusal:
            parts.append(Refusal(field.refusal))
        parts += [_call(call, f"{at}.tool_calls[{n}]") for n, call in enumerate(field.tool_calls or ())]
    elif field.tool_calls:
        raise InvalidRequest(f"{at}.tool_calls belongs to assistant messages.", param=f"{at}.tool_calls")
    return Message(field.role, tuple(parts), at, field.name or "")


def _content(content: str | list[PartField] | None, at: str) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)]
    return [_part(part, f"{at}.content[{number}]") for number, part in enumerate(content)]


def _part(field: PartField, at: str) -> Part:
    cache = cache_control(field.cache_control)
    match field.type:
        case "text" | "input_text" | "output_text" if field.text is not None:
            return Text(field.text, cache)
        case "refusal" if field.refusal is not None:
            return Refusal(field.refusal)
        case "image_url" if field.image_url is not None:
            return _linked("image", field.image_url, f"{at}.image_url", cache)
        case "video_url" if field.video_url is not None:
            return _linked("video", field.video_url, f"{at}.video_url", cache)
        case "input_audio" if field.input_audio is not None:
            kind = _AUDIO_TYPES.get(field.input_audio.format, f"audio/{field.input_audio.format}")
            return Media("audio", f"{at}.input_audio", data=field.input_audio.data, media_type=kind, cache=cache)
        case "file" if field.file is not None:
            return _file(field, at, cache)
        case "thinking" if isinstance(field.thinking, str):
            return Reasoning(field.thinking)
        case "text" | "refusal" | "image_url" | "video_url" | "input_audio" | "file":
            raise InvalidRequest(f"{at}.{field.type} is required for this type.", param=f"{at}.{field.type}")
    raise InvalidRequest(
        f"{at}.type must be text, image_url, input_audio, file, video_url or refusal.", param=f"{at}.type"
    )


def _linked(kind: str, field: UrlField | str, at: str, cache: CacheControl | None) -> Media:
    """A medium by its address; some clients leave out the object around it."""
    if isinstance(field, str):
        return read_media(kind, field, at, cache=cache)
    return read_media(kind, field.url, f"{at}.url", detail=field.detail or "", cache=cache)


def _file(field: PartField, at: str, cache: CacheControl | None) -> Media:
    file = field.file
    if file is None or file.file_data is None:
        raise InvalidRequest(
            f"{at}.file.file_id names a file kept by one provider; send file_data instead.", param=f"{at}.file.file_id"
        )
    media = read_media("document", file.file_data, f"{at}.file.file_data", cache=cache)
    return msgspec.structs.replace(media, name=file.filename or "")


def _call(field: CallField, at: str) -> ToolCall:
    if field.function is None:
        raise Unprocessable(f"{at}.type: only function calls are supported here.", param=f"{at}.type")
    extra = field.extra_content if isinstance(field.extra_content, dict) else {}
    google = extra.get("google")
    signature = google.get("thought_signature", "") if isinstance(google, dict) else ""
    return ToolCall(
        field.id, field.function.name, field.function.arguments, at, str(signature), cache_control(field.cache_control)
    )


def _tool_result(field: MessageField, at: str) -> ToolResult:
    call_id = require(field.tool_call_id, f"{at}.tool_call_id")
    parts = tuple(part for part in _content(field.content, at) if isinstance(part, Text | Media))
    return ToolResult(call_id, parts, at, name=field.name or "")


def _reasoning_parts(field: MessageField) -> list[Part]:
    if field.reasoning_details:
        return [_detail(detail) for detail in field.reasoning_details]
    text = field.reasoning_content or field.reasoning
    return [Reasoning(text)] if text else []


def _detail(field: ReasoningDetailField) -> Reasoning:
    origin = _ORIGINS.get(field.format or "", "")
    if field.type == "reasoning.encrypted":
        return Reasoning(data=field.data or "", id=field.id or "", form="encrypted", origin=origin)
    form = "summary" if field.type == "reasoning.summary" else "text"
    text = field.summary if form == "summary" else field.text
    return Reasoning(text or "", field.signature or "", id=field.id or "", form=form, origin=origin)


def _tool(field: ToolField, at: str) -> Tool:
    function = field.function
    if field.type != "function" or function is None:
        raise Unprocessable(f"{at}.type: only function tools are supported here.", param=f"{at}.type")
    return Tool(
        function.name,
        function.description or "",
        given(function.parameters),
        function.strict,
        cache_control(field.cache_control),
        at,
    )


def _tool_choice(fields: ChatFields) -> ToolChoice | None:
    choice = fields.tool_choice
    if choice is None:
        return None
    if isinstance(choice, str):
        return ToolChoice("required" if choice == "any" else choice)
    if choice.function is None:
        raise Unprocessable("tool_choice: only a named function is supported here.", param="tool_choice.type")
    return ToolChoice("named", choice.function.name)


def _response_format(fields: ChatFields) -> ResponseFormat | None:
    wanted = fields.response_format
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return ResponseFormat("json_object")
    if wanted.type != "json_schema" or wanted.json_schema is None:
        raise InvalidRequest(
            "response_format.json_schema is required for this type.", param="response_format.json_schema"
        )
    schema = wanted.json_schema
    return ResponseFormat("json_schema", schema.name, given(schema.schema), schema.description or "", schema.strict)


def read_reasoning(fields: ChatFields) -> ReasoningControl | None:
    """How much the model shall think; None when the client does not say."""
    wanted = fields.reasoning
    check_effort("reasoning_effort", fields.reasoning_effort)
    effort = fields.reasoning_effort or ""
    if wanted is None:
        return ReasoningControl(effort=effort) if effort and effort != "default" else None
    check_effort("reasoning.effort", wanted.effort)
    return ReasoningControl(
        effort=wanted.effort or effort,
        max_tokens=wanted.max_tokens,
        enabled=wanted.enabled,
        exclude=bool(wanted.exclude),
        summary=wanted.summary or "",
    )


def _sampling(fields: ChatFields, top: dict[str, msgspec.Raw]) -> Sampling:
    return Sampling(
        temperature=fields.temperature,
        top_p=fields.top_p,
        top_k=fields.top_k,
        min_p=fields.min_p,
        top_a=fields.top_a,
        frequency_penalty=fields.frequency_penalty,
        presence_penalty=fields.presence_penalty,
        repetition_penalty=fields.repetition_penalty,
        seed=fields.seed,
        logprobs=fields.logprobs,
        top_logprobs=fields.top_logprobs,
        logit_bias=top.get("logit_bias") if fields.logit_bias else None,
    )
