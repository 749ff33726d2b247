"""OpenAI Responses from client to provider, edited as little as possible, and never stored under shared credentials."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from handlers.translation.adapters.base import Built
from handlers.translation.adapters.openai_parameters import drop_parameters
from handlers.translation.adapters.openai_responses import PATH
from handlers.translation.adapters.responses_decoder import ResponsesDecoder
from handlers.translation.assembly.responses import ResponsesAssembler
from handlers.translation.canonical.attempt import Asked, UpstreamRequest
from handlers.translation.canonical.estimate import BYTES_PER_TOKEN, MEDIA_TOKENS, MESSAGE_TOKENS, estimate_tokens
from handlers.translation.dialects.base import client_body
from handlers.translation.dialects.reading import GATEWAY_FIELDS, decode_top, fields_beside
from handlers.translation.dialects.responses_fields import ItemField, ResponsesFields
from handlers.translation.dialects.responses_parse import decode_responses, wants_padding
from handlers.translation.passthrough.base import PADS_ITSELF, Draft, Relay, alias_names

_encode = msgspec.json.Encoder().encode
_INPUT_DETAILS = re.compile(rb'"input_tokens_details"\s*:\s*\{(?=\s*")')
# What OpenAI keeps under an id of its own, and refuses to know once it was told to store nothing.
_KEPT_IDS = ("rs_", "msg_", "fc_")


class ResponsesRelay(Relay):
    """The format's own edits."""

    def draft(self, asked: Asked) -> Draft:
        """Model, stream, cap and store are ours to set; fields that steered the gateway go no further."""
        fields = decode_responses(client_body(asked))
        top = decode_top(asked.body)
        body = fields_beside(top, GATEWAY_FIELDS)
        body["model"] = asked.upstream.upstream_model
        body["stream"] = asked.streams_upstream
        if asked.streams_upstream and not asked.stream and asked.upstream.provider in PADS_ITSELF:
            body["stream_options"] = {"include_obfuscation": False}
        cap = fields.max_output_tokens or 0
        if asked.output_tokens_max:
            cap = min(cap or asked.output_tokens_max, asked.output_tokens_max)
        if cap:
            body["max_output_tokens"] = cap
        warnings = []
        if asked.stateless:
            body["store"] = False
            warnings += ["dropped:store"] if fields.store else []
            warnings += _detach(body, fields)
        alias_names(body, asked)
        warnings += drop_parameters(body, asked.upstream)
        headers = (("content-type", "application/json"),)
        upstream = UpstreamRequest("POST", PATH, headers, _encode(body), streams=asked.streams_upstream)
        return Draft(
            Built(upstream, tuple(warnings)),
            include_usage=True,
            prompt_tokens=estimate_input(fields, top),
            output_tokens_max=cap,
            padded=wants_padding(fields),
        )

    def decoder(self, *, streams: bool, prompt_tokens: int) -> ResponsesDecoder:
        """Observes the answer."""
        return ResponsesDecoder(streams=streams, prompt_tokens=prompt_tokens)

    def assembler(self, provider: str) -> ResponsesAssembler:
        """Puts a whole answer together from a stream."""
        del provider
        return ResponsesAssembler()

    def patch(self, raw: bytes) -> bytes:
        """`cache_write_tokens` joined the details of the input later, and clients require it."""
        if b'"cache_write_tokens"' in raw:
            return raw
        return _INPUT_DETAILS.sub(rb'"input_tokens_details":{"cache_write_tokens":0,', raw)


def _detach(body: dict[str, Any], fields: ResponsesFields) -> list[str]:
    """Reasoning items without their encrypted content name something that was never stored: leave them out.

    The calls and messages that followed them must then not carry ids either, or they would be missed.
    """
    items = fields.input if isinstance(fields.input, list) else []
    if all(item.type != "reasoning" or item.encrypted_content for item in items):
        return []
    kept = []
    for item, raw in zip(items, msgspec.json.decode(bytes(body["input"])), strict=True):
        if item.type == "reasoning" and not item.encrypted_content:
            continue
        kept.append({k: v for k, v in raw.items() if k != "id" or not str(v).startswith(_KEPT_IDS)})
    body["input"] = kept
    return ["dropped:input.reasoning"]


def estimate_input(fields: ResponsesFields, top: dict[str, msgspec.Raw]) -> int:
    """Tokens of the prompt, roughly: texts, tools, and a flat number for each medium."""
    tools = top.get("tools")
    tokens = len(bytes(tools)) // BYTES_PER_TOKEN if tools is not None else 0
    tokens += estimate_tokens(fields.instructions or "")
    if isinstance(fields.input, str):
        return tokens + estimate_tokens(fields.input)
    return tokens + sum(MESSAGE_TOKENS + _item_tokens(item) for item in fields.input or ())


def _item_tokens(item: ItemField) -> int:
    tokens = sum(estimate_tokens(text) for text in (item.arguments, item.output) if isinstance(text, str))
    if isinstance(item.content, str):
        return tokens + estimate_tokens(item.content)
    for part in item.content or ():
        tokens += MEDIA_TOKENS if part.text is None else estimate_tokens(part.text)
    return tokens
