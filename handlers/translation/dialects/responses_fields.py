"""The fields of an OpenAI Responses request."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Raw

from handlers.errors import InvalidRequest
from handlers.translation.canonical.plain_messages import MESSAGES_MAX
from handlers.translation.dialects.reading import (
    GATEWAY_FIELDS,
    OUTPUT_TOKENS_MAX,
    TOOLS_MAX,
    check_length,
    check_range,
    kept_elsewhere,
)

# Fields that name what a provider keeps between requests.
STATE_FIELDS = ("previous_response_id", "conversation", "prompt", "background")


class PartField(msgspec.Struct):
    """One content part, of any type."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    input_audio: Any = None


class ItemField(msgspec.Struct):
    """One input item, of any type."""

    type: str = "message"
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: str | list[PartField] | None = None
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | Any = None
    output: str | list[PartField] | Any = None
    summary: list[PartField] | None = None
    encrypted_content: str | None = None


class ToolField(msgspec.Struct):
    """One tool, of any type."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: Raw = Raw()
    strict: bool | None = None


class ToolChoiceField(msgspec.Struct):
    """`tool_choice` as an object."""

    type: str
    name: str | None = None
    mode: Literal["auto", "required"] | None = None
    tools: list[dict[str, Any]] | None = None


class FormatField(msgspec.Struct):
    """`text.format`."""

    type: Literal["text", "json_object", "json_schema"]
    name: str = "response"
    schema: Raw = Raw()
    description: str | None = None
    strict: bool | None = None


class TextField(msgspec.Struct):
    """`text`."""

    format: FormatField | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningField(msgspec.Struct):
    """`reasoning`."""

    effort: str | None = None
    summary: str | None = None


class ResponsesFields(msgspec.Struct):
    """The body."""

    input: str | list[ItemField] | None = None
    model: str | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    tools: list[ToolField] | None = None
    tool_choice: str | ToolChoiceField | None = None
    parallel_tool_calls: bool | None = None
    text: TextField | None = None
    reasoning: ReasoningField | None = None
    include: list[str] | None = None
    store: bool | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None
    background: bool | None = None
    truncation: str | None = None
    max_tool_calls: int | None = None
    safety_identifier: str | None = None
    stream_options: Any = None
    context_management: Any = None
    client_metadata: Any = None


KNOWN_FIELDS = frozenset(ResponsesFields.__struct_fields__) | GATEWAY_FIELDS


def check_fields(fields: ResponsesFields) -> None:
    """Ranges and sizes, after the types.

    Raises:
        InvalidRequest: naming the field and the limit.
    """
    if fields.input is None and fields.prompt is None:
        raise InvalidRequest("input is required.", param="input")
    if isinstance(fields.input, list):
        check_length("input", len(fields.input), MESSAGES_MAX, 0 if fields.prompt else 1)
    check_length("tools", len(fields.tools or ()), TOOLS_MAX)
    check_range("max_output_tokens", fields.max_output_tokens, 1, OUTPUT_TOKENS_MAX)
    check_range("temperature", fields.temperature, 0, 2)
    check_range("top_p", fields.top_p, 0, 1)
    check_range("top_logprobs", fields.top_logprobs, 0, 20)
    if isinstance(fields.tool_choice, str) and fields.tool_choice not in {"auto", "none", "required"}:
        raise InvalidRequest("tool_choice must be auto, none, required or an object.", param="tool_choice")


def refuse_state(fields: ResponsesFields) -> None:
    """Refuse ids of objects that the provider keeps.

    Raises:
        InvalidRequest: naming the field.
    """
    for name in STATE_FIELDS:
        if getattr(fields, name):
            raise kept_elsewhere(name)
    for number, item in enumerate(fields.input if isinstance(fields.input, list) else ()):
        if item.type == "item_reference":
            raise kept_elsewhere(f"input[{number}].id")
        for place, part in enumerate(item.content if isinstance(item.content, list) else ()):
            if part.file_id is not None:
                raise kept_elsewhere(f"input[{number}].content[{place}].file_id")
