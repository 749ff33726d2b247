"""The short-lived token that a provider pod demands of the gateway.

It binds what a confused or broken gateway could mix up: which request, whose account, which endpoint, which BYOK record.
Form: `<expiry, Unix seconds in hex>.<keyed BLAKE2b over all fields, 128 bits in hex>`.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from hmac import compare_digest
from typing import Final

_DOMAIN: Final = b"tr-wire-v2"
_KEY_BYTES_MIN: Final = 32
_TOKEN_CHARS_MAX: Final = 64


@lru_cache(maxsize=1024)
def _begun(key: bytes, account: str, endpoint: str, byok_record: str) -> blake2b:
    """The hash over what many exchanges have in common; each token goes on from a copy of it."""
    if len(key) < _KEY_BYTES_MIN:
        raise ValueError("a wire key has at least 32 random bytes")
    mac = blake2b(key=key, digest_size=16, person=_DOMAIN)
    # The lengths make the joined fields unambiguous, whatever they contain.
    mac.update(f"{len(account)},{len(endpoint)},{len(byok_record)};{account}{endpoint}{byok_record}".encode())
    return mac


def _mac(key: bytes, request_id: str, account: str, endpoint: str, byok_record: str, expires: str) -> str:
    mac = _begun(key, account, endpoint, byok_record).copy()
    mac.update(f"{len(expires)};{expires}{request_id}".encode())
    return mac.hexdigest()


def mint_wire_token(
    key: bytes, request_id: str, account: str, endpoint: str, byok_record: str, expires_at_s: int
) -> str:
    """The token for one exchange; `byok_record` is empty on shared credentials."""
    expires = f"{expires_at_s:x}"
    return f"{expires}.{_mac(key, request_id, account, endpoint, byok_record, expires)}"


def verify_wire_token(
    key: bytes, token: str, request_id: str, account: str, endpoint: str, byok_record: str, now_s: float
) -> bool:
    """Whether the token is ours, for exactly this exchange, and not expired; constant time in the token's MAC."""
    expires, _, mac = token.partition(".")
    if len(token) > _TOKEN_CHARS_MAX or not token.isascii():
        return False
    if not compare_digest(_mac(key, request_id, account, endpoint, byok_record, expires), mac):
        return False
    return now_s < int(expires, 16)
