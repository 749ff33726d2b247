"""What a database error means, in our own words. The border where PostgreSQL's exceptions end.

Only the SQLSTATE and the constraint's name are ever read: the other fields of a database error quote values.
"""

from __future__ import annotations

from typing import NamedTuple

from handlers.errors import (
    ClientError,
    Conflict,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    RateLimited,
    TheRouterError,
    Unauthenticated,
    Unavailable,
)


class Refusal(NamedTuple):
    """The client's error behind a constraint; `param` names the field at fault."""

    error: type[ClientError]
    message: str
    param: str | None = None
    code: str | None = None


REFUSALS: dict[str, Refusal] = {
    "tenant_unknown": Refusal(NotFound, "There is no such tenant.", "tenant_id"),
    "user_unknown": Refusal(NotFound, "The tenant has no such user.", "user_id"),
    "key_unknown": Refusal(NotFound, "The tenant has no such key; list the keys to see their ids.", "key_id"),
    "key_not_stopped": Refusal(
        NotFound, "The tenant has no such key that is stopped; GET /admin/spending lists those that are.", "key_id"
    ),
    "amount_invalid": Refusal(InvalidRequest, "The amount must be greater than zero.", "amount_nano"),
    "reason_invalid": Refusal(InvalidRequest, "The reason must be one of the documented words.", "reason"),
    "lease_invalid": Refusal(InvalidRequest, "The amounts of a lease are zero or more and its life is 1 to 86400 s."),
    "lease_of_another_tenant": Refusal(Conflict, "The lease belongs to another tenant."),
    "transaction_key_reused": Refusal(Conflict, "This key has been booked with another amount or tenant.", "key"),
    "retention_not_over": Refusal(Conflict, "Rows within the tenant's retention are not purged.", "cutoff"),
    "tenant_pkey": Refusal(Conflict, "A tenant with this id exists.", "tenant_id"),
    "tenant_name_check": Refusal(InvalidRequest, "A tenant's name is not empty.", "name"),
    "tenant_retention_days_check": Refusal(InvalidRequest, "Retention is 1 to 730 days.", "retention_days"),
    "tenant_byok_mode_check": Refusal(InvalidRequest, "The BYOK mode is prefer, only or off.", "byok_mode"),
    "tenant_data_policy_check": Refusal(
        InvalidRequest, "The data policy is any, no_training or zero_retention.", "data_policy"
    ),
    "tenant_markup_ppm_check": Refusal(InvalidRequest, "The markup is 0 to 10000000 parts per million.", "markup_ppm"),
    "app_user_pkey": Refusal(Conflict, "A user with this id exists.", "user_id"),
    "app_user_email_key": Refusal(Conflict, "The tenant has a user with this address.", "email"),
    "app_user_email_check": Refusal(InvalidRequest, "That is not an e-mail address.", "email"),
    "app_user_role_check": Refusal(
        InvalidRequest, "A role is owner, admin, billing, member, viewer or auditor.", "role"
    ),
    "app_user_tenant_id_fkey": Refusal(NotFound, "There is no such tenant.", "tenant_id"),
    "api_key_pkey": Refusal(Conflict, "A key with this id exists.", "key_id"),
    "api_key_limits_check": Refusal(
        InvalidRequest, "The limits hold an unknown field or a value that does not fit it.", "limits"
    ),
    "api_key_key_id_check": Refusal(InvalidRequest, "A key id is 16 letters and digits.", "key_id"),
    "account_inactive": Refusal(PermissionDenied, "The account is frozen or closed; ask support to look at it."),
    "orders_open": Refusal(RateLimited, "Too many orders are unpaid; pay or close one of them first."),
    "request_key_reused": Refusal(
        Conflict, "This Idempotency-Key was used with other values; use another.", "idempotency-key"
    ),
    "order_unknown": Refusal(NotFound, "There is no such order; list the orders to see their ids.", "order_id"),
    "order_not_refundable": Refusal(
        Conflict, "The order is not paid, is disputed, or is refunded already.", "order_id"
    ),
    "refund_exceeds_payment": Refusal(
        Conflict, "The refund is greater than what is left of the payment.", "amount_minor"
    ),
    "credit_spent": Refusal(Conflict, "The credit has been spent or is in use; refund less.", "amount_minor"),
    "method_unknown": Refusal(
        NotFound, "There is no such payment method; list the methods to see their ids.", "method"
    ),
    "principal_unknown": Refusal(
        Unauthenticated, "The management key or session is not valid (any more); sign in again."
    ),
    "scope_missing": Refusal(
        PermissionDenied, "Your role does not allow this; ask an owner or admin.", code="scope_missing"
    ),
    "step_up_required": Refusal(
        PermissionDenied, "This needs a fresh proof of who you are; sign in again.", code="step_up_required"
    ),
    "role_above_own": Refusal(
        PermissionDenied, "Nobody gives or takes a role that may more than their own.", "role", "role_above_own"
    ),
    "last_owner": Refusal(
        Conflict, "A tenant keeps at least one owner; appoint another first.", "user_id", "last_owner"
    ),
    "key_revoked": Refusal(Conflict, "The key is revoked or expired and stays so; make a new one.", "key_id"),
    "management_key_exists": Refusal(
        Conflict, "The tenant has a management key that works; make further ones with it, or revoke it first.", "key_id"
    ),
    "byok_unknown": Refusal(NotFound, "The tenant has no such provider key; list them to see their ids.", "record_id"),
    "byok_sealed_invalid": Refusal(InvalidRequest, "A provider key sealed anew keeps its place.", "sealed"),
    "restore_entry_invalid": Refusal(
        InvalidRequest, "An entry is a kind, an id and a value, as the checkpoint function reports them.", "entries"
    ),
    "confirmation_required": Refusal(
        Conflict,
        "This removes data for good; confirm it as its documentation says.",
        "confirm",
        "confirmation_required",
    ),
    "grant_reason_invalid": Refusal(InvalidRequest, "A grant's reason is goodwill or promotion.", "reason"),
    "grant_end_invalid": Refusal(InvalidRequest, "A grant ends in the future.", "expires_at"),
    "append_only": Refusal(Conflict, "What is written here is never changed."),
    "checkpoint_key_succeeded": Refusal(
        Conflict, "This key has handed over to another, which signs checkpoints now.", "verifier"
    ),
    "checkpoint_beyond_trail": Refusal(Conflict, "A checkpoint covers rows that exist.", "size"),
    "label_check": Refusal(
        InvalidRequest, "A name is one line without control characters, and without spaces at its ends.", "name"
    ),
}
REFUSED_CLASSES = frozenset({"22", "23", "TR"})
"""SQLSTATE classes that speak about the values we sent; all others speak about the database."""
RETRY_STATES = frozenset({"40001", "40P01"})
"""Serialisation failure and deadlock: nothing was done, and the same statement may succeed at once."""
PREPARE_AGAIN_STATES = frozenset({"26000", "0A000"})
"""The prepared statement is gone or its result type changed."""


class StatementRefused(TheRouterError):
    """The database refused our values for a reason that no caller foresaw: a fault of ours, and not an outage."""

    def __init__(self, sqlstate: str, constraint: str) -> None:
        super().__init__("The request could not be recorded; the fault is ours and has been noted.")
        self.sqlstate = sqlstate
        self.constraint = constraint


def database_unavailable() -> Unavailable:
    """The one error for every outage of the database."""
    return Unavailable("The database cannot be reached or is busy; retry shortly.", retry_after_s=1)


def explain(sqlstate: str, constraint: str) -> TheRouterError:
    """Our error for a database error."""
    refusal = REFUSALS.get(constraint)
    if refusal is not None and sqlstate[:2] in REFUSED_CLASSES:
        return refusal.error(refusal.message, param=refusal.param, code=refusal.code)
    if sqlstate[:2] in REFUSED_CLASSES:
        return StatementRefused(sqlstate, constraint)
    return database_unavailable()
