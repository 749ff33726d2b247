"""What stands for a secret in the audit trail: an HMAC under a key that has a version, `hmac:v2:<64 hexadecimal digits>`.

The secret `audit/digest` is {"newest": "2", "keys": {"1": "...", "2": "..."}}; a text that is no object is version 1 alone. New
digests are made with the newest version; with the others, who has a secret recognises the digests of before.
"""

from __future__ import annotations

import hmac
from typing import NamedTuple

import msgspec

KEY_BYTES_MIN = 32


class _Held(msgspec.Struct, forbid_unknown_fields=True):
    newest: str
    keys: dict[str, str]


class DigestKeys(NamedTuple):
    """Keys by version. The representation hides them."""

    newest: int
    keys: dict[int, bytes]

    @classmethod
    def parse(cls, secret: bytes) -> DigestKeys:
        """From the secret `audit/digest`; ValueError, without the text, when it is malformed."""
        if not secret.startswith(b"{"):
            return cls._checked(1, {1: secret})
        try:
            held = msgspec.json.decode(secret, type=_Held)
            return cls._checked(int(held.newest), {int(version): key.encode() for version, key in held.keys.items()})
        except (msgspec.MsgspecError, ValueError):
            raise ValueError(f"the secret audit/digest has keys of at least {KEY_BYTES_MIN} bytes by version") from None

    @classmethod
    def _checked(cls, newest: int, keys: dict[int, bytes]) -> DigestKeys:
        if newest not in keys or any(len(key) < KEY_BYTES_MIN for key in keys.values()):
            raise ValueError(f"the secret audit/digest has at least {KEY_BYTES_MIN} bytes")
        return cls(newest, keys)

    def write(self) -> bytes:
        """As the secret; `parse` reads it."""
        return msgspec.json.encode(_Held(str(self.newest), {str(n): key.decode() for n, key in self.keys.items()}))

    def digest(self, secret: str) -> str:
        """The digest of a secret under the newest key."""
        return self._digest(secret, self.newest)

    def digests(self, secret: str) -> list[str]:
        """All digests that a secret may have in the trail, the newest first."""
        return [self._digest(secret, version) for version in sorted(self.keys, reverse=True)]

    def newest_first(self) -> tuple[bytes, ...]:
        """The keys themselves, to derive others from for further uses of the same room."""
        return tuple(self.keys[version] for version in sorted(self.keys, reverse=True))

    def _digest(self, secret: str, version: int) -> str:
        return f"hmac:v{version}:{hmac.digest(self.keys[version], secret.encode(), 'sha256').hex()}"

    def __repr__(self) -> str:
        return f"DigestKeys(newest={self.newest})"
