"""Chat completions from client to provider, edited as little as possible."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from handlers.translation.adapters.base import Built, PlainAnswer
from handlers.translation.adapters.openai_chat import PATH
from handlers.translation.adapters.openai_chat_decoder import OpenaiChatDecoder
from handlers.translation.adapters.openai_parameters import drop_parameters, reasoning_fields
from handlers.translation.adapters.openai_plain import read_plain
from handlers.translation.assembly.chat import ChatAssembler
from handlers.translation.canonical.attempt import Asked, UpstreamRequest
from handlers.translation.canonical.estimate import BYTES_PER_TOKEN, MEDIA_TOKENS, MESSAGE_TOKENS, estimate_tokens
from handlers.translation.canonical.known_sides import KnownSides
from handlers.translation.canonical.plain_messages import PlainCall, PlainMessage, decode_plain
from handlers.translation.dialects.openai_chat import DONE
from handlers.translation.dialects.openai_chat_fields import CallField, ChatFields, MessageField
from handlers.translation.dialects.openai_chat_parse import decode_chat, read_reasoning, wants_padding, wants_usage
from handlers.translation.dialects.reading import GATEWAY_FIELDS, decode_top, fields_beside
from handlers.translation.passthrough.adapted_messages import adapt_messages
from handlers.translation.passthrough.base import PADS_ITSELF, Draft, Relay, alias_names
from handlers.translation.passthrough.kept_objects import refuse_kept_fields, refuse_kept_objects
from handlers.translation.passthrough.known_settings import Settings, Terms, terms_of

_encode: Final = msgspec.json.Encoder().encode
_ANY_MESSAGES: Final = msgspec.Raw(b'[{"role":"user"}]')
_NOT_SETTINGS: Final = GATEWAY_FIELDS | {"messages"}
_HEADERS: Final = (("content-type", "application/json"),)


RawMessages = memoryview | msgspec.Raw | bytes
KnownBody = tuple[Settings, RawMessages, list[PlainMessage]]
"""What is known of a body: its settings, the messages to send, and these decoded."""


class ChatRelay(Relay):
    """The format's own edits."""

    def __init__(self) -> None:
        self._known = KnownSides[Terms, Settings]()

    def draft(self, asked: Asked) -> Draft:
        """Model, stream and usage options are ours to set; fields that steered the gateway go no further."""
        terms = terms_of(asked)
        known = self.find_known(terms, asked.body) if terms else None
        if known is not None:
            settings, raw, plain = known
            return known_draft(known_request(settings, raw, streams=asked.streams_upstream), settings, plain)
        fields, top, messages = _read(asked)
        settings = _settings(fields, top, asked)
        if terms:
            self._known.learn(terms, asked.body, settings)
        adapted = adapt_messages(messages, top["messages"], asked.upstream)
        upstream = known_request(settings, adapted, streams=asked.streams_upstream)
        return _draft(upstream, settings, messages_tokens(messages) + _tools_tokens(top))

    def find_known(self, terms: Terms, body: bytes) -> KnownBody | None:
        """A body with settings that are known under these terms and messages that are plain, read no further."""
        found = self._known.find(terms, body)
        if found is None:
            return None
        settings, raw = found
        messages = decode_plain(raw)
        if messages is None:
            return None
        return settings, adapt_messages(messages, raw, terms[0]), messages

    def decoder(self, *, streams: bool, prompt_tokens: int) -> OpenaiChatDecoder:
        """Observes the answer."""
        return OpenaiChatDecoder(streams=streams, prompt_tokens=prompt_tokens)

    def assembler(self, provider: str) -> ChatAssembler:
        """Puts a whole answer together from a stream."""
        return ChatAssembler(provider)

    def read_plain(self, data: bytes) -> PlainAnswer | None:
        """One choice, one text, a reason to stop and usage."""
        return read_plain(data)

    def is_hidden(self, decoder: OpenaiChatDecoder, draft: Draft) -> bool:
        """The usage chunk that only we asked for."""
        return decoder.usage_only and not draft.include_usage

    def closing(self) -> bytes:
        """The end marker."""
        return DONE


def _read(asked: Asked) -> tuple[ChatFields, dict[str, msgspec.Raw], list[PlainMessage] | list[MessageField]]:
    """The fields of a body, its top level, and its messages: plain ones are looked at once, all others with the rest."""
    top = decode_top(asked.body)
    if asked.stateless:
        refuse_kept_fields(top)
    plain = decode_plain(top["messages"]) if "messages" in top else None
    if plain is not None:
        return decode_chat(_encode({**top, "messages": _ANY_MESSAGES})), top, plain
    fields = decode_chat(asked.body)
    if asked.stateless:
        refuse_kept_objects(fields, top, asked.body)
    return fields, top, fields.messages


