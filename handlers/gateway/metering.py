"""Meter and rate: what one passage consumed and what it costs, as one usage line. Always exactly one.

Who pays when things break (security.md 5.2): no semantic output, nothing charged; the client cancelled or the provider
broke off after the commit, what was produced; never more than the hold. A missing or impossible usage is a defined state:
estimated, flagged, and never negative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from handlers.errors import FAILURES, FailureClass
from handlers.gateway.credit import markup_of
from handlers.gateway.usage_line import UsageLine
from handlers.ledger.rating import charge_for
from handlers.translation.canonical.usage import Usage

if TYPE_CHECKING:
    from handlers.gateway.attempts import Attempt
    from handlers.gateway.authorize import Grant
    from handlers.gateway.call import Call
    from handlers.gateway.credit import Hold

BYTES_PER_TOKEN = 4
STREAM_BYTES_PER_TOKEN = 200
"""A streamed token arrives in an event of about this size; only used when a pod died without telling."""


def estimate(known: Usage, call: Call, bytes_out: int) -> Usage:
    """What a pod that died had probably used: what it last told, or counted from bytes."""
    if known.prompt_tokens or known.completion_tokens:
        return msgspec.structs.replace(known, estimated=True)
    if not bytes_out:
        return Usage(estimated=True)
    produced = bytes_out // (STREAM_BYTES_PER_TOKEN if call.stream else BYTES_PER_TOKEN)
    return Usage(input=len(call.body) // BYTES_PER_TOKEN, output=max(produced, 1), estimated=True)


def line_for(
    *,
    request_id: str,
    grant: Grant,
    attempt: Attempt,
    call: Call,
    usage: Usage,
    semantic: bool,
    status: int,
    failure: FailureClass | None,
    latency_ms: int,
    first_event_ms: int | None,
    attempts: int,
    hold: Hold,
    admitted_at_s: int,
) -> UsageLine:
    """The usage line of a passage that is over."""
    principal, endpoint = grant.principal, attempt.endpoint
    price, credential = endpoint.price, attempt.credential
    if price is not None and price.periods:
        price = price.at(admitted_at_s)
    cost_nano = 0
    if price is not None and (credential == "shared" or principal.byok_fee_ppm):
        markup_ppm = markup_of(principal, credential)
        cost_nano = charge_for(usage, price, semantic=semantic, hold_nano=hold.amount_nano, markup_ppm=markup_ppm)
    # By position: naming so many fields costs ten times as much as filling them.
    return UsageLine(
        request_id, principal.account, principal.user, principal.key_id,
        endpoint.model, endpoint.provider,
        usage.prompt_tokens, usage.completion_tokens,
        usage.cache_read, usage.cache_write_5m + usage.cache_write_1h, usage.reasoning,
        cost_nano, latency_ms, first_event_ms,
        status, None if failure is None else FAILURES[failure].code,
        call.stream, usage.estimated, credential, attempts,
        price.version if price is not None else "", hold.lease_id or None,
    )  # fmt: skip
