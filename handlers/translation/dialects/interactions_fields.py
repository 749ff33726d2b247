"""The fields of a Google Interactions request: a conversation as steps, in snake_case throughout."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from handlers.errors import InvalidRequest
from handlers.translation.canonical.plain_messages import MESSAGES_MAX
from handlers.translation.dialects.reading import (
    OUTPUT_TOKENS_MAX,
    TOOLS_MAX,
    check_length,
    check_range,
    read_stops,
)

GATEWAY_FIELDS = frozenset({"models", "provider", "route", "session_id", "trace", "stream"})
STATE_FIELDS = ("previous_interaction_id", "background", "agent", "agent_config", "environment", "webhook_config")
"""What only works with interactions, agents or machines that Google keeps."""


class ContentField(msgspec.Struct):
    """Text or a medium."""

    type: str
    text: str | None = None
    data: str | None = None
    uri: str | None = None
    mime_type: str | None = None
    resolution: str | None = None
    annotations: Any = None


class StepField(msgspec.Struct):
    """One step, of any type; or one piece of content, where the input is a list of these."""

    type: str
    content: str | ContentField | list[ContentField] | None = None
    text: str | None = None
    data: str | None = None
    uri: str | None = None
    mime_type: str | None = None
    resolution: str | None = None
    signature: str | None = None
    summary: list[ContentField] | None = None
    id: str | None = None
    name: str | None = None
    arguments: Raw = Raw()
    call_id: str | None = None
    result: str | dict[str, Any] | list[Any] | None = None
    is_error: bool | None = None


class ToolField(msgspec.Struct):
    """One tool."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: Raw = Raw()


class AllowedField(msgspec.Struct):
    """`tool_choice.allowed_tools`."""

    mode: str | None = None
    tools: list[str] | None = None


class ChoiceField(msgspec.Struct):
    """`tool_choice` as an object."""

    allowed_tools: AllowedField | None = None


class ConfigField(msgspec.Struct):
    """`generation_config`."""

    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop_sequences: list[str] | None = None
    max_output_tokens: int | None = None
    thinking_level: str | None = None
    thinking_summaries: str | None = None
    tool_choice: str | ChoiceField | None = None
    speech_config: Any = None
    image_config: Any = None
    video_config: Any = None
    transcription_config: Any = None


class InteractionFields(msgspec.Struct):
    """The body."""

    input: str | StepField | list[StepField]
    model: str | None = None
    stream: bool | None = None
    store: bool | None = None
    system_instruction: str | None = None
    tools: list[ToolField] | None = None
    generation_config: ConfigField | None = None
    response_format: Raw = Raw()
    response_mime_type: str | None = None
    response_modalities: list[str] | None = None
    safety_settings: Any = None
    service_tier: str | None = None
    labels: Any = None
    previous_interaction_id: str | None = None
    background: bool | None = None
    agent: Any = None
    agent_config: Any = None
    environment: Any = None
    webhook_config: Any = None


KNOWN_FIELDS = frozenset(InteractionFields.__struct_encode_fields__) | GATEWAY_FIELDS


def check_fields(fields: InteractionFields) -> None:
    """Ranges and sizes, after the types; and nothing that Google would have to keep.

    Raises:
        InvalidRequest: naming the field and the limit, or the field and why it is not accepted.
    """
    for name in STATE_FIELDS:
        if getattr(fields, name):
            raise InvalidRequest(
                f"{name} relies on something kept between requests, and nothing is: send the whole conversation as `input` "
                "with `store: false`, and name a `model`.",
                code="stateful_field",
                param=name,
            )
    if isinstance(fields.input, list):
        check_length("input", len(fields.input), MESSAGES_MAX, 1)
    check_length("tools", len(fields.tools or ()), TOOLS_MAX)
    config = fields.generation_config
    if config is None:
        return
    check_range("generation_config.temperature", config.temperature, 0, 2)
    check_range("generation_config.top_p", config.top_p, 0, 1)
    check_range("generation_config.max_output_tokens", config.max_output_tokens, 1, OUTPUT_TOKENS_MAX)
    read_stops("generation_config.stop_sequences", config.stop_sequences)
