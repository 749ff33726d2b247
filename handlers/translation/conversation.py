"""One attempt at a conversation: builds the upstream request, then picks the delivery that its answer needs.

dialect is the wire format   the request is edited, not rebuilt (passthrough)
and both sides stream    frames go through (RawStream), unless the provider's answers need normalising
and neither streams      the body goes through (RawWhole), likewise
and only the provider    the body is put together from the frames (RawAssembled), likewise
everything else              events, encoded (EncodedDelivery)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from handlers.errors import FailureClass
from handlers.translation.adapters.decoding import UNREADABLE
from handlers.translation.canonical.attempt import NOTHING, Asked, Outcome, Output, UpstreamRequest
from handlers.translation.canonical.estimate import estimate_request
from handlers.translation.canonical.kept_whole import lost_field, whole_setting
from handlers.translation.canonical.usage import NO_USAGE, Usage
from handlers.translation.deliveries import Delivery, EncodedDelivery, ErrorDelivery, RawStream, answer_context
from handlers.translation.dialects.base import JSON_TYPE, STREAM_TYPE, client_body
from handlers.translation.padding import HEADER as PADDING
from handlers.translation.passthrough.base import Draft, Relay, alias_names
from handlers.translation.raw_assembled import RawAssembled
from handlers.translation.raw_whole import RawWhole
from handlers.translation.registry import ADAPTERS, DIALECTS, RELAYS

NORMALISE: Final = "normalise_answers"
"""Quirk: the provider's answers break the format that it says it speaks, so they are decoded and encoded again."""
_WHITE: Final = b" \t\r\n"
_JSON_BEGINS: Final = (b"{", b"[")


def _whole_if_need_be(asked: Asked) -> Asked:
    """The provider is not asked for a stream that would carry less than the one body that the client wants."""
    if asked.stream or not asked.streams_upstream:
        return asked
    upstream = asked.upstream
    try:
        whole = whole_setting(asked.dialect, upstream.provider, asked.body)
    except UNREADABLE:
        return asked  # whoever parses the body says what is wrong with it
    if not whole and NORMALISE not in upstream.quirks:
        whole = lost_field(asked.dialect, upstream.wire_format, upstream.provider, upstream.upstream_model)
    return msgspec.structs.replace(asked, upstream_stream=False) if whole else asked


