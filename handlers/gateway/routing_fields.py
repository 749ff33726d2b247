"""The fields at the top of a request body that the gateway reads, and those by which it would be steered elsewhere."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from handlers.gateway.preferences import Preferences

MODELS_MAX = 8

Cap = Annotated[int, Meta(ge=1, le=10_000_000)]
ModelName = Annotated[str, Meta(min_length=1, max_length=160)]


ABSENT = msgspec.Raw(b"")


class FallbackModel(msgspec.Struct, frozen=True):
    """One entry of `fallbacks`, as OpenRouter takes it on /v1/messages."""

    model: ModelName


class RoutingFields(msgspec.Struct, frozen=True):
    """The top-level fields that the gateway reads, over all JSON dialects."""

    model: ModelName | None = None
    models: Annotated[list[ModelName], Meta(max_length=MODELS_MAX)] | None = None
    fallbacks: Annotated[list[FallbackModel | ModelName], Meta(max_length=3)] | None = None
    route: Literal["fallback", "sort"] | None = None
    stream: bool | None = None
    max_tokens: Cap | None = None
    max_completion_tokens: Cap | None = None
    max_output_tokens: Cap | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    provider: Preferences | None = None
    session_id: Annotated[str, Meta(max_length=256)] | None = None
    prompt_cache_key: Annotated[str, Meta(max_length=256)] | None = None
    service_tier: Annotated[str, Meta(max_length=32)] | None = None
    tools: msgspec.Raw = ABSENT
    response_format: msgspec.Raw = ABSENT
    web_search_options: msgspec.Raw = ABSENT
    plugins: msgspec.Raw = ABSENT
    # Fields that would steer us elsewhere (A38, A47). Their only value is null; anything else names the field.
    api_base: None = None
    base_url: None = None
    api_key: None = None
    api_version: None = None
    custom_llm_provider: None = None
    extra_headers: None = None
    extra_body: None = None
    mock_response: None = None
    callbacks: None = None
    headers: None = None
    proxy: None = None


STEERING = frozenset(
    {"api_base", "base_url", "api_key", "api_version", "custom_llm_provider", "extra_headers", "extra_body",
     "mock_response", "callbacks", "headers", "proxy"}
)  # fmt: skip
