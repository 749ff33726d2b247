"""Anthropic Messages from client to provider, edited as little as possible."""

from __future__ import annotations

import msgspec

from handlers.translation.adapters.anthropic_decoder import AnthropicDecoder
from handlers.translation.adapters.anthropic_messages import PATH, VERSION
from handlers.translation.adapters.base import Built
from handlers.translation.assembly.messages import MessagesAssembler
from handlers.translation.canonical.attempt import Asked, UpstreamRequest
from handlers.translation.canonical.estimate import BYTES_PER_TOKEN, MEDIA_TOKENS, MESSAGE_TOKENS, estimate_tokens
from handlers.translation.dialects.anthropic_fields import GATEWAY_FIELDS, BlockField, MessagesFields
from handlers.translation.dialects.anthropic_parse import decode_messages
from handlers.translation.dialects.base import client_body
from handlers.translation.dialects.reading import decode_top, fields_beside
from handlers.translation.framing.sse import frame_bytes
from handlers.translation.passthrough.base import Draft, Relay

# Betas that keep something at the provider; never under shared credentials.
STATEFUL_BETAS = ("files-api", "skills", "code-execution", "message-batches", "mcp-client")
_encode = msgspec.json.Encoder().encode


class MessagesRelay(Relay):
    """The format's own edits."""

    def draft(self, asked: Asked) -> Draft:
        """Model, stream and cap are ours to set; fields that steered the gateway go no further."""
        fields = decode_messages(client_body(asked))
        top = decode_top(asked.body)
        body = fields_beside(top, GATEWAY_FIELDS)
        body["model"] = asked.upstream.upstream_model
        body["stream"] = asked.streams_upstream
        cap = fields.max_tokens or 0
        if asked.output_tokens_max:
            cap = min(cap, asked.output_tokens_max)
        body["max_tokens"] = cap
        if fields.metadata is not None and fields.metadata.user_id:
            body["metadata"] = {"user_id": asked.alias(fields.metadata.user_id)}
        headers, warnings = protocol_headers(asked)
        upstream = UpstreamRequest("POST", PATH, headers, _encode(body), streams=asked.streams_upstream)
        return Draft(
            Built(upstream, tuple(warnings)),
            include_usage=True,
            prompt_tokens=estimate_messages(fields, top),
            output_tokens_max=cap,
        )

    def decoder(self, *, streams: bool, prompt_tokens: int) -> AnthropicDecoder:
        """Observes the answer."""
        return AnthropicDecoder(streams=streams, prompt_tokens=prompt_tokens)

    def assembler(self, provider: str) -> MessagesAssembler:
        """Puts a whole answer together from a stream."""
        del provider
        return MessagesAssembler()

    def patch(self, raw: bytes) -> bytes:
        """`web_fetch_requests` joined `web_search_requests` later, and clients require both."""
        if b'"server_tool_use":{' not in raw or b'"web_fetch_requests"' in raw:
            return raw
        return raw.replace(b'"server_tool_use":{', b'"server_tool_use":{"web_fetch_requests":0,', 1)

    def closing(self) -> bytes:
        """The end marker."""
        return frame_bytes(b'{"type":"message_stop"}', "message_stop")


def protocol_headers(asked: Asked) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """Content type, version, and the betas that the client asked for and may have."""
    version = asked.client_headers.get("anthropic-version") or VERSION
    headers = [("content-type", "application/json"), ("anthropic-version", version)]
    asked_betas = [beta.strip() for beta in asked.client_headers.get("anthropic-beta", "").split(",") if beta.strip()]
    betas = [beta for beta in asked_betas if not (asked.stateless and beta.startswith(STATEFUL_BETAS))]
    if betas:
        headers.append(("anthropic-beta", ",".join(betas)))
    return tuple(headers), [f"dropped:anthropic-beta:{beta}" for beta in asked_betas if beta not in betas]


def estimate_messages(fields: MessagesFields, top: dict[str, msgspec.Raw]) -> int:
    """Tokens of the prompt, roughly: texts, tools, and a flat number for each medium."""
    tools = top.get("tools")
    tokens = len(bytes(tools)) // BYTES_PER_TOKEN if tools is not None else 0
    tokens += _content_tokens(fields.system or "")
    return tokens + sum(MESSAGE_TOKENS + _content_tokens(message.content) for message in fields.messages)


def _content_tokens(content: str | list[BlockField]) -> int:
    if isinstance(content, str):
        return estimate_tokens(content)
    tokens = 0
    for block in content:
        if block.source is not None:
            tokens += MEDIA_TOKENS
        tokens += estimate_tokens(block.text or block.thinking or "") + len(bytes(block.input)) // BYTES_PER_TOKEN
        if isinstance(block.content, str):
            tokens += estimate_tokens(block.content)
    return tokens
