"""What the payments room asks of PostgreSQL: orders, refunds, receipts, ids of payment methods, notices."""

from __future__ import annotations

import uuid
from datetime import datetime

import msgspec

from handlers.keys.principal import KeyLimits, KeyRow, Principal
from handlers.store.pool import Pool


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One top-up. Amounts are minor units (cents, fen); times are Unix seconds; ids of the company may be empty."""

    order_id: str
    tenant: str
    provider: str
    kind: str
    """checkout | automatic."""
    amount_minor: int
    currency: str
    mode: str
    """live | test."""
    state: str
    """pending | paid | refunded | closed | failed."""
    keep_method: bool
    customer: str
    method: str
    company_order: str
    company_payment: str
    refunded_minor: int
    disputed: bool
    flag: str
    """What contradicted the order, or empty."""
    created_at: int
    expires_at: int
    paid_at: int | None


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """Money on its way back; the balance has paid for it already."""

    refund_id: str
    order_id: str
    amount_minor: int
    state: str
    """pending | succeeded | failed."""
    company_refund: str
    created_at: int


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The company's invoice or receipt for a paid order."""

    receipt_id: str
    order_id: str
    amount_minor: int
    currency: str
    issued_at: int


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The tenant at the company, and its standing order for more credit (amount 0: none)."""

    customer: str = ""
    tax_id: str = ""
    automatic_method: str = ""
    automatic_threshold_minor: int = 0
    automatic_amount_minor: int = 0
    automatic_failures: int = 0


class PaidOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What we say was paid."""

    order_id: str
    company_payment: str
    amount_minor: int


class Application(msgspec.Struct, frozen=True, kw_only=True):
    """A notice as the database takes it; the fields are those of `payments_apply`."""

    provider: str
    event: str
    kind: str
    order_id: str | None
    tenant: str | None
    amount_minor: int
    currency: str
    mode: str
    company_order: str
    company_payment: str
    refund_id: str | None
    reference: str
    receipt: str
    method: str


