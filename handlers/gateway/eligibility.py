"""Which endpoints may serve a request at all, and why the others may not: a pure function, and so one that remembers.

Theory of operation
    Everything about a request that eligibility follows from is in `Wanted`, a value that thousands of requests share: what
    is not in there cannot be looked at here, and what is in there tells requests apart. So what was found out for one of
    them is true for all of them, as long as the catalogue and the enabled providers are the same; `Eligibility` stands for
    one such pair. What passes (health, time, chance, a conversation) is for ordering.py.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from handlers.catalog.elsewhere import is_elsewhere
from handlers.catalog.entries import PER_MILLION, Catalog, Endpoint, Model, Provider
from handlers.catalog.names import find_model
from handlers.gateway.attempts import Attempt, RoutePlan
from handlers.gateway.authorize import Grant
from handlers.gateway.byok import ByokChoice
from handlers.gateway.call import Call
from handlers.gateway.ordering import price_of
from handlers.gateway.preferences import Preferences, PriceCap
from handlers.translation.canonical.parameters import lacking, sent_parameters
from handlers.transport.memo import Memo

SHORT_BODY_BYTES = 65_536
"""Bodies up to this are short enough for every context."""


class Wanted(msgspec.Struct, frozen=True):
    """All of a call and its grant that decides who may serve it."""

    models: tuple[str, ...]
    operation: str
    preferences: Preferences
    needs: frozenset[str]
    premium: bool
    dialect: str
    """Of the parameters; empty without any."""
    parameters: frozenset[str]
    """Those that the client sends and insists on."""
    long_body_bytes: int
    """0 for a short body."""
    allowed_models: frozenset[str]
    data_policy: str
    byok_mode: str
    byok: ByokChoice


_NO_PARAMETERS: frozenset[str] = frozenset()


def wanted_by(call: Call, grant: Grant) -> Wanted:
    """What decides who may serve this call."""
    body, dialect, parameters = call.body, "", _NO_PARAMETERS
    if call.preferences.require_parameters and call.route.operation == "chat":
        dialect, parameters = call.route.dialect, sent_parameters(call.route.dialect, body)
    return Wanted(
        call.models,
        call.route.operation,
        call.preferences,
        call.needs,
        call.premium,
        dialect,
        parameters,
        len(body) if len(body) > SHORT_BODY_BYTES else 0,
        grant.models,
        grant.data_policy,
        grant.byok_mode,
        grant.byok,
    )


class Candidates(NamedTuple):
    """The answer."""

    groups: tuple[tuple[str, tuple[Attempt, ...]], ...]
    """(suffix, attempts in the catalogue's order) of each model that has any, in the client's order."""
    details: tuple[tuple[str, str], ...]
    """(endpoint or model, reason) for each that may not."""
    known: bool
    """At least one of the models exists here."""
    sole: RoutePlan | None
    """The plan, if there is but one attempt: then it depends on nothing that passes."""


def find_candidates(wanted: Wanted, catalog: Catalog, enabled: frozenset[str]) -> Candidates:
    """All attempts that the catalogue offers and nothing forbids."""
    groups: list[tuple[str, tuple[Attempt, ...]]] = []
    details: list[tuple[str, str]] = []
    known = False
    for name in wanted.models:
        slug, suffix = name, ""
        model = find_model(catalog, name)
        if model is None:  # `:free` and the like are first of all part of a name, and only then a wish
            slug, suffix = split_suffix(name)
            model = find_model(catalog, slug)
        if model is None:
            details.append((name, "region_restricted" if is_elsewhere(catalog.region, slug) else "model_not_found"))
            continue
        known = True
        if wanted.allowed_models and model.id not in wanted.allowed_models:
            details.append((model.id, "allowed_models"))
            continue
        attempts = _eligible(model, wanted, catalog, enabled, suffix, details)
        if attempts:
            groups.append((suffix, tuple(attempts)))
    sole = None
    if len(groups) == 1 and len(groups[0][1]) == 1:
        sole = RoutePlan(groups[0][1], tuple(details), 0, catalog.version)
    return Candidates(tuple(groups), tuple(details), known, sole)


class Eligibility:
    """`find_candidates` for one catalogue and one set of providers, remembered for what is wanted again and again."""

    def __init__(self, catalog: Catalog, enabled: frozenset[str]) -> None:
        self.catalog = catalog
        self.enabled = enabled
        self._known: Memo[Wanted, Candidates] = Memo(lambda wanted: find_candidates(wanted, catalog, enabled))

    def candidates(self, call: Call, grant: Grant) -> Candidates:
        """Who may serve the call."""
        return self._known[wanted_by(call, grant)]


SUFFIXES = frozenset({"nitro", "floor", "free", "exacto", "extended", "thinking"})


def split_suffix(wanted: str) -> tuple[str, str]:
    """`author/slug:floor` -> (`author/slug`, `floor`); unknown suffixes stay part of the name."""
    slug, _, suffix = wanted.rpartition(":")
    return (slug, suffix) if slug and suffix in SUFFIXES else (wanted, "")


def _eligible(
    model: Model,
    wanted: Wanted,
    catalog: Catalog,
    enabled: frozenset[str],
    suffix: str,
    details: list[tuple[str, str]],
) -> list[Attempt]:
    attempts = []
    for endpoint in model.endpoints:
        provider = catalog.providers[endpoint.provider]
        reason = _exclusion(endpoint, provider, wanted, enabled, suffix)
        if reason:
            details.append((endpoint.id, reason))
            continue
        record = wanted.byok.record_for(endpoint.provider, model.id) if wanted.byok_mode != "off" else ""
        if record:
            attempts.append(Attempt(endpoint, provider, "byok", record))
        if wanted.byok_mode != "only" and wanted.premium:
            details.append((endpoint.id, "service_tier"))
        elif wanted.byok_mode != "only":
            attempts.append(Attempt(endpoint, provider, "shared", ""))
        elif not record:
            details.append((endpoint.id, "byok_only"))
    return attempts


def _served_as(operation: str) -> str:
    """Whoever can chat can have its tokens counted: by the provider, or by our estimate in the pod."""
    return "chat" if operation == "count_tokens" else operation


def _exclusion(endpoint: Endpoint, provider: Provider, wanted: Wanted, enabled: frozenset[str], suffix: str) -> str:
    """Why this endpoint may not serve this request, or an empty string. The order decides which reason is told."""
    wishes = wanted.preferences
    if provider.slug not in enabled:
        return "provider_not_configured"
    if endpoint.price is None:
        return "unpriced"
    if _served_as(wanted.operation) not in endpoint.capabilities.operations:
        return "wrong_endpoint"
    if wishes.only and provider.slug not in wishes.only:
        return "allowed_providers"
    if provider.slug in wishes.ignore:
        return "ignored_providers"
    if not wishes.allow_fallbacks and wishes.order and provider.slug not in wishes.order:
        return "allowed_providers"
    if wishes.quantizations and endpoint.quantization not in wishes.quantizations:
        return "quantization"
    if (wishes.data_collection == "deny" or wanted.data_policy != "any") and provider.policy.trains:
        return "data_policy:training"
    if (wishes.zdr or wanted.data_policy == "zero_retention") and provider.policy.retention_days > 0:
        return "data_policy:zdr"
    if suffix == "free" and not _is_free(endpoint):
        return "free_variant_ended"
    if wishes.max_price is not None and _over_cap(endpoint, wishes.max_price):
        return "max_price"
    return _inability(endpoint, provider, wanted)


def _inability(endpoint: Endpoint, provider: Provider, wanted: Wanted) -> str:
    able = endpoint.capabilities
    if wanted.preferences.enforce_distillable_text and not able.distillable:
        return "distillable_text"
    for need in wanted.needs:
        if not getattr(able, need, True):
            return "require_parameters"
    if unmet_parameters(endpoint, provider, wanted):
        return "require_parameters"
    if wanted.long_body_bytes > 16 * able.context_tokens + SHORT_BODY_BYTES and not (
        able.vision or able.files or able.audio
    ):
        return "context_length"
    return ""


def unmet_parameters(endpoint: Endpoint, provider: Provider, wanted: Wanted) -> frozenset[str]:
    """Parameters that the client insists on and this endpoint is known not to honour."""
    takes = endpoint.capabilities.parameters
    if not wanted.parameters or not takes:
        return _NO_PARAMETERS
    return lacking(wanted.dialect, endpoint.wire_format or provider.wire_format, wanted.parameters, takes)


def _is_free(endpoint: Endpoint) -> bool:
    return endpoint.price is not None and price_of(endpoint) == 0


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
