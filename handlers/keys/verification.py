"""Who is this? Grammar -> region -> mint tag -> cache -> row -> bcrypt, in that order and no other.

Rules
    Unknown, wrong, revoked and expired keys get the same refusal, after the same work: one row lookup and one bcrypt.
    A key that we did not make costs microseconds and never reaches the database or bcrypt.
    An outage is `Unavailable`. Whatever goes wrong while deciding is an outage; nothing that goes wrong is a success.

Theory of operation
    The cache is keyed by a hash of the whole token under a key that lives and dies with this process. An entry answers for
    five minutes and is renewed in the background during its last thirty seconds: one row lookup, and no bcrypt while the
    stored hash is the one that was verified. When the database is down an entry lives on for up to an hour, never past
    the key's own expiry. Refusals of keys that we made are remembered for a minute. Revocation arrives from outside through
    `forget`; an answer that was on its way while something was forgotten is given, and not remembered.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum, auto
from hashlib import blake2b

from handlers.errors import Unavailable
from handlers.keys.grammar import KEY_BYTES, MintKeys, ParsedKey, parse_key, refuse
from handlers.keys.hashing import BcryptPool, invent_hash
from handlers.keys.principal import KeyRow, Principal

POSITIVE_S = 300
REFRESH_AHEAD_S = 30
STALE_S_MAX = 3_600
"""How long an entry may outlive its last confirmation while the database is down."""
STALE_RETRY_S = 5
NEGATIVE_S = 60
ENTRIES_MAX = 100_000


class _Entry:
    """A verified token; times are seconds of the verifier's clock."""

    __slots__ = ("confirmed_at", "fresh_until", "parsed", "refresh_at", "row")

    def __init__(
        self, parsed: ParsedKey, row: KeyRow, *, confirmed_at: float, fresh_until: float, refresh_at: float
    ) -> None:
        self.parsed = parsed
        self.row = row
        self.confirmed_at = confirmed_at
        self.fresh_until = fresh_until
        self.refresh_at = refresh_at


class _Verdict(Enum):
    REFUSED = auto()
    UNDECIDED = auto()


