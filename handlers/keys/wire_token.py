"""The short-lived token that a provider pod demands of the gateway.

It binds what a confused or broken gateway could mix up: which request, whose account, which endpoint, which BYOK record.
Form: `<expiry, Unix seconds in hex>.<keyed BLAKE2b over all fields, 128 bits in hex>`.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from hashlib import blake2b

_DOMAIN = b"tr-wire-v1"
_KEY_BYTES_MIN = 32
_TOKEN_CHARS_MAX = 64


@lru_cache(maxsize=256)
def _keyed(key: bytes) -> blake2b:
    """The hash with its key already in; each token starts from a copy of it."""
    if len(key) < _KEY_BYTES_MIN:
        raise ValueError("a wire key has at least 32 random bytes")
    return blake2b(key=key, digest_size=16, person=_DOMAIN)


def _mac(key: bytes, request_id: str, account: str, endpoint: str, byok_record: str, expires: str) -> str:
    # The lengths make the joined fields unambiguous, whatever they contain.
    fields = (
        f"{len(request_id)},{len(account)},{len(endpoint)},{len(byok_record)};"
        f"{request_id}{account}{endpoint}{byok_record}{expires}"
    )
    mac = _keyed(key).copy()
    mac.update(fields.encode())
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
    if not hmac.compare_digest(_mac(key, request_id, account, endpoint, byok_record, expires), mac):
        return False
    return now_s < int(expires, 16)
