"""What an answer discloses about how it came about: who served it, what was tried, and why nothing else could.

Success tells it in headers. A failure tells it in the body as well: the provider, the model, the attempts, each earlier
error, and `availability`, whose shape is OpenRouter's (peers.md 4.5). A response that had to begin before anybody had
answered (keep-alive) cannot tell it in headers any more, and tells it at the beginning of its body; so does one whose client
sent `x-openrouter-metadata: enabled`.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from handlers.catalog.entries import NANO
from handlers.errors import FAILURES, FailureClass, TheRouterError, UpstreamFailed
from handlers.gateway.dispatch import upstream_form
from handlers.transport.header_fields import encode_fields
from handlers.transport.memo import Memo

if TYPE_CHECKING:
    from handlers.catalog.entries import Catalog
    from handlers.gateway.attempts import Attempt, RoutePlan
    from handlers.gateway.call import Call
    from handlers.gateway.health import HealthSnapshot
    from handlers.gateway.makers import Made
    from handlers.gateway.refusals import Headers
    from handlers.transport.wire import WireEnd, WireHead

RETRY_AFTER_S_MAX = 60
BUSY_RETRY_S = (1, 4)
"""Between these, by chance, when the capacity is ours: clients shall not come back all at once."""

_AVAILABILITY = {
    FailureClass.RATE_LIMITED: "capacity_exhausted",
    FailureClass.OVERLOADED: "capacity_exhausted",
    FailureClass.QUOTA: "capacity_exhausted",
    FailureClass.SERVER_ERROR: "temporarily_unavailable",
    FailureClass.CONNECT: "temporarily_unavailable",
    FailureClass.TIMEOUT: "temporarily_unavailable",
    FailureClass.TRUNCATED: "temporarily_unavailable",
    FailureClass.MALFORMED: "temporarily_unavailable",
    FailureClass.UNAUTHENTICATED_UPSTREAM: "temporarily_unavailable",
    FailureClass.NOT_FOUND_UPSTREAM: "model_unavailable_upstream",
    FailureClass.UNSUPPORTED: "constraint_filtered",
    FailureClass.CONTEXT_LENGTH: "constraint_filtered",
}
"""For failures that are about who may serve the request. What is wrong with the request itself has no availability."""


def opening(request_id: str, content_type: str, *, streams: bool) -> Headers:
    """The headers of every answer, also of one that begins before anybody has answered."""
    return [*_kind_of_answer(content_type, streams=streams), (b"x-request-id", request_id.encode())]


def _kind_of_answer(content_type: str, *, streams: bool) -> Headers:
    headers = [(b"content-type", content_type.encode("latin-1")), (b"cache-control", b"no-store")]
    return [*headers, (b"x-accel-buffering", b"no")] if streams else headers


def facts(attempt: Attempt, attempts: int, output_tokens_max: int) -> Headers:
    """The headers of every answer that a provider gave, or failed to give."""
    return _served_by(attempt.provider.slug, attempt.endpoint.model, attempts, attempt.credential, output_tokens_max)


def _served_by(provider: str, model: str, attempts: int, credential: str, output_tokens_max: int) -> Headers:
    told: Headers = [
        (b"x-therouter-provider", provider.encode()),
        (b"x-therouter-model", model.encode()),
        (b"x-therouter-attempts", b"%d" % attempts),
        (b"x-therouter-credential", credential.encode()),
    ]
    if output_tokens_max:
        told.append((b"x-therouter-output-clamped", b"%d" % output_tokens_max))
    return told


def answer_lines(attempt: Attempt, attempts: int, output_tokens_max: int, content_type: str, *, streams: bool) -> bytes:
    """The headers of an answer, but for what is said to its request alone, as lines: put together once for all alike."""
    kind = attempt.provider.slug, attempt.endpoint.model, attempt.credential
    return _LINES[kind, attempts, output_tokens_max, content_type, streams]


def _answer_lines(about: tuple[tuple[str, str, str], int, int, str, bool]) -> bytes:
    (provider, model, credential), attempts, output_tokens_max, content_type, streams = about
    return encode_fields(
        [
            *_kind_of_answer(content_type, streams=streams),
            *_served_by(provider, model, attempts, credential, output_tokens_max),
        ]
    )


_LINES = Memo(_answer_lines)


def adaptations(head: WireHead) -> bytes:
    """Header lines about what the request or the answer had to go without."""
    return encode_fields(
        [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in head.headers.items()]
    )


def with_facts(data: bytes, attempt: Attempt, attempts: int, *, events: bool) -> bytes:
    """The beginning of an answer that says who serves it: a comment in a stream of events, else a field of its JSON object."""
    provider, model, credential = attempt.provider.slug, attempt.endpoint.model, attempt.credential
    if events:
        told = f": served by provider={provider} model={model} attempts={attempts} credential={credential}\n\n"
        return told.encode() + data
    if data[:1] != b"{":
        return data
    field = {"provider": provider, "model": model, "attempts": attempts, "credential": credential}
    return b'{"openrouter_metadata":' + msgspec.json.encode(field) + b"," + data[1:]


def failure_error(
    failure: FailureClass, end: WireEnd, call: Call, plan: RoutePlan, tried: list[tuple[Attempt, FailureClass]]
) -> TheRouterError:
    """The error of a request whose last attempt is the last in `tried`."""
    last = tried[-1][0]
    retry_after_s = _retry_after_s(failure, end.retry_after_ms)
    detail: dict[str, object] = {
        "provider": last.provider.slug,
        "model": last.endpoint.model,
        "credential": last.credential,
        "attempts": len(tried),
        "previous_errors": [
            {"provider": attempt.provider.slug, "code": FAILURES[kind].code, "status": FAILURES[kind].http_status}
            for attempt, kind in tried
        ],
    }
    code = _AVAILABILITY.get(failure)
    if code is not None:
        detail["availability"] = {
            "code": code,
            "retryable": code != "constraint_filtered",
            "retry_after": retry_after_s,
            "requested_models": list(call.models),
            "affected_providers": sorted({attempt.provider.slug for attempt, _ in tried}),
            "excluded_by": plan.excluded,
        }
    error = UpstreamFailed(failure, retry_after_s=retry_after_s, detail=detail)
    error.message = end.message or error.message
    error.code = end.code or error.code
    error.param = end.param or None
    return error


def describe_plan(
    plan: RoutePlan,
    worst_case_nano: int,
    catalog: Catalog,
    health: HealthSnapshot,
    account: str,
    call: Call,
) -> dict[str, object]:
    """A plan as JSON: attempts in order with what is known of each, and the reason for each endpoint not chosen."""
    forms = [dict(zip(("form", "because"), upstream_form(attempt, call), strict=True)) for attempt in plan.attempts]
    return {
        "attempts": [
            {
                "endpoint": attempt.endpoint.id,
                "provider": attempt.provider.slug,
                "model": attempt.endpoint.model,
                "credential": attempt.credential,
                "country": attempt.provider.country,
                "condition": health.condition(attempt.endpoint.id, attempt.health_key, account).name.lower(),
                "price_version": attempt.endpoint.price.version if attempt.endpoint.price else "",
                "asked_for": form,
            }
            for attempt, form in zip(plan.attempts, forms, strict=True)
        ],
        "worst_case_cost": worst_case_nano / NANO,
        "currency": catalog.currency,
        "excluded_by": plan.excluded,
        "not_chosen": [{"endpoint": endpoint, "reason": reason} for endpoint, reason in plan.details],
        "provider_bound": None if call.made is None else _makers_of(call.made),
        "seed": plan.seed,
        "catalog_version": plan.catalog_version,
    }


def _makers_of(made: tuple[Made, ...]) -> list[dict[str, object]]:
    """How much of the provider-bound material in a request is whose; what nobody of us made goes to nobody."""
    counts = Counter(maker for _, maker in made)
    return [
        {"provider": maker.provider or None, "credential": maker.credential.partition(":")[0] or None, "pieces": count}
        for maker, count in counts.items()
    ]


def _retry_after_s(failure: FailureClass, told_ms: int) -> int | None:
    """What the provider said, within reason (A83); else our own word where the capacity is short."""
    if told_ms:
        return min(RETRY_AFTER_S_MAX, max(1, -(-told_ms // 1000)))
    if FAILURES[failure].http_status in {429, 503}:
        return random.randint(*BUSY_RETRY_S)  # noqa: S311 - jitter
    return None