class KeyVerifier:
    """Turns tokens into principals.

    Args:
        find_key: reads the row of a key id, None when there is none; raises Unavailable when it cannot tell.
        clock: Unix seconds.
    """

    def __init__(
        self,
        *,
        find_key: Callable[[str], Awaitable[KeyRow | None]],
        bcrypt_pool: BcryptPool,
        mint_keys: MintKeys,
        region: str,
        environment: str,
        clock: Callable[[], float] = time.time,
        entries_max: int = ENTRIES_MAX,
    ) -> None:
        self._find_key = find_key
        self._bcrypt_pool = bcrypt_pool
        self._mint_keys = mint_keys
        self._region = region
        self._environment = environment
        self._clock = clock
        self._entries_max = entries_max
        self._hash = blake2b(key=os.urandom(32), digest_size=16)
        """Keyed for this process; each token is hashed by a copy."""
        self._entries: dict[bytes, _Entry] = {}
        self._digests: dict[str, bytes] = {}
        self._refused: dict[bytes, tuple[float, str]] = {}
        self._flights: dict[bytes, asyncio.Task[Principal | _Verdict]] = {}
        self._forgets = 0
        self._no_hash = invent_hash()

    def renew(self, mint_keys: MintKeys) -> None:
        """Use these mint keys from now on; what is remembered stays."""
        self._mint_keys = mint_keys

    def subkeys(self, purpose: bytes) -> tuple[bytes, ...]:
        """As `MintKeys.subkeys`, of the mint keys in use."""
        return self._mint_keys.subkeys(purpose)

    def cached(self, token: bytes) -> Principal | None:
        """The principal of a token verified minutes ago, or None; starts a renewal when the entry is about to age."""
        return self.recall(self.digest_of(token))

    def recall(self, digest: bytes) -> Principal | None:
        """As `cached`, by what `digest_of` says of the token."""
        entry = self._entries.get(digest)
        if entry is None:
            return None
        now = self._clock()
        if now >= entry.fresh_until:
            return None
        if now >= entry.refresh_at:
            self._fly(digest, entry.parsed)
        return entry.row.principal

    def digest_of(self, token: bytes) -> bytes:
        """The name that a token has in this process, and nowhere else; empty for what cannot be one of ours."""
        if len(token) != KEY_BYTES:
            return b""
        digest = self._hash.copy()
        digest.update(token)
        return digest.digest()

    async def authenticate(self, token: bytes) -> Principal:
        """The principal of any token.

        Raises Unauthenticated for every key that is not good (the same way, but for the hints of `parse_key`), and
        Unavailable when that cannot be decided now.
        """
        parsed = parse_key(token, self._region, self._environment)
        if not self._mint_keys.vouch(parsed):
            raise refuse()
        principal = self.cached(token)
        if principal is not None:
            return principal
        digest = self.digest_of(token)
        if self._refused.get(digest, (0.0, ""))[0] > self._clock():
            raise refuse()
        outcome = await asyncio.shield(self._fly(digest, parsed))
        if outcome is _Verdict.UNDECIDED:
            raise Unavailable("The API key cannot be verified now; retry shortly.", retry_after_s=2)
        if isinstance(outcome, _Verdict):
            raise refuse()
        return outcome

    def forget(self, key_ids: Iterable[str]) -> None:
        """Drop what is remembered about these keys; the next request asks the database."""
        self._forgets += 1
        gone = frozenset(key_ids)
        for key_id in gone:
            self._entries.pop(self._digests.pop(key_id, b""), None)
        self._refused = {digest: refused for digest, refused in self._refused.items() if refused[1] not in gone}

    def forget_all(self) -> None:
        """Drop everything that is remembered."""
        self._forgets += 1
        self._entries.clear()
        self._digests.clear()
        self._refused = {}

    def forget_account(self, account: str) -> None:
        """Drop what is remembered about all keys of an account."""
        self.forget([key_id for key_id, digest in self._digests.items() if self._account_of(digest) == account])

    def _account_of(self, digest: bytes) -> str:
        return self._entries[digest].row.principal.account

    def _fly(self, digest: bytes, parsed: ParsedKey) -> asyncio.Task[Principal | _Verdict]:
        """The one check under way for this token."""
        flight = self._flights.get(digest)
        if flight is None:
            flight = asyncio.get_running_loop().create_task(self._decide(digest, parsed))
            self._flights[digest] = flight
            flight.add_done_callback(lambda _: self._flights.pop(digest, None))
        return flight

    async def _decide(self, digest: bytes, parsed: ParsedKey) -> Principal | _Verdict:
        forgets = self._forgets
        known = self._entries.get(digest)
        try:
            row = await self._find_key(parsed.key_id)
            good = await self._is_good(parsed, row, known)
        except Exception:  # noqa: BLE001  a fault while deciding must become neither a refusal nor a success
            return self._outlive(digest)
        remember = forgets == self._forgets
        if row is None or not good:
            self._refuse(digest, parsed.key_id, remember=remember)
            return _Verdict.REFUSED
        if remember:
            self._accept(digest, parsed, row)
        return row.principal

    async def _is_good(self, parsed: ParsedKey, row: KeyRow | None, known: _Entry | None) -> bool:
        if row is None:
            await self._bcrypt_pool.verify(parsed.secret, self._no_hash)
            return False
        verified = known is not None and known.row.hash == row.hash
        if not verified:
            verified = await self._bcrypt_pool.verify(parsed.secret, row.hash)
        unexpired = row.expires_at is None or self._clock() < row.expires_at
        return verified and unexpired and row.state == "active" and row.key_id == parsed.key_id

    def _accept(self, digest: bytes, parsed: ParsedKey, row: KeyRow) -> None:
        now = self._clock()
        fresh_until = now + POSITIVE_S
        if row.expires_at is not None:
            fresh_until = min(fresh_until, row.expires_at)
        self._entries.pop(self._digests.get(parsed.key_id, b""), None)
        if len(self._entries) >= self._entries_max:
            oldest = next(iter(self._entries))
            self._digests.pop(self._entries.pop(oldest).parsed.key_id, None)
        self._entries[digest] = _Entry(
            parsed, row, confirmed_at=now, fresh_until=fresh_until, refresh_at=now + POSITIVE_S - REFRESH_AHEAD_S
        )
        self._digests[parsed.key_id] = digest

    def _refuse(self, digest: bytes, key_id: str, *, remember: bool) -> None:
        if self._entries.pop(digest, None) is not None:
            self._digests.pop(key_id, None)
        if remember:
            if len(self._refused) >= self._entries_max:
                del self._refused[next(iter(self._refused))]
            self._refused[digest] = (self._clock() + NEGATIVE_S, key_id)

    def _outlive(self, digest: bytes) -> Principal | _Verdict:
        """The database cannot be asked: let a known key live on, within its bounds."""
        entry = self._entries.get(digest)
        if entry is None:
            return _Verdict.UNDECIDED
        now = self._clock()
        until = entry.confirmed_at + STALE_S_MAX
        if entry.row.expires_at is not None:
            until = min(until, entry.row.expires_at)
        if now >= until:
            return _Verdict.UNDECIDED
        entry.fresh_until = max(entry.fresh_until, min(until, now + STALE_RETRY_S))
        entry.refresh_at = now + STALE_RETRY_S - 1
        return entry.row.principal
