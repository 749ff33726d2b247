"""Kinds of requests: what does not depend on the single one is worked out when the first of its kind comes.

A kind is what the gateway's terms say: an endpoint, a dialect, streamed or not, in whose name. Of the head that requests
of a kind have in common the last one is kept, as long as it is made with our own credential: a customer's lives no longer
than its request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from handlers.catalog.entries import Endpoint, Provider
from handlers.provider.sigv4 import Headers
from handlers.telemetry.logs import Identifier, identifier
from handlers.translation.canonical.attempt import Asked, UpstreamRequest, UpstreamTarget
from handlers.translation.canonical.parameters import taken
from handlers.translation.short_way import short_way
from handlers.transport.limits import CallDeadlines
from handlers.transport.requests import RequestHead
from handlers.transport.wire import WireDeadlines, WireRequest, WireTerms

ANSWER_BYTES_MIN: Final = 1024 * 1024
ANSWER_BYTES_PER_TOKEN: Final = 4096
"""A streamed token with its envelope and twenty alternatives; what A52 bounds is what an upstream can make us carry."""
ANSWER_BYTES_MAX: Final = 256 * 1024 * 1024
MEDIA_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of an answer that is counted in something else than tokens: images, speech, embeddings."""
CONSTANT_HEADERS: Final = [(b"accept-encoding", b"identity"), (b"user-agent", b"TheRouter")]
BYOK: Final = "byok"
_replace: Final = msgspec.structs.replace


@dataclass(frozen=True)
class ServedEndpoint:
    """One endpoint of this pod's provider, as its requests need it."""

    target: UpstreamTarget
    model: Identifier
    output_tokens_max: int

    @classmethod
    def of(cls, provider: Provider, endpoint: Endpoint) -> ServedEndpoint:
        """What the catalogue says, in translation's terms."""
        able = endpoint.capabilities
        wire_format, quirks = endpoint.wire_format or provider.wire_format, provider.quirks | endpoint.quirks
        target = UpstreamTarget(
            wire_format=wire_format,
            upstream_model=endpoint.upstream_model,
            provider=provider.slug,
            provider_name=provider.name,
            quirks=quirks,
            parameters=taken(wire_format, quirks, provider.lacks, relayed=True),
            tools=able.tools,
            vision=able.vision,
            files=able.files,
            audio=able.audio,
            json_schema=able.json_schema,
            reasoning=able.reasoning,
            context_tokens=able.context_tokens,
            output_tokens_max=able.output_tokens_max,
        )
        return cls(target, identifier(endpoint.model), able.output_tokens_max)

    def answer_bytes_max(self, operation: str) -> int:
        """How long an upstream's answer may become."""
        if operation not in {"chat", "completions"}:
            return MEDIA_BYTES_MAX
        return min(ANSWER_BYTES_MIN + ANSWER_BYTES_PER_TOKEN * self.output_tokens_max, ANSWER_BYTES_MAX)


class Address(NamedTuple):
    """Where the provider is called."""

    origin: str
    path: str
    """What stands before every path of an endpoint."""

    @classmethod
    def of(cls, base_url: str) -> Address:
        """The parts of `https://host/v1`."""
        parts = urlsplit(base_url)
        return cls(f"{parts.scheme}://{parts.netloc}", parts.path)

    def head(self, upstream: UpstreamRequest, signature: Headers) -> RequestHead:
        """The head of one request. Raises ValueError when it would not be well-formed."""
        headers = [(name.encode(), value.encode("latin-1")) for name, value in (*upstream.headers, *signature)]
        target = (self.path + upstream.path).encode()
        return RequestHead(self.origin, upstream.method.encode(), target, headers + CONSTANT_HEADERS)


class Kind:
    """One kind of request at one endpoint."""

    __slots__ = (
        "_address",
        "_asked",
        "_asked_whole",
        "_deadlines",
        "_head",
        "_head_made_of",
        "_keeps_head",
        "answer_bytes_max",
        "endpoint",
        "short_way",
    )

    def __init__(self, terms: WireTerms, endpoint: ServedEndpoint, address: Address) -> None:
        self._address = address
        self._asked = Asked(
            dialect=terms.dialect,
            operation=terms.operation,
            upstream=endpoint.target,
            body=b"",
            content_type=terms.content_type,
            target=terms.target,
            client_headers=terms.client_headers,
            public_model=terms.public_model,
            stream=terms.stream,
            stateless=terms.stateless or terms.credential != BYOK,
            output_tokens_max=0,
            upstream_stream=terms.upstream_stream,
            now_s=0,
            response_id="",
        )
        self._asked_whole: Asked | None = None
        self._deadlines = {streams: _call_deadlines(terms.deadlines, streams=streams) for streams in (False, True)}
        self._keeps_head = terms.credential != BYOK
        self._head_made_of: tuple[object, ...] = ()
        self._head: RequestHead
        self.endpoint = endpoint
        self.short_way = None if terms.require_parameters else short_way(self._asked)
        """For requests whose cap is the client's own."""
        self.answer_bytes_max = endpoint.answer_bytes_max(terms.operation)

    def ask(self, request: WireRequest, body: bytes, now_s: float, *, whole: bool = False) -> Asked:
        """One request of this kind, for translation; `whole`: the provider refuses to stream."""
        if whole and self._asked_whole is None:
            target = self.endpoint.target
            upstream = _replace(target, quirks=target.quirks | {"no_streaming"})
            self._asked_whole = _replace(self._asked, upstream=upstream)
        return _replace(
            (whole and self._asked_whole) or self._asked,
            body=body,
            output_tokens_max=request.output_tokens_max,
            now_s=int(now_s),
            response_id=request.request_id,
            kept=request.kept,
            account=request.account,
        )

    def head(self, upstream: UpstreamRequest, signature: Headers) -> RequestHead:
        """The head to send: the one before, if it would be the same. Raises ValueError when it would not be well-formed."""
        if not self._keeps_head:
            return self._address.head(upstream, signature)
        made_of = (upstream.method, upstream.path, upstream.headers, signature)
        if made_of != self._head_made_of:
            self._head = self._address.head(upstream, signature)
            self._head_made_of = made_of
        return self._head

    def deadlines(self, request: WireRequest, *, streams: bool) -> CallDeadlines:
        """The clocks of bytes for one request of this kind."""
        if request.elapsed_ms:
            return _call_deadlines(request.deadlines, streams=streams)
        return self._deadlines[streams]


def _call_deadlines(deadlines: WireDeadlines, *, streams: bool) -> CallDeadlines:
    """An answer that is no stream sends nothing, not even its head, before it is whole."""
    headers_ms = deadlines.headers_ms if streams else deadlines.whole_ms or deadlines.total_ms
    return CallDeadlines(deadlines.connect_ms, headers_ms, deadlines.between_bytes_ms, deadlines.total_ms)
