"""Counting the tokens of a prompt: by the provider where the format is its own, else by our estimate, which says so."""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.translation.adapters.anthropic_messages import PATH
from handlers.translation.adapters.base import Built
from handlers.translation.adapters.gemini import method_path
from handlers.translation.canonical.attempt import Asked, UpstreamRequest
from handlers.translation.canonical.estimate import estimate_request
from handlers.translation.canonical.usage import NO_USAGE
from handlers.translation.dialects.anthropic_parse import decode_messages, parse_messages
from handlers.translation.dialects.base import client_body
from handlers.translation.dialects.google_fields import camel_body
from handlers.translation.dialects.google_parse import parse_generate
from handlers.translation.operations.base import Answered, edit_body, post
from handlers.translation.passthrough.anthropic_messages import protocol_headers

_encode = msgspec.json.Encoder().encode


class _AnthropicCount(msgspec.Struct):
    input_tokens: int


class _GeminiCount(msgspec.Struct, rename="camel"):
    total_tokens: int = 0


_ANTHROPIC = msgspec.json.Decoder(_AnthropicCount)
_GEMINI = msgspec.json.Decoder(_GeminiCount)
_COUNTED_BY_VERTEX = frozenset({"contents", "systemInstruction", "tools", "generationConfig"})
_REQUEST = _COUNTED_BY_VERTEX | {"toolConfig", "safetySettings"}


class AnthropicCounting:
    """Anthropic's dialect at Anthropic."""

    def build(self, asked: Asked) -> Built:
        """The client's body under the provider's model name."""
        decode_messages(client_body(asked), counting=True)
        headers, warnings = protocol_headers(asked)
        body = edit_body(asked)
        body.pop("max_tokens", None)
        body.pop("stream", None)
        upstream = UpstreamRequest("POST", f"{PATH}/count_tokens", headers, _encode(body), streams=False)
        return Built(upstream, tuple(warnings))

    def read(self, body: bytes, content_type: str, asked: Asked) -> Answered:
        """The count; counting costs nothing."""
        del content_type, asked
        _ANTHROPIC.decode(body)
        return Answered(body, NO_USAGE)


class GeminiCounting:
    """Google's dialect at Gemini."""

    def build(self, asked: Asked) -> Built:
        """The client's contents; the model stands in the path.

        AI Studio wants everything but contents wrapped as the request that is counted, Vertex wants nothing wrapped.
        """
        fields = {name: value for name, value in _counted(asked).items() if name in _REQUEST}
        if "counts_unwrapped" in asked.upstream.quirks:
            fields = {name: value for name, value in fields.items() if name in _COUNTED_BY_VERTEX}
        elif fields.keys() != {"contents"}:
            fields = {"generateContentRequest": fields | {"model": f"models/{asked.upstream.upstream_model}"}}
        return post(method_path(asked.upstream, streams=False, method="countTokens"), fields)

    def read(self, body: bytes, content_type: str, asked: Asked) -> Answered:
        """The count; counting costs nothing."""
        del content_type, asked
        _GEMINI.decode(body)
        return Answered(body, NO_USAGE)


def _counted(asked: Asked) -> dict[str, Any]:
    """The request that Google's dialect wants counted: wrapped, or standing by itself."""
    body = camel_body(asked.body)
    inner = body.get("generateContentRequest")
    return inner if isinstance(inner, dict) else body


def estimate_count(asked: Asked) -> bytes:
    """Our own count, in the client's dialect.

    Raises:
        InvalidRequest, Unprocessable: as for the conversation that is counted.
    """
    if asked.dialect == "google_generate":
        client = msgspec.structs.replace(client_body(asked), body=_encode(_counted(asked)))
        return _encode({"totalTokens": max(1, estimate_request(parse_generate(client)))})
    request = parse_messages(client_body(asked), counting=True)
    return _encode({"input_tokens": max(1, estimate_request(request))})
