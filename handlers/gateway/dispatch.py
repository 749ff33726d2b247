"""What a provider pod is told about one attempt, and the log about one that failed.

Who is called how, when the client wants one JSON answer
    a short answer     capped by the client at a few thousand tokens: asked for whole, the provider's own bytes pass, and one
                       clock covers it, sized by its cap
    any other          asked for as a stream: each phase has its clock, silence is noticed, a cancelled answer stops costing
                       money. The pod puts the whole answer together, and no field is lost (translation/assembly)
    what would lose    a field or a form if it came as a stream: asked for whole, by rows (translation/canonical/kept_whole.py),
                       with one clock sized by what the model can write at most. The pod decides, for it alone reads the body
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handlers.errors import FAILURES, FailureClass
from handlers.gateway.makers import kept_by
from handlers.keys.wire_token import mint_wire_token
from handlers.telemetry.logs import AttemptEnded, Level, identifier
from handlers.translation.canonical.kept_whole import lost_field, whole_setting
from handlers.transport.frames import KNOWN_TERMS_BYTES_MAX
from handlers.transport.wire import WireDeadlines, WireRequest, WireTerms

if TYPE_CHECKING:
    from handlers.catalog.entries import Endpoint, Provider, Timeouts
    from handlers.gateway.attempts import Attempt
    from handlers.gateway.call import Call
    from handlers.transport.exchange import Responder

TOKEN_LIFETIME_S = 60
TOKENS_PER_S_MIN = 10
"""An answer that is not whole by the time for its first event, and that of its tokens at this pace, will not come."""
_STEPS = (256, 1_024, 4_096)
LONG_MS = 600_000
"""An endpoint that may take longer than this is called as a stream for every client."""


def wire_request(
    attempt: Attempt,
    call: Call,
    exchange: Responder,
    *,
    request_id: str,
    account: str,
    number: int,
    key: bytes,
    now_s: int,
    byok_sealed: str,
    output_tokens_max: int,
    elapsed_ms: int = 0,
) -> WireRequest:
    """The request frame of one attempt.

    Args:
        attempt: which endpoint and credential.
        call: what the client asks; its body travels beside this, untouched.
        exchange: whose protocol headers travel along.
        request_id: of the client's request.
        account: the tenant's id.
        number: which attempt of the plan this is, from 1.
        key: the wire key shared with the provider's pod.
        now_s: Unix seconds.
        byok_sealed: the sealed credential of the attempt's BYOK record, or empty.
        output_tokens_max: what the balance affords; 0: as the client asked.
        elapsed_ms: what earlier attempts have used up of the request's total time.
    """
    terms = terms_of(attempt, call, exchange)
    token = mint_wire_token(
        key, request_id, account, terms.endpoint, attempt.record, expires_at_s=now_s + TOKEN_LIFETIME_S
    )
    return WireRequest(
        terms, request_id, token, account, number, output_tokens_max, elapsed_ms, attempt.record, byok_sealed,
        kept_by(call.made, attempt.provider.slug, attempt.health_key) if call.made is not None else None,
    )  # fmt: skip


def terms_of(attempt: Attempt, call: Call, exchange: Responder) -> WireTerms:
    """What a pod is told alike for all requests of this kind: the same object again as long as nothing of it changes.

    Route, target, content type and protocol headers are the head's, so what was told last for a head is noted on it.
    """
    notes, kind = exchange.head.notes, call.known_as
    if kind is None:
        return _shared_terms(attempt, call, notes.protocol_headers)
    last: tuple[Attempt, object, WireTerms] | None = notes.terms
    if last is None or last[0] is not attempt or last[1] is not kind:
        last = notes.terms = attempt, kind, _shared_terms(attempt, call, notes.protocol_headers)
    return last[2]


def _asks_for_stream(tokens: int, timeouts: Timeouts) -> bool:
    return not tokens or timeouts.total_ms > LONG_MS


def upstream_form(attempt: Attempt, call: Call) -> tuple[str, str]:
    """How the provider is asked, for explanations: `stream` or `whole`, and because of what.

    The reason is `client` (it reads a stream), `length` (nobody bounds it), `short` (the client's cap does), `operation`,
    `no_streaming` (the model has none), or the field that a stream would lose.
    """
    endpoint, provider, dialect = attempt.endpoint, attempt.provider, call.route.dialect
    if call.route.operation != "chat":
        return ("stream", "client") if call.stream else ("whole", "operation")
    if "no_streaming" in endpoint.quirks:
        return "whole", "no_streaming"
    if call.stream:
        return "stream", "client"
    if not _asks_for_stream(_tokens_of(call), endpoint.timeouts or provider.timeouts):
        return "whole", "short"
    wire_format = endpoint.wire_format or provider.wire_format
    lost = lost_field(dialect, wire_format, provider.slug, endpoint.upstream_model)
    lost = lost or whole_setting(dialect, provider.slug, call.body)
    return ("whole", lost) if lost else ("stream", "length")


def _tokens_of(call: Call) -> int:
    """How long an answer that is no stream may become, in a few steps; 0: long."""
    cap = call.output_cap
    if call.stream or cap is None or cap > _STEPS[-1]:
        return 0
    return next(step for step in _STEPS if cap <= step)


def _shared_terms(attempt: Attempt, call: Call, headers: tuple[tuple[str, str], ...]) -> WireTerms:
    """The same object for all connections."""
    endpoint, provider, route = attempt.endpoint, attempt.provider, call.route
    strict, tokens = call.preferences.require_parameters, _tokens_of(call)
    kind = (
        endpoint.id, attempt.credential, route.dialect, route.operation, call.stream, call.target, call.content_type,
        strict, headers, tokens,
    )  # fmt: skip
    known = _known_terms.get(kind)
    # An id names an endpoint of one catalogue: the same id may stand for something else in another one.
    if known is not None and known[0] is endpoint and known[1] is provider:
        return known[2]
    timeouts = endpoint.timeouts or provider.timeouts
    terms = WireTerms(
        dialect=route.dialect,
        operation=route.operation,
        endpoint=endpoint.id,
        public_model=endpoint.model,
        stream=call.stream,
        deadlines=_deadlines(timeouts, tokens or _longest(route.operation, endpoint)),
        content_type=call.content_type,
        target=call.target,
        client_headers=dict(headers),
        credential=attempt.credential,
        stateless=attempt.credential == "shared",
        require_parameters=strict,
        upstream_stream=_asks_for_stream(tokens, timeouts),
    )
    if not route.multipart and len(terms.encoded) <= KNOWN_TERMS_BYTES_MAX:
        if len(_known_terms) >= _KNOWN_TERMS_MAX:
            del _known_terms[next(iter(_known_terms))]
        _known_terms[kind] = endpoint, provider, terms
    return terms


def failed_attempt(
    attempt: Attempt, request_id: str, number: int, duration_ms: int, failure: FailureClass, upstream_status: int
) -> AttemptEnded:
    """What the log hears of an attempt that failed."""
    return AttemptEnded(
        level=Level.WARNING if FAILURES[failure].counts_for_health else Level.DEBUG,
        request_id=identifier(request_id),
        provider=identifier(attempt.provider.slug),
        model=identifier(attempt.endpoint.model),
        attempt=number,
        duration_ms=duration_ms,
        failure=failure,
        upstream_status=upstream_status,
    )


_known_terms: dict[tuple[object, ...], tuple[Endpoint, Provider, WireTerms]] = {}
_KNOWN_TERMS_MAX = 1_024


def _deadlines(timeouts: Timeouts, tokens: int) -> WireDeadlines:
    whole_ms = min(timeouts.total_ms, timeouts.first_event_ms + tokens * 1_000 // TOKENS_PER_S_MIN)
    return WireDeadlines(
        connect_ms=timeouts.connect_ms,
        headers_ms=timeouts.headers_ms,
        first_event_ms=timeouts.first_event_ms,
        between_bytes_ms=timeouts.between_bytes_ms,
        between_events_ms=timeouts.between_events_ms,
        total_ms=timeouts.total_ms,
        whole_ms=whole_ms if tokens else 0,
    )


def _longest(operation: str, endpoint: Endpoint) -> int:
    """Tokens of the longest answer, if tokens are what its time is spent on."""
    return endpoint.capabilities.output_tokens_max if operation == "chat" else 0
