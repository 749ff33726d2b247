"""Seal a customer's provider key so that only that provider's room can read it. The public half: it cannot open.

HPKE (RFC 9180) with X25519, HKDF-SHA256 and AES-256-GCM. `info` binds region, environment, provider, account, record and
key version, each with its length before it: moved anywhere else, the ciphertext does not open.

A sealed key is text: `tr1.<region>.<environment>.<provider>.<key version>.<base64url without padding>`. The header says which
private key opens it and lets rotation find what to re-seal; `tr1` names the suite, so that a hybrid one can follow.
"""

from __future__ import annotations

import base64
import re

import msgspec
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from handlers.keys.grammar import decode_key

FORMAT = "tr1"
SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
X25519_BYTES = 32
PROVIDER_KEY_BYTES_MAX = 8_192
"""Service-account files are the largest credentials that providers issue."""
_HEADER = re.compile(
    r"tr1\.([a-z]{1,16})\.([a-z0-9-]{1,32})\.([a-z0-9-]{1,64})\.([1-9][0-9]{0,8})\.([A-Za-z0-9_-]{1,12000})", re.ASCII
)


class SealBroken(Exception):
    """The sealed text does not open here: damaged, moved from elsewhere, or sealed to a key that we no longer hold."""


class SealContext(msgspec.Struct, frozen=True):
    """Where a sealed key belongs; all five are part of the encryption."""

    region: str
    environment: str
    provider: str
    account: str
    record: str

    def info(self, version: int) -> bytes:
        """The HPKE info string: each field after its length in two bytes."""
        fields = ("v1", self.region, self.environment, self.provider, self.account, self.record, str(version))
        return b"".join(len(raw).to_bytes(2, "big") + raw for raw in (field.encode() for field in fields))


class SealedHeader(msgspec.Struct, frozen=True):
    """What a sealed text says about itself in clear."""

    region: str
    environment: str
    provider: str
    version: int
    ciphertext: bytes


class SealingKey(msgspec.Struct, frozen=True):
    """A provider's public key and its version."""

    version: int
    public: bytes
    """32 raw bytes."""


class PublicKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A provider's row in the secret `seal/public`."""

    version: int
    public: str
    """Base64url without padding."""
    next: str = ""
    """The public half of the version to come, which its room may not know yet; nobody seals to it."""


def parse_public_rows(secret: bytes) -> dict[str, PublicKey]:
    """The rows of `seal/public` by provider; ValueError when it is anything else."""
    try:
        return msgspec.json.decode(secret, type=dict[str, PublicKey])
    except msgspec.MsgspecError:
        raise ValueError("the secret seal/public is JSON of providers with version and public key") from None


def parse_public_keys(secret: bytes) -> dict[str, SealingKey]:
    """From the secret `seal/public`: JSON `{"<provider>": {"version": 1, "public": "<base64url>"}}`.

    Raises ValueError when it is anything else.
    """
    held = parse_public_rows(secret)
    keys = {provider: SealingKey(row.version, decode_key(row.public)) for provider, row in held.items()}
    if any(key.version < 1 or len(key.public) != X25519_BYTES for key in keys.values()):
        raise ValueError("the secret seal/public holds 32-byte keys with versions from 1")
    return keys


def generate_keypair() -> tuple[bytes, bytes]:
    """(private, public), 32 raw bytes each."""
    private = X25519PrivateKey.generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()


def derive_public(private: bytes) -> bytes:
    """The 32 public bytes of 32 private ones."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def seal(public_key: SealingKey, provider_key: bytes, context: SealContext) -> str:
    """Encrypt a provider key; raises ValueError when it is empty, beyond 8 KiB, or its context does not fit a header."""
    if not 0 < len(provider_key) <= PROVIDER_KEY_BYTES_MAX:
        raise ValueError("a provider key has between 1 and 8192 bytes")
    public = X25519PublicKey.from_public_bytes(public_key.public)
    ciphertext = SUITE.encrypt(provider_key, public, info=context.info(public_key.version))
    text = base64.urlsafe_b64encode(ciphertext).rstrip(b"=").decode()
    header = (FORMAT, context.region, context.environment, context.provider, str(public_key.version))
    sealed = ".".join((*header, text))
    if _HEADER.fullmatch(sealed) is None:
        raise ValueError("region, environment and provider of a sealed key are lower-case names")
    return sealed


def read_header(sealed: str) -> SealedHeader:
    """What a sealed text says about itself; raises SealBroken when it has another shape."""
    match = _HEADER.fullmatch(sealed)
    if match is None:
        raise SealBroken
    region, environment, provider, version, text = match.groups()
    try:
        ciphertext = decode_key(text)
    except ValueError:
        raise SealBroken from None
    if base64.urlsafe_b64encode(ciphertext).rstrip(b"=").decode() != text:
        raise SealBroken
    return SealedHeader(region, environment, provider, int(version), ciphertext)
