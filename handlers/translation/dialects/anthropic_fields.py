"""The fields of an Anthropic Messages request."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw

from handlers.errors import InvalidRequest
from handlers.translation.canonical.plain_messages import MESSAGES_MAX
from handlers.translation.dialects.reading import (
    OUTPUT_TOKENS_MAX,
    TOOLS_MAX,
    CacheField,
    check_length,
    check_range,
    kept_elsewhere,
    read_stops,
)

# Fields that steer the gateway; it has read them, no provider of ours shall.
GATEWAY_FIELDS = frozenset({"models", "route", "provider", "fallbacks", "session_id", "trace", "plugins", "transforms"})


class SourceField(msgspec.Struct):
    """`source` of an image or a document."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: Any = None


class BlockField(msgspec.Struct):
    """One content block, of any type."""

    type: str
    text: str | None = None
    source: SourceField | Any = None
    id: str | None = None
    name: str | None = None
    input: Raw = Raw()
    tool_use_id: str | None = None
    content: Any = None
    is_error: bool | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    title: str | None = None
    file_id: str | None = None
    cache_control: CacheField | None = None


class MessageField(msgspec.Struct):
    """One turn."""

    role: Literal["user", "assistant", "system"]
    content: str | list[BlockField]


class ToolField(msgspec.Struct):
    """One tool; without a type, or `custom`, it is the client's own function."""

    type: str | None = None
    name: str | None = None
    description: str | None = None
    input_schema: Raw = Raw()
    strict: bool | None = None
    cache_control: CacheField | None = None


class ToolChoiceField(msgspec.Struct):
    """`tool_choice`."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingField(msgspec.Struct):
    """`thinking`."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: int | None = None
    display: str | None = None


class FormatField(msgspec.Struct):
    """`output_config.format`, or `output_format`."""

    type: str = "json_schema"
    schema: Raw = Raw()


class OutputConfigField(msgspec.Struct):
    """`output_config`."""

    effort: str | None = None
    format: FormatField | None = None


class MetadataField(msgspec.Struct):
    """`metadata`."""

    user_id: str | None = None


class MessagesFields(msgspec.Struct):
    """The body."""

    messages: Annotated[list[MessageField], Meta(min_length=1)]
    max_tokens: int | None = None
    model: str | None = None
    system: str | list[BlockField] | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    tools: list[ToolField] | None = None
    tool_choice: ToolChoiceField | None = None
    thinking: ThinkingField | None = None
    metadata: MetadataField | None = None
    output_config: OutputConfigField | None = None
    output_format: FormatField | None = None
    service_tier: str | None = None
    container: Any = None
    mcp_servers: list[Any] | None = None
    context_management: Any = None
    cache_control: CacheField | None = None


KNOWN_FIELDS = frozenset(MessagesFields.__struct_fields__) | GATEWAY_FIELDS


def check_fields(fields: MessagesFields, *, counting: bool = False) -> None:
    """Ranges and sizes, after the types; a request that only counts tokens needs no output cap.

    Raises:
        InvalidRequest: naming the field and the limit.
    """
    if fields.max_tokens is None and not counting:
        raise InvalidRequest("max_tokens is required.", param="max_tokens")
    check_length("messages", len(fields.messages), MESSAGES_MAX)
    check_length("tools", len(fields.tools or ()), TOOLS_MAX)
    check_range("max_tokens", fields.max_tokens, 1, OUTPUT_TOKENS_MAX)
    check_range("temperature", fields.temperature, 0, 1)
    check_range("top_p", fields.top_p, 0, 1)
    check_range("top_k", fields.top_k, 0, 1_000_000)
    read_stops("stop_sequences", fields.stop_sequences)
    if fields.thinking is not None:
        check_range("thinking.budget_tokens", fields.thinking.budget_tokens, 1, OUTPUT_TOKENS_MAX)


def refuse_state(fields: MessagesFields) -> None:
    """Refuse ids of objects that the provider keeps.

    Raises:
        InvalidRequest: naming the field.
    """
    if fields.container is not None:
        raise kept_elsewhere("container")
    for number, message in enumerate(fields.messages):
        blocks = message.content if isinstance(message.content, list) else []
        for place, block in enumerate(blocks):
            at = f"messages[{number}].content[{place}]"
            if block.file_id is not None:
                raise kept_elsewhere(f"{at}.file_id")
            if isinstance(block.source, dict) and block.source.get("file_id") is not None:
                raise kept_elsewhere(f"{at}.source.file_id")