class PaymentStore:
    """The payments room's façade; blocking. All methods raise Unavailable when the database cannot answer."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def open_order(
        self, order_id: str, tenant: str, *, provider: str, amount_minor: int, currency: str, mode: str,
        keep_method: bool, customer: str, request_key: str, life_s: int,
    ) -> Order:  # fmt: skip
        """Begin a top-up; the same `request_key` (if not empty) gives the same order.

        Raises:
            Conflict: the request key was used with other values.
            PermissionDenied: the account is frozen or closed.
            RateLimited: too many orders are pending.
        """
        rows = self._pool.run(
            "payments_open_order",
            order=order_id,
            tenant=tenant,
            provider=provider,
            amount=amount_minor,
            currency=currency,
            mode=mode,
            keep_method=keep_method,
            customer=customer,
            request_key=request_key,
            life_s=life_s,
        )
        return _order(rows[0])

    def bind_order(self, order_id: str, company_order: str) -> None:
        """Note the company's id of an order, once."""
        self._pool.run("payments_bind_order", order=order_id, company_order=company_order)

    def find_order(self, order_id: str, tenant: str | None = None) -> Order | None:
        """An order, of this tenant if one is named."""
        rows = self._pool.run("payments_find_order", tenant=tenant, order=order_id)
        return _order(rows[0]) if rows else None

    def list_orders(self, tenant: str, limit: int = 50) -> list[Order]:
        """The tenant's latest orders, latest first."""
        return [_order(row) for row in self._pool.run("payments_list_orders", tenant=tenant, limit=limit)]

    def claim_orders(self, limit: int) -> list[Order]:
        """Pending orders that it is time to ask the company about; nobody else gets them for a while."""
        return [_order(row) for row in self._pool.run("payments_claim_orders", limit=limit)]

    def claim_order(self, order_id: str, tenant: str) -> Order | None:
        """The same for one order, unless it was asked about a moment ago."""
        rows = self._pool.run("payments_claim_order", tenant=tenant, order=order_id)
        return _order(rows[0]) if rows else None

    def open_automatic(self, provider: str, currency: str, mode: str, limit: int) -> list[Order]:
        """New orders for tenants whose credit fell below their threshold."""
        rows = self._pool.run("payments_open_automatic", provider=provider, currency=currency, mode=mode, limit=limit)
        return [_order(row) for row in rows]

    def apply(self, notice: Application) -> str:
        """Let one notice act, at most once; returns the outcome (see 0201_payment_notices.sql)."""
        rows = self._pool.run("payments_apply", **msgspec.structs.asdict(notice))
        return str(rows[0][0])

    def open_refund(
        self, refund_id: str, tenant: str, order_id: str, *, amount_minor: int | None, request_key: str
    ) -> Refund:
        """Take a refund out of the balance; None is all that is left of the payment.

        Raises:
            NotFound: no such order.
            Conflict: not paid, disputed, refunded already, more than was paid, or spent already.
            PermissionDenied: the account is frozen or closed.
        """
        rows = self._pool.run(
            "payments_open_refund",
            refund=refund_id,
            tenant=tenant,
            order=order_id,
            amount=amount_minor,
            request_key=request_key,
        )
        return _refund(rows[0])

    def bind_refund(self, refund_id: str, company_refund: str) -> None:
        """Note the company's id of a refund, once."""
        self._pool.run("payments_bind_refund", refund=refund_id, company_refund=company_refund)

    def list_refunds(self, tenant: str, order_id: str) -> list[Refund]:
        """The refunds of an order, oldest first."""
        return [_refund(row) for row in self._pool.run("payments_list_refunds", tenant=tenant, order=order_id)]

    def claim_refunds(self, limit: int) -> list[Refund]:
        """Pending refunds that it is time to ask the company about."""
        return [_refund(row) for row in self._pool.run("payments_claim_refunds", limit=limit)]

    def list_receipts(self, tenant: str, limit: int = 50) -> list[Receipt]:
        """The tenant's receipts, latest first."""
        rows = self._pool.run("payments_list_receipts", tenant=tenant, limit=limit)
        return [
            Receipt(receipt_id=receipt, order_id=str(order), amount_minor=amount, currency=currency, issued_at=at)
            for receipt, order, amount, currency, at in rows
        ]

    def owns_receipt(self, tenant: str, receipt_id: str) -> bool:
        """Whether the receipt is of an order of this tenant."""
        return bool(self._pool.run("payments_find_receipt", tenant=tenant, receipt=receipt_id)[0][0])

    def list_methods(self, tenant: str) -> list[str]:
        """Ids of the payment methods that the tenant agreed to keep."""
        return [str(row[0]) for row in self._pool.run("payments_list_methods", tenant=tenant)]

    def remove_method(self, tenant: str, method: str) -> bool:
        """Forget a method and the standing order that would use it; False when it is not the tenant's."""
        return bool(self._pool.run("payments_remove_method", tenant=tenant, method=method)[0][0])

    def profile(self, tenant: str) -> Profile:
        """The tenant's profile; an empty one when nothing was set."""
        rows = self._pool.run("payments_find_profile", tenant=tenant)
        return Profile(**dict(zip(Profile.__struct_fields__, rows[0], strict=True))) if rows else Profile()

    def set_customer(self, tenant: str, customer: str) -> str:
        """Note the company's customer id, once; returns the one that stands."""
        return str(self._pool.run("payments_set_customer", tenant=tenant, customer=customer)[0][0])

    def set_tax_id(self, tenant: str, tax_id: str) -> None:
        """Note the company's id of the tenant's tax id; empty for none."""
        self._pool.run("payments_set_tax_id", tenant=tenant, tax_id=tax_id)

    def set_automatic(self, tenant: str, *, threshold_minor: int, amount_minor: int, method: str) -> None:
        """Set the standing order; amount 0 ends it. NotFound when the method is not the tenant's."""
        self._pool.run(
            "payments_set_automatic", tenant=tenant, threshold=threshold_minor, amount=amount_minor, method=method
        )

    def list_paid(self, provider: str, since_s: int, until_s: int) -> list[PaidOrder]:
        """Orders that became paid in a time, given in Unix seconds."""
        rows = self._pool.run("payments_list_paid", provider=provider, since=since_s, until=until_s)
        return [PaidOrder(order_id=str(row[0]), company_payment=row[1], amount_minor=row[2]) for row in rows]

    def note_comparison(self, provider: str, day: str, *, listed: int, repaired: int, missing: int) -> None:
        """A day was compared with the company's list."""
        self._pool.run(
            "payments_note_comparison", provider=provider, day=day, listed=listed, repaired=repaired, missing=missing
        )

    def uncompared_days(self, provider: str, until: str) -> list[str]:
        """Days up to one, as text, on which something was paid and which were never compared; the oldest first."""
        return [str(day) for (day,) in self._pool.run("payments_uncompared_days", provider=provider, until=until)]

    def flag_missing(self, order_id: str) -> None:
        """The company does not list this order's payment: flag it, so that a person looks."""
        self._pool.run("payments_flag_missing", order=order_id)

    def forget_events(self, days: int) -> int:
        """Drop replay tokens older than this, at least a week; returns how many."""
        return int(self._pool.run("payments_forget_events", days=days)[0][0])

    def role(self, user: str) -> str:
        """Owner | admin | member | viewer; empty when there is no such user."""
        return str(self._pool.run("payments_role", user=user)[0][0] or "")

    async def find_key(self, key_id: str) -> KeyRow | None:
        """The row of an API key, for its verifier; only what identifies and limits its holder."""
        rows = await self._pool.call("payments_key", key_id=key_id)
        if not rows:
            return None
        _, digest, state, expires_at, tenant, user, account_state, limits = rows[0]
        principal = Principal(
            key_id=key_id,
            account=str(tenant),
            user=str(user),
            account_state=account_state,
            expires_at=expires_at,
            limits=msgspec.json.decode(limits, type=KeyLimits),
            retention_days=0,
            byok_mode="off",
        )
        return KeyRow(key_id=key_id, hash=digest, state=state, expires_at=expires_at, principal=principal)


def _plain(value: object) -> object:
    if isinstance(value, uuid.UUID):
        return str(value)
    return int(value.timestamp()) if isinstance(value, datetime) else value


def _order(row: tuple[object, ...]) -> Order:
    return msgspec.convert(dict(zip(Order.__struct_fields__, map(_plain, row), strict=True)), type=Order)


def _refund(row: tuple[object, ...]) -> Refund:
    return msgspec.convert(dict(zip(Refund.__struct_fields__, map(_plain, row), strict=True)), type=Refund)
