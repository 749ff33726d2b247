"""Open a sealed provider key. Imported by provider rooms alone: an import contract keeps the gateway away."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from handlers.keys.grammar import decode_key
from handlers.keys.sealing import SUITE, X25519_BYTES, SealBroken, SealContext, read_header


def open_sealed(private_keys: Mapping[int, bytes], sealed: str, context: SealContext) -> bytes:
    """The provider key; `private_keys` holds 32 raw bytes by key version.

    Raises SealBroken for whatever is wrong, without saying what: a difference would help only who tampers.
    """
    header = read_header(sealed)
    private = private_keys.get(header.version)
    expected = (context.region, context.environment, context.provider)
    if private is None or (header.region, header.environment, header.provider) != expected:
        raise SealBroken
    try:
        return SUITE.decrypt(
            header.ciphertext, X25519PrivateKey.from_private_bytes(private), info=context.info(header.version)
        )
    except InvalidTag:
        raise SealBroken from None


def parse_private_keys(secret: bytes) -> dict[int, bytes]:
    """From the secret `seal/<provider>`: JSON `{"1": "<base64url>"}`, key versions and raw private keys.

    Raises ValueError, without the text, when it is anything else.
    """
    try:
        held = msgspec.json.decode(secret, type=dict[int, str])
    except msgspec.MsgspecError:
        raise ValueError("the secret seal/<provider> is JSON of key versions and keys") from None
    keys = {version: decode_key(text) for version, text in held.items()}
    if not keys or any(version < 1 or len(key) != X25519_BYTES for version, key in keys.items()):
        raise ValueError("the secret seal/<provider> holds 32-byte keys by version, from 1")
    return keys
