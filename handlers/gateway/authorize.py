"""What an authenticated key may do with one call. Pure: the principal, the call and the peer go in, a `Grant` comes out."""

from __future__ import annotations

from dataclasses import dataclass

from handlers.errors import PaymentRequired, PermissionDenied
from handlers.gateway.byok import NO_RECORDS, ByokChoice
from handlers.keys.addresses import inside
from handlers.keys.principal import Principal

_STRICTNESS = {"any": 0, "no_training": 1, "zero_retention": 2}


@dataclass(frozen=True)
class Grant:
    """What one request may use."""

    principal: Principal
    models: frozenset[str]
    """Allowed model ids; empty allows all."""
    data_policy: str
    """any | no_training | zero_retention: the strictest of tenant and key."""
    byok_mode: str
    """prefer | only | off."""
    byok: ByokChoice
    """The customer's own provider keys that this key may use."""


def authorize(principal: Principal, peer: str, byok: ByokChoice = NO_RECORDS) -> Grant:
    """The grant, or PermissionDenied (403) / PaymentRequired (402) with the remedy."""
    limits = principal.limits
    if limits.management:
        raise PermissionDenied(
            "A management key is for the admin API and cannot infer; use an ordinary API key.", code="management_key"
        )
    if principal.account_state != "active":
        _refuse_account(principal.account_state)
    if limits.ip_ranges and not inside(peer, limits.ip_ranges):
        raise PermissionDenied(
            "This key may not be used from this address; change its IP ranges.", code="ip_not_allowed"
        )
    policy = principal.data_policy
    if _STRICTNESS.get(limits.data_policy, 2) > _STRICTNESS.get(policy, 2):
        policy = limits.data_policy
    return Grant(
        principal=principal,
        models=limits.models,
        data_policy=policy,
        byok_mode="only" if limits.byok_only else principal.byok_mode,
        byok=byok,
    )


def _refuse_account(state: str) -> None:
    if state == "frozen":
        raise PaymentRequired("This account is frozen after a payment dispute; contact support.", code="account_frozen")
    raise PermissionDenied("This account is closed.", code="account_closed")
