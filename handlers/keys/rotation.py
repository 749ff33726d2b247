"""The next version of a secret that has versions. Old versions stay valid, so that nothing breaks while processes fetch the new.

Mint keys     old ones verify for as long as API keys made with them live; the newest makes tags.
Sealing keys  old ones open what was sealed to them; everything new is sealed to the newest. What is sealed to an old one is
              sealed anew when its owner replaces it: the admin room cannot open it, and the provider's room has no way to write
              it back. `byok_key.key_version` says what still hangs on which version; one that nothing hangs on may be retired.
"""

from __future__ import annotations

import base64
import secrets

import msgspec

from handlers.keys.grammar import ALPHABET, MINT_KEY_BYTES_MIN, MintKeys
from handlers.keys.opening import parse_private_keys
from handlers.keys.sealing import generate_keypair


class _Mint(msgspec.Struct):
    newest: str
    keys: dict[str, str]


def rotate_mint_keys(secret: bytes) -> bytes:
    """`keys/mint` with one more version, the newest; ValueError when it is malformed or all versions are used up."""
    MintKeys.parse(secret)
    held = msgspec.json.decode(secret, type=_Mint)
    unused = [letter for letter in ALPHABET.decode()[1:] if letter not in held.keys]
    if not unused:
        raise ValueError("all versions of the mint key are used: retire those that no API key carries")
    held.newest = unused[0]
    held.keys[held.newest] = _encode(secrets.token_bytes(MINT_KEY_BYTES_MIN))
    return msgspec.json.encode(held)


def rotate_sealing_keys(secret: bytes) -> bytes:
    """`seal/<provider>` with one more version, the newest; ValueError when it is malformed."""
    held = parse_private_keys(secret)
    held[max(held) + 1] = generate_keypair()[0]
    return _encode_sealing_keys(held)


def retire_sealing_key(secret: bytes, version: int) -> bytes:
    """`seal/<provider>` without an old version: what is sealed to it is gone for good. ValueError for the newest or an unknown one."""
    held = parse_private_keys(secret)
    if version not in held or version == max(held):
        raise ValueError("only an old version that is there can be retired")
    del held[version]
    return _encode_sealing_keys(held)


def make_password() -> bytes:
    """A new password of a database role."""
    return secrets.token_urlsafe(32).encode()


def _encode_sealing_keys(keys: dict[int, bytes]) -> bytes:
    return msgspec.json.encode({str(version): _encode(key) for version, key in sorted(keys.items())})


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
