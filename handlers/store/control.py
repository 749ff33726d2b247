"""What the control plane asks of PostgreSQL: each question is one function of migrations/0302 to 0304, in one transaction.

The function finds the tenant and the rights of the caller itself; nothing here names a tenant.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from handlers.store.pool import Pool

T = TypeVar("T")


class Caller(msgspec.Struct, frozen=True):
    """Who asks, after authentication."""

    principal: str
    """key:<key id> | session:<sha256 of the token>."""
    request: str
    """The request's id, noted in the audit trail."""
    reason: str = ""
    """Why, in the caller's words; noted in the audit trail."""


class Standing(msgspec.Struct, frozen=True):
    """What a caller is and may do now."""

    tenant_id: str
    user_id: str
    role: str
    scopes: frozenset[str]


class SignedIn(msgspec.Struct, frozen=True):
    """Whose session has begun."""

    tenant_id: str
    user_id: str
    role: str


class LeakedKey(msgspec.Struct, frozen=True):
    """A key that was revoked, and who is told."""

    key_id: str
    name: str
    tenant_id: str
    addresses: tuple[str, ...]


class ControlStore:
    """The admin room's way into the database; blocking."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def standing(self, caller: Caller) -> Standing | None:
        """The caller's tenant, role and scopes; None when it may not be here."""
        rows = self._pool.run("control_principal", caller=_text(caller))
        return msgspec.json.decode(rows[0][0], type=Standing) if rows and rows[0][0] else None

    def ask(self, question: str, caller: Caller, kind: type[T], **values: object) -> T:
        """Ask one of the functions `control_*`; its answer as `kind`.

        Raises:
            Unauthenticated, PermissionDenied, NotFound, Conflict, InvalidRequest: as the function says.
            Unavailable: the database cannot answer.
        """
        rows = self._pool.run(question, caller=_text(caller), **values)
        # Not strict: times are Unix seconds there and moments here.
        return msgspec.json.decode(rows[0][0] or "null", type=kind, strict=False)

    def sign_in(
        self,
        session_id: str,
        subject: str,
        email: str,
        *,
        tenant: str | None,
        role: str | None,
        life_s: int,
        proved_at: int,
    ) -> SignedIn | None:
        """Begin a session for somebody whom the identity provider has vouched for; None when we know nobody like it.

        `proved_at` (Unix seconds): when the person last proved who they are.
        """
        rows = self._pool.run(
            "admin_sign_in",
            session_id=session_id, subject=subject, email=email, tenant=tenant, role=role, life_s=life_s,
            proved_at=proved_at,
        )  # fmt: skip
        return msgspec.json.decode(rows[0][0], type=SignedIn) if rows[0][0] else None

    def sign_out(self, session_id: str) -> bool:
        """End a session; False when there was none."""
        return bool(self._pool.run("admin_sign_out", session_id=session_id)[0][0])

    def revoke_leaked(self, key_id: str, source: str) -> LeakedKey | None:
        """Revoke a key that was found in public; None when there is nothing to revoke."""
        rows = self._pool.run("admin_key_leaked", key_id=key_id, source=source)
        return msgspec.json.decode(rows[0][0], type=LeakedKey) if rows[0][0] else None


def _text(caller: Caller) -> str:
    return msgspec.json.encode(caller).decode()
