"""What a provider pod is told about one attempt, and the log about one that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from handlers.catalog.entries import Timeouts
from handlers.errors import FAILURES, FailureClass
from handlers.keys.wire_token import mint_wire_token
from handlers.telemetry.logs import AttemptEnded, Level, identifier
from handlers.transport.wire import WireDeadlines, WireRequest

if TYPE_CHECKING:
    from handlers.gateway.gate import Call
    from handlers.gateway.ordering import Attempt
    from handlers.transport.server import Exchange

TOKEN_LIFETIME_S = 60
LAST_CHANCE_MS = 1_000
LONG_MS = 600_000
"""An endpoint that may take longer than this is called as a stream even for a client that wants one JSON answer: silence is
noticed and a cancellation saves money. Others answer such a client with the provider's own bytes."""


def wire_request(
    attempt: Attempt,
    call: Call,
    exchange: Exchange,
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
    endpoint = attempt.endpoint
    timeouts = endpoint.timeouts or attempt.provider.timeouts
    return WireRequest(
        request_id=request_id,
        token=mint_wire_token(
            key,
            request_id=request_id,
            account=account,
            endpoint=endpoint.id,
            byok_record=attempt.record,
            expires_at_s=now_s + TOKEN_LIFETIME_S,
        ),
        account=account,
        dialect=call.route.dialect,
        operation=call.route.operation,
        endpoint=endpoint.id,
        public_model=endpoint.model,
        attempt=number,
        stream=call.stream,
        deadlines=_left_of(_deadlines(timeouts), elapsed_ms) if elapsed_ms else _deadlines(timeouts),
        target=call.target,
        content_type=call.content_type,
        client_headers=_protocol_headers(exchange),
        credential=attempt.credential,
        byok_sealed=byok_sealed,
        byok_record=attempt.record,
        output_tokens_max=output_tokens_max,
        stateless=attempt.credential == "shared",
        require_parameters=call.preferences.require_parameters,
        upstream_stream=call.stream or timeouts.total_ms > LONG_MS,
    )


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


_deadline_cache: dict[Timeouts, WireDeadlines] = {}


def _deadlines(timeouts: Timeouts) -> WireDeadlines:
    deadlines = _deadline_cache.get(timeouts)
    if deadlines is None:
        deadlines = _deadline_cache[timeouts] = WireDeadlines(
            connect_ms=timeouts.connect_ms,
            headers_ms=timeouts.headers_ms,
            first_event_ms=timeouts.first_event_ms,
            between_bytes_ms=timeouts.between_bytes_ms,
            between_events_ms=timeouts.between_events_ms,
            total_ms=timeouts.total_ms,
        )
    return deadlines


def _left_of(deadlines: WireDeadlines, elapsed_ms: int) -> WireDeadlines:
    """One total over all attempts: a fallback does not begin it anew."""
    return msgspec.structs.replace(deadlines, total_ms=max(LAST_CHANCE_MS, deadlines.total_ms - elapsed_ms))


_PROTOCOL_HEADERS = frozenset({b"anthropic-version", b"anthropic-beta", b"openai-beta", b"x-goog-api-client"})
_NO_HEADERS: dict[str, str] = {}


def _protocol_headers(exchange: Exchange) -> dict[str, str]:
    found = _NO_HEADERS
    for name, value in exchange.head.headers:
        if name in _PROTOCOL_HEADERS:
            if found is _NO_HEADERS:
                found = {}
            found[name.decode()] = value.decode("latin-1")
    return found
