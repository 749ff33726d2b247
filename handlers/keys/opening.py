"""Open a sealed provider key. Imported by provider rooms alone: an import contract keeps the gateway away."""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from handlers.keys.sealing import SUITE, SealBroken, SealContext, read_header


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
