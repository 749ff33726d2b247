"""The fields of a chat completions request: OpenAI's, and OpenRouter's additions."""

from __future__ import annotations

from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw

from handlers.errors import InvalidRequest
from handlers.translation.canonical.plain_messages import MESSAGES_MAX
from handlers.translation.dialects.reading import (
    CHOICES_MAX,
    GATEWAY_FIELDS,
    OUTPUT_TOKENS_MAX,
    TOOLS_MAX,
    CacheField,
    check_length,
    check_range,
    read_stops,
)


class UrlField(msgspec.Struct):
    """`image_url`, `video_url`."""

    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class AudioField(msgspec.Struct):
    """`input_audio`."""

    data: str
    format: str


class FileField(msgspec.Struct):
    """`file`."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class PartField(msgspec.Struct):
    """One content part, of any type."""

    type: str
    text: str | None = None
    image_url: UrlField | str | None = None
    video_url: UrlField | str | None = None
    input_audio: AudioField | None = None
    file: FileField | None = None
    refusal: str | None = None
    thinking: Any = None
    cache_control: CacheField | None = None


class CallFunctionField(msgspec.Struct):
    """`function` of a tool call."""

    name: str
    arguments: str = ""


class CallField(msgspec.Struct):
    """A tool call in the history."""

    id: str
    function: CallFunctionField | None = None
    type: str = "function"
    extra_content: Any = None
    cache_control: CacheField | None = None


class ReasoningDetailField(msgspec.Struct):
    """One of OpenRouter's `reasoning_details`."""

    type: str
    text: str | None = None
    summary: str | None = None
    data: str | None = None
    signature: str | None = None
    id: str | None = None
    format: str | None = None


class MessageField(msgspec.Struct):
    """One message."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[PartField] | None = None
    name: str | None = None
    tool_calls: list[CallField] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[ReasoningDetailField] | None = None
    function_call: CallFunctionField | None = None
    audio: Any = None


class FunctionField(msgspec.Struct):
    """`function` of a tool."""

    name: str
    description: str | None = None
    parameters: Raw = Raw()
    strict: bool | None = None


class ToolField(msgspec.Struct):
    """One tool."""

    type: str = "function"
    function: FunctionField | None = None
    cache_control: CacheField | None = None


class NamedField(msgspec.Struct):
    """Something with a name."""

    name: str


class NamedToolField(msgspec.Struct):
    """`tool_choice` as an object."""

    type: str = "function"
    function: NamedField | None = None


class JsonSchemaField(msgspec.Struct):
    """`response_format.json_schema`."""

    name: str = "response"
    schema: Raw = Raw()
    description: str | None = None
    strict: bool | None = None


class FormatField(msgspec.Struct):
    """`response_format`."""

    type: Literal["text", "json_object", "json_schema", "grammar", "regex"]
    json_schema: JsonSchemaField | None = None


class StreamOptionsField(msgspec.Struct):
    """`stream_options`."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ReasoningField(msgspec.Struct):
    """OpenRouter's `reasoning`."""

    effort: str | None = None
    max_tokens: int | None = None
    exclude: bool | None = None
    enabled: bool | None = None
    summary: str | None = None


class ChatFields(msgspec.Struct):
    """The body. Fields that it does not list pass through, or are named as dropped."""

    messages: Annotated[list[MessageField], Meta(min_length=1)]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptionsField | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    top_a: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    stop: str | list[str] | None = None
    tools: list[ToolField] | None = None
    tool_choice: str | NamedToolField | None = None
    parallel_tool_calls: bool | None = None
    response_format: FormatField | None = None
    reasoning: ReasoningField | None = None
    reasoning_effort: str | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    prompt_cache_key: str | None = None
    modalities: list[str] | None = None
    functions: list[Any] | None = None
    function_call: Any = None
    audio: Raw = Raw()
    prediction: Raw = Raw()
    web_search_options: Raw = Raw()
    safety_identifier: str | None = None
    image_config: Raw = Raw()
    prompt_cache_retention: str | None = None
    cache_control: CacheField | None = None


KNOWN_FIELDS = frozenset(ChatFields.__struct_fields__) | GATEWAY_FIELDS


_RANGES = (
    ("max_tokens", 1, OUTPUT_TOKENS_MAX),
    ("max_completion_tokens", 1, OUTPUT_TOKENS_MAX),
    ("n", 1, CHOICES_MAX),
    ("temperature", 0, 2),
    ("top_p", 0, 1),
    ("min_p", 0, 1),
    ("top_a", 0, 1),
    ("top_k", -1, 1_000_000),
    ("frequency_penalty", -2, 2),
    ("presence_penalty", -2, 2),
    ("repetition_penalty", 0, 2),
    ("top_logprobs", 0, 20),
    ("seed", -(2**63), 2**63 - 1),
)
_ranged = attrgetter(*(name for name, _, _ in _RANGES))


def check_fields(fields: ChatFields) -> None:
    """Ranges and sizes, after the types.

    Raises:
        InvalidRequest: naming the field and the limit.
    """
    check_length("messages", len(fields.messages), MESSAGES_MAX)
    check_length("tools", len(fields.tools or ()), TOOLS_MAX)
    for value, (name, low, high) in zip(_ranged(fields), _RANGES, strict=True):
        if value is not None:
            check_range(name, value, low, high)
    read_stops("stop", fields.stop)
    if fields.reasoning is not None:
        check_range("reasoning.max_tokens", fields.reasoning.max_tokens, 0, OUTPUT_TOKENS_MAX)
    if isinstance(fields.tool_choice, str) and fields.tool_choice not in {"auto", "none", "required", "any"}:
        raise InvalidRequest("tool_choice must be auto, none, required or a named tool.", param="tool_choice")
