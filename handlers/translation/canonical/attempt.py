"""The values that cross between a translation and whoever drives it: what to send, what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from handlers.errors import FailureClass
from handlers.translation.canonical.pseudonym import pseudonym
from handlers.translation.canonical.usage import NO_USAGE, Usage


class UpstreamTarget(msgspec.Struct, frozen=True, cache_hash=True):
    """The endpoint that an attempt calls, as far as translation must know it: no address and no secret."""

    wire_format: str
    """The adapter: openai_chat, anthropic_messages, ..."""
    upstream_model: str
    """The name that the provider knows."""
    provider: str
    """The provider's slug."""
    provider_name: str = ""
    """The provider's name as clients see it (`provider` in OpenAI-shaped answers)."""
    quirks: frozenset[str] = frozenset()
    """Named deviations from the wire format (handlers.translation.adapters.quirks)."""
    parameters: frozenset[str] = frozenset()
    """Request parameters that the endpoint honours, in OpenAI's words; empty: all that the wire format has."""
    tools: bool = True
    vision: bool = True
    files: bool = True
    audio: bool = True
    json_schema: bool = True
    reasoning: bool = True
    context_tokens: int = 0
    """0: unknown."""
    output_tokens_max: int = 0
    """The model's own cap, 0 when unknown; used where the wire format makes an output cap mandatory."""


class Asked(msgspec.Struct, frozen=True):
    """One attempt as it was asked for."""

    dialect: str
    """What the client speaks: openai_chat, openai_responses, anthropic_messages, google_generate, google_interactions,
    openai_completions; of no consequence for operations that have one format only."""
    operation: str
    """chat, embeddings, rerank, moderations, images, speech, transcriptions, count_tokens."""
    upstream: UpstreamTarget
    body: bytes
    """The client's, untouched."""
    content_type: str
    """Of that body."""
    target: str
    """The client's request target, for dialects that put the model or the method there."""
    client_headers: Mapping[str, str]
    """Allow-listed protocol headers, names in lower case (anthropic-version, anthropic-beta, ...)."""
    public_model: str
    """The model name that the client shall see."""
    stream: bool
    """The client wants a stream."""
    stateless: bool
    """Force store:false and refuse ids of objects kept by the provider."""
    output_tokens_max: int
    """Clamp of the output cap; 0: as the client asked."""
    upstream_stream: bool
    """Call upstream in streaming mode even for a non-streaming client, where the format allows it."""
    now_s: int
    """Unix seconds, for answers that carry a time."""
    response_id: str
    """Ours, for answers whose provider sent no id."""
    kept: tuple[str, ...] | None = None
    """Fingerprints of the provider-bound material that stays in the body; None: all."""
    left_out: tuple[str, ...] = ()
    """What is no longer in the body, in the words of warnings."""
    account: str = ""
    """Whose request it is; no provider hears it."""

    @property
    def streams_upstream(self) -> bool:
        """Whether to ask the provider for a stream."""
        return (self.stream or self.upstream_stream) and "no_streaming" not in self.upstream.quirks

    def alias(self, name: str) -> str:
        """What stands at the provider for a name that the client gave to one of its users or caches."""
        return pseudonym(self.account, name)

    def __repr__(self) -> str:
        """Names and sizes, never content."""
        return f"Asked({self.dialect}/{self.operation} -> {self.upstream.wire_format}, {len(self.body)} bytes)"


class UpstreamRequest(msgspec.Struct, frozen=True):
    """One HTTP request to a provider, before it is signed."""

    method: str
    path: str
    """Appended to the provider's base_url, with the query if there is one."""
    headers: tuple[tuple[str, str], ...]
    """Lower-case names; no secrets, no host, no content-length."""
    body: bytes
    streams: bool
    """The answer will be a stream."""

    def __repr__(self) -> str:
        """Names the route and the size, never the body."""
        return f"UpstreamRequest({self.method} {self.path.partition('?')[0]}, {len(self.body)} bytes)"


class Output(msgspec.Struct, frozen=True, gc=False):
    """What a translation has for the client after each call."""

    data: bytes = b""
    """Client-ready now; may be empty."""
    semantic: bool = False
    """`data` carries text, reasoning, a tool call, a refusal or media."""
    final: bytes = b""
    """The bytes that tell the client "finished"; only together with `ended`."""
    ended: bool = False

    def __repr__(self) -> str:
        """Sizes, never content."""
        return f"Output({len(self.data)}+{len(self.final)} bytes, semantic={self.semantic}, ended={self.ended})"


NOTHING = Output()


class Outcome(msgspec.Struct, frozen=True):
    """How an attempt ended."""

    usage: Usage = NO_USAGE
    failure: FailureClass | None = None
    """None: completed."""
    upstream_status: int = 0
    retry_after_ms: int = 0
    finish_reason: str = ""
    """stop | length | tool_calls | content_filter | refusal | error, or empty."""
    param: str = ""
    """The client's field at fault, when the failure is the client's and we know it."""
    message: str = ""
    """Our own words about a client's fault; empty for all other failures."""
    semantic: bool = False
    """Anything semantic was produced."""
    upstream_model: str = ""
    """The model that the provider says it used."""
    response_id: str = ""
    """The provider's own id of the answer."""
    ignored_bytes: int = 0
    """Bytes that arrived after the end."""
    unrecognized: int = 0
    """Pieces of the provider's answer that we know no meaning for and did not forward."""
    minted: tuple[str, ...] = ()
    """Fingerprints of the provider-bound material in it."""


class Translation(Protocol):
    """One attempt: created for it, fed in order, thrown away."""

    @property
    def answer(self) -> Output | None:
        """The whole answer, where no provider need be asked; then `upstream` is not to be sent."""
        ...

    @property
    def upstream(self) -> UpstreamRequest:
        """The request to send."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """Dropped or adapted parameters, such as `dropped:logit_bias`."""
        ...

    @property
    def content_type(self) -> str:
        """Of the client's response; final once `start` was called."""
        ...

    @property
    def usage(self) -> Usage:
        """Cumulative so far; estimated where the provider has sent none yet."""
        ...

    @property
    def outcome(self) -> Outcome:
        """Meaningful once an output said `ended`."""
        ...

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of the upstream's answer; header names in lower case."""
        ...

    def receive_data(self, data: bytes) -> Output:
        """The next bytes of the upstream's answer."""
        ...

    def receive_eof(self) -> Output:
        """The upstream's answer is over; always ends."""
        ...

    def fail(self, failure: FailureClass) -> Output:
        """The transport failed or a deadline passed; always ends.

        After semantic content `final` holds the dialect's own error event, before it `final` is empty.
        """
        ...