class Conversation:
    """A `Translation` for operation `chat`."""

    answer: Output | None = None
    """A conversation always asks the provider."""

    def __init__(self, asked: Asked, draft: Draft | None = None) -> None:
        """`draft`: of the request, where that is under way already: then there is time to make ready for a stream."""
        self._asked = asked if draft else _whole_if_need_be(asked)
        self._dialect = DIALECTS[asked.dialect]
        self._relay = RELAYS.get((asked.dialect, asked.upstream.wire_format))
        self.content_type = self._dialect.stream_type(asked.target) if asked.stream else JSON_TYPE
        """Of the client's response."""
        self._draft = draft or self._make_draft()
        self._expected = self._deliver(streams=True) if draft else None
        """Takes the answer if it is a stream."""
        self._delivery: Delivery | None = None
        self._status = 0

    @property
    def upstream(self) -> UpstreamRequest:
        """The request to send."""
        return self._draft.built.upstream

    @property
    def padded(self) -> bool:
        """The client wants its stream padded."""
        asked = self._asked
        if not asked.stream:
            return False
        headers = asked.client_headers
        return self._draft.padded or bool(headers and headers.get(PADDING) == "on")

    @property
    def warnings(self) -> tuple[str, ...]:
        """Dropped or adapted parameters."""
        left_out = self._asked.left_out
        return self._draft.built.warnings + (tuple(f"dropped:{name}" for name in left_out) if left_out else ())

    @property
    def usage(self) -> Usage:
        """Cumulative so far."""
        return self._delivery.usage if self._delivery else NO_USAGE

    @property
    def outcome(self) -> Outcome:
        """How the attempt ended."""
        delivery = self._delivery
        if delivery is None:
            return Outcome(failure=FailureClass.CONNECT)
        failed = delivery.failed
        return Outcome(
            usage=delivery.usage,
            failure=failed.failure if failed else None,
            upstream_status=self._status,
            retry_after_ms=failed.retry_after_ms if failed else 0,
            finish_reason="error" if failed else delivery.finish_reason,
            param=failed.param if failed else "",
            message=failed.message if failed else "",
            semantic=delivery.semantic,
            upstream_model=delivery.upstream_model,
            response_id=delivery.response_id,
            ignored_bytes=delivery.ignored_bytes,
            unrecognized=delivery.unrecognized,
            minted=delivery.minted,
        )

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of the upstream's answer."""
        self._status = status
        if not 200 <= status < 300:
            self._delivery = ErrorDelivery(status, headers)
        elif "text/html" in headers.get("content-type", ""):
            self._delivery = ErrorDelivery(502, headers)

    def receive_data(self, data: bytes) -> Output:
        """The next bytes of the upstream's answer."""
        if self._delivery is not None:
            return self._delivery.receive_data(data)
        data = data.lstrip(_WHITE)  # some providers keep a connection alive with blank lines
        if not data:
            return NOTHING
        streams = not data.startswith(_JSON_BEGINS)
        self._delivery = delivery = (self._expected if streams else None) or self._deliver(streams=streams)
        return delivery.receive_data(data)

    def receive_eof(self) -> Output:
        """The upstream's answer is over."""
        if self._delivery is None:
            self._delivery = self._deliver(streams=True)
        return self._delivery.finish()

    def fail(self, failure: FailureClass) -> Output:
        """The transport failed or a deadline passed."""
        if self._delivery is None:
            self._delivery = self._deliver(streams=True)
        return self._delivery.fail(failure)

    def _make_draft(self) -> Draft:
        return self._relay.draft(self._asked) if self._relay else self._build()

    def _build(self) -> Draft:
        """The upstream request by way of the canonical one."""
        asked = self._asked
        request = self._dialect.parse(client_body(asked))
        cap = request.output_tokens_max
        if asked.output_tokens_max:
            cap = min(cap or asked.output_tokens_max, asked.output_tokens_max)
        extensions = dict(request.extensions)
        alias_names(extensions, asked)
        sent = msgspec.structs.replace(
            request,
            output_tokens_max=cap,
            stream=asked.streams_upstream,
            user=asked.alias(request.user),
            cache_key=asked.alias(request.cache_key) if asked.stateless else request.cache_key,
            extensions=extensions,
        )
        return Draft(
            built=ADAPTERS[asked.upstream.wire_format].build_request(sent, asked.upstream),
            include_usage=request.include_usage,
            prompt_tokens=estimate_request(request),
            output_tokens_max=cap or 0,
            exclude_reasoning=bool(request.reasoning and request.reasoning.exclude),
            request=request,
            padded=request.padded,
        )

    def _deliver(self, *, streams: bool) -> Delivery:
        """The way for an answer that is a stream, or one body: its first byte tells, whatever its head says."""
        asked, draft = self._asked, self._draft
        relay = self._relay
        if relay is not None and NORMALISE not in asked.upstream.quirks and not draft.exclude_reasoning:
            if not streams and not asked.stream:
                return RawWhole(relay, draft, asked.public_model)
            if streams and (not asked.stream or self.content_type == STREAM_TYPE):
                return self._deliver_frames(relay)
        adapter = ADAPTERS[asked.upstream.wire_format]
        events = adapter.decoder(streams=streams, target=asked.upstream, prompt_tokens=draft.prompt_tokens)
        if draft.output_tokens_max:
            events.writer.limit_output(draft.output_tokens_max)
        return EncodedDelivery(events, self._dialect, answer_context(asked, draft), draft.built, stream=asked.stream)

    def _deliver_frames(self, relay: Relay) -> Delivery:
        """The way for a stream whose frames go through, or are put together to one body."""
        asked, draft = self._asked, self._draft
        decoder = relay.decoder(streams=True, prompt_tokens=draft.prompt_tokens)
        if draft.output_tokens_max:
            decoder.writer.limit_output(draft.output_tokens_max)
        if asked.stream:
            return RawStream(relay, decoder, asked, draft, self._dialect)
        return RawAssembled(relay, decoder, relay.assembler(asked.upstream.provider), asked.public_model)
