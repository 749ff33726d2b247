"""What the founder asks of PostgreSQL: the first tenant, its users and keys, credit by hand, and a look at what was used.

For the command line and the first start of a deployment. These functions name tenants, so no room may call them.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import NamedTuple

import msgspec

from handlers.catalog.entries import NANO
from handlers.keys.principal import KeyLimits
from handlers.store.pool import Pool
from handlers.store.usage import UsageRow, usage_row


class KeyListing(NamedTuple):
    """One key as its owner sees it; times are Unix seconds."""

    key_id: str
    tenant_id: str
    user_id: str
    name: str
    state: str
    limits: KeyLimits
    created_at: int
    expires_at: int | None
    last_used_day: date | None


class TenantListing(NamedTuple):
    """One tenant with its money in nano-units."""

    tenant_id: str
    name: str
    state: str
    retention_days: int
    byok_mode: str
    data_policy: str
    markup_ppm: int
    balance_nano: int
    held_nano: int
    account_state: str


class SpendingPolicy(NamedTuple):
    """What a tenant's administrator decides about spending."""

    unusual_factor: int | None = None
    """A key is stopped when it spends more in an hour than so many average hours of the week before; None: never."""
    unusual_floor_nano: int = NANO
    """Less than this in an hour is never unusual."""
    low_balance_nano: int | None = None
    """Tell when the balance is below this; None: never."""
    byok_fee_ppm: int = 0
    """What is paid for the use of the tenant's own provider keys, in parts per million of the list price."""


class AlertListing(NamedTuple):
    """One alert about spending; see `handlers.store.operations.Alert`."""

    raised_at: datetime
    kind: str
    scope: str
    subject: str
    percent: int
    period: str
    spent_nano: int
    limit_nano: int


class CreditMovement(NamedTuple):
    """One movement of a tenant's credit."""

    at: datetime
    kind: str
    """topup | refund | chargeback | adjustment | waiver."""
    reason: str
    amount_nano: int
    expires_at: datetime | None
    """When a grant ends; None for credit that does not."""
    left_nano: int | None
    """What is left of a grant, as of the last time that a grant began or ended."""


class LedgerRule(NamedTuple):
    """One sum of the ledger against its counterpart; nano-units, or a count."""

    rule: str
    left: int
    right: int
    difference: int


class AdminStore:
    """The founder's façade; blocking, for the command line. Its pool is of the role `founder`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def create_tenant(self, tenant_id: str, name: str) -> None:
        """Create a tenant and its account; Conflict when the id exists."""
        self._pool.run("admin_create_tenant", tenant=tenant_id, name=name)

    def create_user(self, user_id: str, tenant_id: str, email: str, role: str = "member") -> None:
        """Create a user (role: owner | admin | billing | member | viewer | auditor); Conflict when id or address exists in the tenant."""
        self._pool.run("admin_create_user", user=user_id, tenant=tenant_id, email=email, role=role)

    def create_key(
        self,
        key_id: str,
        tenant_id: str,
        user_id: str,
        name: str,
        digest: str,
        *,
        limits: KeyLimits | None = None,
        expires_at: int | None = None,
    ) -> None:
        """Record a key: its id and the bcrypt `digest` of its secret. `expires_at` is Unix seconds."""
        encoded = msgspec.json.encode(limits or KeyLimits(), order="deterministic").decode()
        self._pool.run(
            "admin_create_key", key_id=key_id, tenant=tenant_id, user=user_id, name=name, hash=digest, limits=encoded,
            expires_at=expires_at,
        )  # fmt: skip

    def create_first_management_key(self, key_id: str, tenant_id: str, user_id: str, name: str, digest: str) -> None:
        """The key that all others come from; Conflict when the tenant has one that works."""
        self._pool.run(
            "admin_first_management_key", key_id=key_id, tenant=tenant_id, user=user_id, name=name, hash=digest
        )

    def revoke_key(self, tenant_id: str, key_id: str) -> bool:
        """Revoke a key; False when it was revoked already, NotFound when the tenant has none of this id."""
        return bool(self._pool.run("admin_revoke_key", tenant=tenant_id, key_id=key_id)[0][0])

    def list_keys(self, tenant_id: str | None = None) -> list[KeyListing]:
        """The keys of a tenant, or of all; never their hashes."""
        return [
            KeyListing(key_id, str(tenant), str(user), name, state, msgspec.json.decode(limits, type=KeyLimits), *rest)
            for key_id, tenant, user, name, state, limits, *rest in self._pool.run("admin_list_keys", tenant=tenant_id)
        ]

    def list_tenants(self) -> list[TenantListing]:
        """All tenants."""
        return [TenantListing(str(tenant), *rest) for tenant, *rest in self._pool.run("admin_list_tenants")]

    def recent_usage(self, tenant_id: str, *, since: datetime, limit: int = 100) -> list[UsageRow]:
        """The latest usage rows of a tenant, newest first."""
        return [usage_row(row) for row in self._pool.run("usage_recent", tenant=tenant_id, limit=limit, since=since)]

    def adjust_credit(self, key: str, tenant_id: str, amount_nano: int, reason: str) -> str:
        """Correct a balance by hand, once per `key`: ok | exists.

        The reason is one of goodwill, promotion, correction, expiry, local, waiver.
        """
        rows = self._pool.run("credit_adjust", key=key, tenant=tenant_id, amount_nano=amount_nano, reason=reason)
        return str(rows[0][0])

    def grant_credit(self, key: str, tenant_id: str, amount_nano: int, reason: str, expires_at: datetime) -> str:
        """Give credit that ends and is spent before all other, once per `key`: ok | exists. Reason: goodwill | promotion."""
        rows = self._pool.run(
            "credit_grant_until",
            key=key,
            tenant=tenant_id,
            amount_nano=amount_nano,
            reason=reason,
            expires_at=expires_at,
        )
        return str(rows[0][0])

    def credit_movements(self, tenant_id: str, limit: int = 100) -> list[CreditMovement]:
        """Everything that changed a tenant's credit but its use, newest first."""
        return [CreditMovement(*row) for row in self._pool.run("credit_list", tenant=tenant_id, limit=limit)]

    def set_spending(self, tenant_id: str, policy: SpendingPolicy) -> None:
        """Decide what is unusual, when a balance is low, and what own provider keys cost."""
        self._pool.run("admin_set_spending", tenant=tenant_id, **policy._asdict())

    def confirm_key(self, tenant_id: str, key_id: str) -> bool:
        """Let a key that was stopped for unusual spending go on; False when it is not stopped."""
        return bool(self._pool.run("admin_confirm_key", tenant=tenant_id, key_id=key_id)[0][0])

    def list_alerts(self, tenant_id: str, limit: int = 100) -> list[AlertListing]:
        """A tenant's alerts, newest first."""
        return [AlertListing(*row) for row in self._pool.run("alert_list", tenant=tenant_id, limit=limit)]

    def check_ledger(self) -> list[LedgerRule]:
        """The sums that must be equal; a difference other than 0 is a fault that pages."""
        return [LedgerRule(rule, int(a), int(b), int(c)) for rule, a, b, c in self._pool.run("ledger_check")]
