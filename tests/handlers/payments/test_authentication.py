from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from handlers.errors import PermissionDenied, Unauthenticated, Unavailable
from handlers.keys.grammar import MintedKey, generate_key
from handlers.keys.hashing import BcryptPool, hash_secret
from handlers.keys.principal import KeyLimits, KeyRow, Principal
from handlers.keys.verification import KeyVerifier
from handlers.payments.authentication import Customer, KeyAuthenticator
from tests.handlers.payments.rooms import MINT_KEYS

TENANT, USER = "5b0a8a53-6b3f-4f0e-9b0e-3a8d6c0e0001", "5b0a8a53-6b3f-4f0e-9b0e-3a8d6c0e0002"


class Keys:
    """A table of one key, which may be away."""

    def __init__(self, minted: MintedKey, limits: KeyLimits) -> None:
        self.away = False
        digest = hash_secret(minted.secret, cost=4)
        principal = Principal(
            key_id=minted.key_id,
            account=TENANT,
            user=USER,
            account_state="active",
            expires_at=None,
            limits=limits,
            retention_days=0,
            byok_mode="off",
        )
        self._row = KeyRow(key_id=minted.key_id, hash=digest, state="active", expires_at=None, principal=principal)

    async def find(self, key_id: str) -> KeyRow | None:
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("away")
        return self._row if key_id == self._row.key_id else None


@pytest.fixture
def pool() -> Iterator[BcryptPool]:
    pool = BcryptPool(deadline_s=30)
    yield pool
    pool.close()


def _authenticate(pool: BcryptPool, limits: KeyLimits, role: str, *, away: bool = False, header: str = "") -> Customer:
    minted = generate_key("global", "local", MINT_KEYS)
    keys = Keys(minted, limits)
    keys.away = away
    verifier = KeyVerifier(
        find_key=keys.find, bcrypt_pool=pool, mint_keys=MINT_KEYS, region="global", environment="local"
    )
    authenticator = KeyAuthenticator(verifier, lambda user: role if user == USER else "")
    try:
        return authenticator.authenticate({"authorization": header or f"Bearer {minted.token}"})
    finally:
        authenticator.close()


@pytest.mark.parametrize(
    ("limits", "role", "manages"),
    [
        (KeyLimits(), "owner", True),
        (KeyLimits(), "admin", True),
        (KeyLimits(), "member", False),
        (KeyLimits(), "viewer", False),
        (KeyLimits(), "", False),
        (KeyLimits(spend_nano=1), "owner", False),
        (KeyLimits(models=frozenset({"a/b"})), "owner", False),
        (KeyLimits(byok_only=True), "owner", False),
    ],
)
def test_who_manages(pool: BcryptPool, limits: KeyLimits, role: str, manages: bool) -> None:
    assert _authenticate(pool, limits, role) == Customer(TENANT, manages)


def test_a_key_bound_to_addresses_is_no_key_here(pool: BcryptPool) -> None:
    with pytest.raises(PermissionDenied):
        _authenticate(pool, KeyLimits(ip_ranges=("10.0.0.0/8",)), "owner")


def test_an_outage_is_not_a_refusal(pool: BcryptPool) -> None:
    with pytest.raises(Unavailable):
        _authenticate(pool, KeyLimits(), "owner", away=True)


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Basic x", "sk-tr-", "Bearer sk-tr-x", "Bearer \u00e9", "bearer a b"]
)
def test_what_is_no_key_is_refused(pool: BcryptPool, header: str) -> None:
    with pytest.raises(Unauthenticated):
        _authenticate(pool, KeyLimits(), "owner", header=header)
