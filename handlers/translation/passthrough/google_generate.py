"""Gemini from client to provider, edited as little as possible. The model stands in the path, so the body keeps its own."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from handlers.translation.adapters.base import Built
from handlers.translation.adapters.gemini import method_path
from handlers.translation.adapters.gemini_decoder import GeminiDecoder
from handlers.translation.assembly.generate import GenerateAssembler
from handlers.translation.canonical.attempt import Asked, UpstreamRequest
from handlers.translation.canonical.estimate import MEDIA_TOKENS, MESSAGE_TOKENS, estimate_tokens
from handlers.translation.dialects.base import client_body
from handlers.translation.dialects.google_fields import ContentField, GenerateFields
from handlers.translation.dialects.google_parse import decode_generate
from handlers.translation.passthrough.base import Draft, Relay

_GATEWAY_FIELDS = ("model", "models", "provider", "route", "session_id", "sessionId", "trace")
_encode = msgspec.json.Encoder().encode


class GenerateRelay(Relay):
    """The format's own edits."""

    model_key: ClassVar[str] = "modelVersion"
    holds_last: ClassVar[bool] = True

    def draft(self, asked: Asked) -> Draft:
        """The cap is ours to set; fields that steered the gateway go no further."""
        fields, body = decode_generate(client_body(asked))
        for name in _GATEWAY_FIELDS:
            body.pop(name, None)
        config = fields.generation_config
        cap = (config.max_output_tokens or 0) if config else 0
        if asked.output_tokens_max:
            cap = min(cap or asked.output_tokens_max, asked.output_tokens_max)
            body["generationConfig"] = (body.get("generationConfig") or {}) | {"maxOutputTokens": cap}
        upstream = UpstreamRequest(
            "POST",
            method_path(asked.upstream, streams=asked.streams_upstream),
            (("content-type", "application/json"),),
            _encode(body),
            streams=asked.streams_upstream,
        )
        return Draft(Built(upstream), include_usage=True, prompt_tokens=_estimate(fields), output_tokens_max=cap)

    def decoder(self, *, streams: bool, prompt_tokens: int) -> GeminiDecoder:
        """Observes the answer."""
        return GeminiDecoder(streams=streams, prompt_tokens=prompt_tokens)

    def assembler(self, provider: str) -> GenerateAssembler:
        """Puts a whole answer together from a stream."""
        del provider
        return GenerateAssembler()


def _estimate(fields: GenerateFields) -> int:
    contents = fields.contents if isinstance(fields.contents, list) else [fields.contents]
    if isinstance(fields.system_instruction, ContentField):
        contents = [fields.system_instruction, *contents]
    return sum(MESSAGE_TOKENS + _content_tokens(content) for content in contents)


def _content_tokens(content: ContentField) -> int:
    tokens = 0
    for part in content.parts:
        tokens += MEDIA_TOKENS if part.inline_data or part.file_data else estimate_tokens(part.text or "")
        if part.function_response is not None:
            tokens += estimate_tokens(_encode(part.function_response.response).decode())
    return tokens
