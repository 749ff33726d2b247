"""The first tenant, its owner and its first management key; all that a fresh database needs for people to begin.

Only the database's role founder may make a tenant, and nobody holds its password: migrate gives it one for this moment and takes it
away again. `founding` does the same by hand.
"""

from __future__ import annotations

from contextlib import suppress
from uuid import NAMESPACE_URL, uuid5

import msgspec

from handlers.errors import Conflict
from handlers.store.admin import AdminStore
from handlers.store.pool import Pool

FIRST_TENANT = "founders"
KEY_NAME = "first management key"


class Founder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who begins, and the key's id and hash; the key itself stays with whoever made it."""

    tenant_id: str
    user_id: str
    email: str
    key_id: str
    key_hash: str

    @classmethod
    def of(cls, email: str, key_id: str, key_hash: str) -> Founder:
        """The same tenant and user whenever it is asked for."""
        tenant = str(uuid5(NAMESPACE_URL, "therouter:first-tenant"))
        return cls(tenant, str(uuid5(NAMESPACE_URL, f"therouter:first-owner:{email}")), email, key_id, key_hash)

    def __repr__(self) -> str:
        return f"Founder({self.tenant_id})"


def begin(pool: Pool, founder: Founder) -> bool:
    """Make what is missing, as the role founder; False when the tenant has a management key that works."""
    store = AdminStore(pool)
    with suppress(Conflict):
        store.create_tenant(founder.tenant_id, FIRST_TENANT)
        store.create_user(founder.user_id, founder.tenant_id, founder.email, "owner")
    try:
        store.create_first_management_key(
            founder.key_id, founder.tenant_id, founder.user_id, KEY_NAME, founder.key_hash
        )
    except Conflict:
        return False
    return True
