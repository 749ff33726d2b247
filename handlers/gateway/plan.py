"""Which endpoints a request may try, in which order: a pure function of its arguments.

Theory of operation
    Filters exclude, and each exclusion is counted under its reason; preferences only order. Constraints (data policy,
    price cap, required abilities, BYOK-only, the client's own lists) are filters, so no fallback can relax them.
    Order within a model: the client's `order`, else its `sort`, else the default: endpoints without a recent outage first,
    drawn one after the other with a weight of 1/price squared; endpoints that are cooling down or broken come last.
    Given the same call, grant, catalogue, health snapshot and seed, the plan is the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from handlers.catalog.entries import PER_MILLION, Catalog, Endpoint, Model, Provider
from handlers.catalog.names import find_model, nearest_names
from handlers.errors import InvalidRequest, NotFound, Unavailable
from handlers.gateway.authorize import Grant
from handlers.gateway.gate import Call
from handlers.gateway.health import Condition, HealthSnapshot
from handlers.gateway.preferences import PriceCap, SortRule

ATTEMPTS_MAX = 4
NOMINAL_PROMPT_TOKENS, NOMINAL_COMPLETION_TOKENS = 3, 1
"""The mix by which endpoints are compared on price when nothing is known of the request."""


class Attempt(NamedTuple):
    """One try at one endpoint with one credential."""

    endpoint: Endpoint
    provider: Provider
    credential: str
    """shared | byok"""
    record: str
    """Id of the BYOK record, or empty."""

    @property
    def health_key(self) -> str:
        """Each BYOK credential has its own health, so a dead one concerns nobody else."""
        return f"byok:{self.record}" if self.record else self.credential


class RoutePlan(msgspec.Struct, frozen=True):
    """The ordered attempts of one request."""

    attempts: tuple[Attempt, ...]
    excluded: dict[str, int]
    """Reason -> how many endpoints it excluded."""
    details: tuple[tuple[str, str], ...]
    """(endpoint id, reason) for each endpoint not chosen."""
    seed: int
    catalog_version: str


class _Candidates(NamedTuple):
    attempts: list[Attempt]
    details: list[tuple[str, str]]


def route_plan(
    call: Call, grant: Grant, catalog: Catalog, enabled: frozenset[str], health: HealthSnapshot, seed: int
) -> RoutePlan:
    """The plan, or NotFound (no such model), InvalidRequest (filtered by the client's wishes) or Unavailable (503)."""
    attempts: list[Attempt] = []
    details: list[tuple[str, str]] = []
    known = False
    generator = random.Random(seed) if len(enabled) > 1 else None  # noqa: S311 - load balancing, reproducible by design
    for wanted in call.models:
        slug, suffix = split_suffix(wanted)
        model = find_model(catalog, slug)
        if model is None:
            details.append((wanted, "model_not_found"))
            continue
        known = True
        if grant.models and model.id not in grant.models:
            details.append((model.id, "allowed_models"))
            continue
        found = _eligible(model, call, grant, catalog, enabled, suffix)
        details += found.details
        attempts += _ordered(found.attempts, call, health, grant.principal.account, suffix, generator)
    if not attempts:
        _refuse(call, catalog, known, details)
    excluded: dict[str, int] = {}
    for _, reason in details:
        excluded[reason] = excluded.get(reason, 0) + 1
    limit = ATTEMPTS_MAX if call.preferences.allow_fallbacks else max(1, len(call.preferences.order))
    return RoutePlan(tuple(attempts[:limit]), excluded, tuple(details), seed, catalog.version)


SUFFIXES = frozenset({"nitro", "floor", "free", "exacto", "extended", "thinking"})


def split_suffix(wanted: str) -> tuple[str, str]:
    """`author/slug:floor` -> (`author/slug`, `floor`); unknown suffixes stay part of the name."""
    slug, _, suffix = wanted.rpartition(":")
    return (slug, suffix) if slug and suffix in SUFFIXES else (wanted, "")


def _eligible(
    model: Model, call: Call, grant: Grant, catalog: Catalog, enabled: frozenset[str], suffix: str
) -> _Candidates:
    found = _Candidates([], [])
    for endpoint in model.endpoints:
        provider = catalog.providers[endpoint.provider]
        reason = _exclusion(endpoint, provider, call, grant, enabled, suffix)
        if reason:
            found.details.append((endpoint.id, reason))
            continue
        record = grant.byok.get(endpoint.provider, "") if grant.byok_mode != "off" else ""
        if record:
            found.attempts.append(Attempt(endpoint, provider, "byok", record))
        if grant.byok_mode != "only" and call.premium:
            found.details.append((endpoint.id, "service_tier"))
        elif grant.byok_mode != "only":
            found.attempts.append(Attempt(endpoint, provider, "shared", ""))
        elif not record:
            found.details.append((endpoint.id, "byok_only"))
    return found


def _served_as(operation: str) -> str:
    """Whoever can chat can have its tokens counted: by the provider, or by our estimate in the pod."""
    return "chat" if operation == "count_tokens" else operation


def _exclusion(
    endpoint: Endpoint, provider: Provider, call: Call, grant: Grant, enabled: frozenset[str], suffix: str
) -> str:
    """Why this endpoint may not serve this call, or an empty string. The order decides which reason is told."""
    wishes = call.preferences
    if provider.slug not in enabled:
        return "provider_not_configured"
    if endpoint.price is None:
        return "unpriced"
    if _served_as(call.route.operation) not in endpoint.capabilities.operations:
        return "wrong_endpoint"
    if wishes.only and provider.slug not in wishes.only:
        return "allowed_providers"
    if provider.slug in wishes.ignore:
        return "ignored_providers"
    if not wishes.allow_fallbacks and wishes.order and provider.slug not in wishes.order:
        return "allowed_providers"
    if wishes.quantizations and endpoint.quantization not in wishes.quantizations:
        return "quantization"
    if (wishes.data_collection == "deny" or grant.data_policy != "any") and provider.policy.trains:
        return "data_policy:training"
    if (wishes.zdr or grant.data_policy == "zero_retention") and provider.policy.retention_days > 0:
        return "data_policy:zdr"
    if suffix == "free" and not _is_free(endpoint):
        return "free_variant_ended"
    if wishes.max_price is not None and _over_cap(endpoint, wishes.max_price):
        return "max_price"
    return _inability(endpoint, call)


def _inability(endpoint: Endpoint, call: Call) -> str:
    able = endpoint.capabilities
    for need in call.needs:
        if not getattr(able, need, True):
            return "require_parameters"
    if len(call.body) > 16 * able.context_tokens + 65_536 and not (able.vision or able.files or able.audio):
        return "context_length"
    return ""


def _is_free(endpoint: Endpoint) -> bool:
    return endpoint.price is not None and price_of(endpoint) == 0


def price_of(endpoint: Endpoint) -> int:
    """Nano-units for the nominal mix of tokens: a number to compare endpoints by."""
    if endpoint.price is None:
        return 0
    rates = endpoint.price.tiers[0][1]
    return NOMINAL_PROMPT_TOKENS * rates.input + NOMINAL_COMPLETION_TOKENS * rates.output


def _over_cap(endpoint: Endpoint, cap: PriceCap) -> bool:
    if endpoint.price is None:
        return True
    nano = 1e9
    return any(
        (cap.prompt is not None and rates.input > cap.prompt * nano)
        or (cap.completion is not None and rates.output > cap.completion * nano)
        or (cap.request is not None and rates.per_request > cap.request * nano)
        or (cap.image is not None and rates.images > cap.image * nano * PER_MILLION)
        for _, rates in endpoint.price.tiers
    )


def _ordered(
    attempts: list[Attempt],
    call: Call,
    health: HealthSnapshot,
    account: str,
    suffix: str,
    generator: random.Random | None,
) -> list[Attempt]:
    if len(attempts) < 2:
        return attempts
    order = call.preferences.order
    rank = {slug: position for position, slug in enumerate(order)}
    first = sorted((a for a in attempts if a.provider.slug in rank), key=lambda a: rank[a.provider.slug])
    rest = [a for a in attempts if a.provider.slug not in rank]
    sort = call.preferences.sort
    by = (sort.by if isinstance(sort, SortRule) else sort) or _SORTED_BY_SUFFIX.get(suffix, "")
    figure = _FIGURES.get(by)
    if figure is not None:
        rest.sort(key=lambda a: figure(a, health))
    elif generator is not None:
        rest = _weighted(rest, generator)
    # Own credentials first where both kinds may serve; broken endpoints last, whatever the wishes for order.
    rest.sort(key=lambda a: (health.condition(a.endpoint.id, a.health_key, account).rank, a.credential != "byok"))
    first.sort(key=lambda a: health.condition(a.endpoint.id, a.health_key) is Condition.QUARANTINED)
    return first + rest


_FIGURES: Mapping[str, Callable[[Attempt, HealthSnapshot], float]] = {
    "price": lambda attempt, _: price_of(attempt.endpoint),
    "throughput": lambda attempt, health: -health.throughput(attempt.endpoint.id),
    "latency": lambda attempt, health: health.latency_ms(attempt.endpoint.id),
}


_SORTED_BY_SUFFIX = {"nitro": "throughput", "floor": "price"}


def _weighted(attempts: list[Attempt], generator: random.Random) -> list[Attempt]:
    """All attempts, drawn without replacement with weight 1/price squared."""
    keyed = []
    for attempt in attempts:
        price = price_of(attempt.endpoint) / 1e9 + 1e-6
        # Efraimidis and Spirakis: the largest u^(1/w) first is a weighted draw without replacement.
        keyed.append((generator.random() ** (price * price), attempt.endpoint.id, attempt))
    keyed.sort(key=lambda item: (-item[0], item[1]))
    return [attempt for _, _, attempt in keyed]


_OURS = frozenset({"provider_not_configured", "unpriced"})


def _refuse(call: Call, catalog: Catalog, known: bool, details: list[tuple[str, str]]) -> None:  # noqa: FBT001 - private
    wanted = call.models[0]
    if not known:
        near = nearest_names(catalog, split_suffix(wanted)[0])
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise NotFound(
            f"There is no model of this name.{hint} GET /v1/models lists all.",
            param="model",
            code="model_not_found",
            detail={"availability": {"code": "model_not_found", "retryable": False, "fallback_models": near}},
        )
    excluded: dict[str, int] = {}
    for _, reason in details:
        excluded[reason] = excluded.get(reason, 0) + 1
    ours = set(excluded) <= _OURS
    availability = {
        "code": "no_endpoints" if ours else "constraint_filtered",
        "retryable": ours,
        "requested_models": list(call.models),
        "excluded_by": excluded,
    }
    if ours:
        raise Unavailable(
            "No provider that serves this model is configured here. Enable one (see the README: provider keys).",
            code="no_endpoints",
            detail={"availability": availability},
        )
    reasons = ", ".join(sorted(excluded))
    raise InvalidRequest(
        f"Every endpoint of this model was excluded ({reasons}). Relax the matching preference or policy.",
        param="provider",
        code="constraint_filtered",
        detail={"availability": availability},
    )