def known_draft(upstream: UpstreamRequest, settings: Settings, messages: list[PlainMessage]) -> Draft:
    """What the answer to the request for a known body needs to know."""
    return _draft(upstream, settings, messages_tokens(messages))


def _draft(upstream: UpstreamRequest, settings: Settings, prompt_tokens: int) -> Draft:
    return Draft(
        Built(upstream, settings.warnings),
        settings.include_usage,
        prompt_tokens,
        settings.output_tokens_max,
        settings.exclude_reasoning,
        padded=settings.padded,
    )


def known_request(settings: Settings, messages: RawMessages, *, streams: bool) -> UpstreamRequest:
    """The request for these messages under these settings."""
    body = b"".join((b'{"messages":', messages, settings.rest))
    return UpstreamRequest("POST", PATH, _HEADERS, body, streams)


def _settings(fields: ChatFields, top: dict[str, msgspec.Raw], asked: Asked) -> Settings:
    """Everything but the messages, edited."""
    body = fields_beside(top, _NOT_SETTINGS)
    if "provider_routing" in asked.upstream.quirks and "provider" in top:
        body["provider"] = top["provider"]
    body["model"] = asked.upstream.upstream_model
    _stream(body, fields, asked)
    output_tokens_max = _cap(body, fields, asked)
    warnings = _state(body, fields, asked)
    if "reasoning" in body or "reasoning_effort" in body:
        body.pop("reasoning", None)
        body.pop("reasoning_effort", None)
        body |= reasoning_fields(read_reasoning(fields), asked.upstream)
    alias_names(body, asked)
    warnings += drop_parameters(body, asked.upstream)
    return Settings(
        rest=b"," + _encode(body)[1:],
        warnings=tuple(warnings),
        include_usage=wants_usage(fields, top),
        output_tokens_max=output_tokens_max,
        exclude_reasoning=bool(fields.reasoning and fields.reasoning.exclude),
        padded=wants_padding(fields),
    )


def _stream(body: dict[str, Any], fields: ChatFields, asked: Asked) -> None:
    body.pop("stream_options", None)
    body["stream"] = asked.streams_upstream
    if asked.streams_upstream:
        options = body["stream_options"] = {"include_usage": True}
        padded = fields.stream_options.include_obfuscation if fields.stream_options else None
        if asked.upstream.provider in PADS_ITSELF and padded is not None:
            options["include_obfuscation"] = padded


def _cap(body: dict[str, Any], fields: ChatFields, asked: Asked) -> int:
    """The output cap under the provider's name for it; clamped to what the balance affords."""
    cap = fields.max_completion_tokens or fields.max_tokens
    if asked.output_tokens_max:
        cap = min(cap or asked.output_tokens_max, asked.output_tokens_max)
    if cap is not None:
        name = "max_completion_tokens" if "max_completion_tokens" in asked.upstream.quirks else "max_tokens"
        body.pop("max_tokens", None)
        body.pop("max_completion_tokens", None)
        body[name] = cap
    return cap or 0


def _state(body: dict[str, Any], fields: ChatFields, asked: Asked) -> list[str]:
    """Nothing is kept at the provider under shared credentials."""
    if not asked.stateless or "store" not in body:
        return []
    del body["store"]
    return ["dropped:store"] if fields.store else []


def messages_tokens(messages: list[MessageField] | list[PlainMessage]) -> int:
    """Tokens of the prompt, roughly: texts, calls, and a flat number for each medium."""
    tokens = MESSAGE_TOKENS * len(messages)
    for message in messages:
        content = message.content
        if isinstance(content, str):
            tokens += estimate_tokens(content)
        elif content:
            tokens += sum(MEDIA_TOKENS if part.text is None else estimate_tokens(part.text) for part in content)
        if message.tool_calls:
            tokens += _calls_tokens(message.tool_calls)
    return tokens


def _tools_tokens(top: dict[str, msgspec.Raw]) -> int:
    tools = top.get("tools")
    return len(bytes(tools)) // BYTES_PER_TOKEN if tools is not None else 0


def _calls_tokens(calls: list[CallField] | list[PlainCall]) -> int:
    return sum(estimate_tokens(call.function.arguments) for call in calls if call.function)
