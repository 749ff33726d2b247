"""Who is asking, and what their key permits. Built from one database row, cached for minutes, never empty."""

from __future__ import annotations

import msgspec

_NO_RATES = (None, None, None)


class KeyLimits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one key may do beyond what its tenant may; None or empty means no further restriction."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None
    spend_nano: int | None = None
    spend_period: str = ""
    """daily | weekly | monthly | '' (for ever)."""
    models: frozenset[str] = frozenset()
    """Allowed model ids; empty allows all."""
    ip_ranges: tuple[str, ...] = ()
    """CIDR ranges that may use the key; empty allows all."""
    byok_only: bool = False
    data_policy: str = "any"
    """any | no_training | zero_retention: a floor that requests may only tighten."""
    management: bool = False
    """A key for the admin API; it infers nothing. Never stored here: the key's row says so."""


class SubjectLimits(msgspec.Struct, frozen=True):
    """Limits per minute and of open requests that one subject has over all of its keys together."""

    scope: str
    """key | user | tenant."""
    subject: str
    """Whose window it is: the key's id, `user:<id>` or `tenant:<id>`."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None


class Principal(msgspec.Struct, frozen=True):
    """An authenticated key. Times are Unix seconds."""

    key_id: str
    """The 16 public characters of the key."""
    account: str
    """The tenant's id (UUID)."""
    user: str
    """The user's id (UUID) whom usage is booked to."""
    account_state: str
    """active | frozen | closed."""
    expires_at: int | None
    limits: KeyLimits
    retention_days: int
    byok_mode: str
    """prefer | only | off."""
    markup_ppm: int = 0
    """Added to the list price, in parts per million."""
    data_policy: str = "any"
    """The tenant's own floor; the stricter of this and the key's applies."""
    byok_fee_ppm: int = 0
    """What the tenant pays us when its own provider key serves, in parts per million of the list price."""
    shared_limits: tuple[SubjectLimits, ...] = ()
    """Those of the key's user and tenant."""
    windows: tuple[SubjectLimits, ...] = ()
    """All limits that a request is counted against, the key's own first. Always made from the two above."""

    def __post_init__(self) -> None:
        if not (self.key_id and self.account and self.user):
            raise ValueError("a principal names its key, its account and its user")
        own = self.limits
        rates = own.requests_per_minute, own.tokens_per_minute, own.concurrent_requests
        mine = () if rates == _NO_RATES else (SubjectLimits("key", self.key_id, *rates),)
        msgspec.structs.force_setattr(self, "windows", (*mine, *self.shared_limits))


class KeyRow(msgspec.Struct, frozen=True):
    """What the database knows about one key id; the answer of `KeyVerifier`'s `find_key`."""

    key_id: str
    hash: str
    """bcrypt hash as text, `$2b$10$...`."""
    state: str
    """active | revoked; anything but `active` refuses the key."""
    expires_at: int | None
    """Unix seconds; None: never."""
    principal: Principal

    def __repr__(self) -> str:
        return f"KeyRow(key_id={self.key_id!r}, state={self.state!r})"
