"""Which endpoints a request may try, in which order: a pure function of its arguments.

Theory of operation
    Filters exclude (eligibility.py), and each exclusion is counted under its reason; preferences only order (ordering.py). Constraints (data
    policy, price cap, required abilities, BYOK-only, the client's own lists) are filters, so no fallback can relax them.
    Provider-bound material prefers the credential that made it, and is left out for every other (makers.py). The models of a request come one after the other, or, with `sort.partition` none, as one list.
    Given the same call, grant, catalogue, health snapshot, remembered conversations and seed, the plan is the same.
"""

from __future__ import annotations

from typing import NamedTuple

from handlers.catalog.elsewhere import refuse_model, refuse_providers
from handlers.catalog.entries import Catalog
from handlers.catalog.names import find_model, nearest_names
from handlers.errors import InvalidRequest, NotFound, Unavailable
from handlers.gateway.attempts import Attempt, RoutePlan, counted
from handlers.gateway.authorize import Grant
from handlers.gateway.call import Call
from handlers.gateway.eligibility import Eligibility, Wanted, split_suffix, unmet_parameters, wanted_by
from handlers.gateway.health import HealthSnapshot
from handlers.gateway.makers import latest_maker
from handlers.gateway.ordering import Circumstances, in_order, saves_by_cache
from handlers.gateway.preferences import SortRule
from handlers.gateway.sticky import (
    NOTHING_REMEMBERED,
    Stay,
    Sticky,
    conversation_of,
)

ATTEMPTS_MAX = 4


class _Conversation(NamedTuple):
    """What is known of the conversation that a request belongs to."""

    name: bytes
    stay: Stay | None

    def seed(self, attempts: list[Attempt], otherwise: int) -> int:
        """Replicas draw alike for a conversation, where that saves something."""
        if self.name and any(saves_by_cache(attempt.endpoint) for attempt in attempts):
            return int.from_bytes(self.name[:4], "big")
        return otherwise

    def preferred(self, attempts: list[Attempt]) -> tuple[str, str]:
        """Who served it last, while that provider's cache may still hold it and saves something."""
        stay = self.stay
        if stay is None:
            return ("", "")
        known = any(a.endpoint.id == stay.endpoint and saves_by_cache(a.endpoint) for a in attempts)
        return (stay.endpoint, stay.credential) if known else ("", "")


_NO_CONVERSATION = _Conversation(b"", None)


def route_plan(
    call: Call,
    grant: Grant,
    eligibility: Eligibility,
    health: HealthSnapshot,
    seed: int,
    remembered: Sticky = NOTHING_REMEMBERED,
    now: float = 0.0,
) -> RoutePlan:
    """The plan, or NotFound (no such model), InvalidRequest (filtered by the client's wishes) or Unavailable (503)."""
    catalog = eligibility.catalog
    found = eligibility.candidates(call, grant)
    if not found.groups:
        _refuse(call, grant, catalog, found.known, found.details)
    if found.sole is not None:
        return found.sole
    groups, details = [(suffix, list(group)) for suffix, group in found.groups], list(found.details)
    account = grant.principal.account
    conversation = _conversation(call, account, remembered, now)
    sort = call.preferences.sort
    if isinstance(sort, SortRule) and sort.partition == "none":
        groups = [("", [attempt for _, group in groups for attempt in group])]
    maker = latest_maker(call.made)
    ordered: list[Attempt] = []
    for suffix, group in groups:
        stay = conversation.preferred(group)
        given = Circumstances(call, health, account, conversation.seed(group, seed), stay, maker)
        ordered += in_order(group, suffix, given)
    limit = ATTEMPTS_MAX if call.preferences.allow_fallbacks else max(1, len(call.preferences.order))
    details += [(attempt.endpoint.id, "attempts_limit") for attempt in ordered[limit:]]
    return RoutePlan(tuple(ordered[:limit]), tuple(details), seed, catalog.version, conversation.name)


def _conversation(call: Call, account: str, remembered: Sticky, now: float) -> _Conversation:
    if call.route.operation != "chat":
        return _NO_CONVERSATION
    name = conversation_of(call, account)
    return _Conversation(name, remembered.find(name, now) if name else None)


def _unmet(wanted: Wanted, catalog: Catalog) -> str:
    """Parameters that some endpoint of the models asked for does not honour, for the error."""
    models = [find_model(catalog, split_suffix(name)[0]) for name in wanted.models]
    endpoints = [endpoint for model in models if model for endpoint in model.endpoints]
    unmet = [unmet_parameters(endpoint, catalog.providers[endpoint.provider], wanted) for endpoint in endpoints]
    return ", ".join(sorted(frozenset().union(*unmet)))


_OURS = frozenset({"provider_not_configured", "unpriced"})


def _refuse(
    call: Call,
    grant: Grant,
    catalog: Catalog,
    known: bool,  # noqa: FBT001 - private
    details: tuple[tuple[str, str], ...],
) -> None:
    wanted = call.models[0]
    if not known and all(reason == "region_restricted" for _, reason in details):
        raise refuse_model(catalog.region)
    if not known:
        near = nearest_names(catalog, split_suffix(wanted)[0])
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise NotFound(
            f"There is no model of this name.{hint} GET /v1/models lists all.",
            param="model",
            code="model_not_found",
            detail={
                "availability": {
                    "code": "model_not_found",
                    "retryable": False,
                    "retry_after": None,
                    "requested_models": list(call.models),
                    "fallback_models": near,
                }
            },
        )
    excluded = counted(details)
    if "allowed_providers" in excluded:
        refuse_providers(catalog.region, call.preferences.only)
    ours = set(excluded) <= _OURS
    availability: dict[str, object] = {
        "code": "no_endpoints" if ours else "constraint_filtered",
        "retryable": ours,
        "retry_after": None,
        "requested_models": list(call.models),
        "excluded_by": excluded,
        "not_chosen": [{"endpoint": endpoint, "reason": reason} for endpoint, reason in details],
    }
    if ours:
        raise Unavailable(
            "No provider that serves this model is configured here. Enable one (see the README: provider keys).",
            code="no_endpoints",
            detail={"availability": availability},
        )
    unmet = _unmet(wanted_by(call, grant), catalog) if "require_parameters" in excluded else ""
    if unmet:
        availability["constraint"] = {"field": "provider.require_parameters", "detail": unmet}
    if excluded.keys() - _OURS == {"wrong_endpoint"}:
        raise InvalidRequest(
            f"This model is not for {call.route.name}; GET /v1/models tells what each model can do.",
            param="model",
            code="model_not_for_operation",
            detail={"availability": availability},
        )
    reasons = ", ".join(sorted(excluded))
    raise InvalidRequest(
        f"Every endpoint of this model was excluded ({reasons}). Relax the matching preference or policy.",
        param="provider",
        code="constraint_filtered",
        detail={"availability": availability},
    )
