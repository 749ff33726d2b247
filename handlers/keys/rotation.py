"""The next value of a secret that has versions. Old versions stay valid, so that nothing breaks while processes fetch the new.

Mint keys     old ones verify for as long as API keys made with them live. A new one is announced before it is used, so that everybody
              who verifies knows it when the first API key made with it comes.
Sealing keys  a value holds one private key under its version; whoever opens holds the value before as well, until everything that
              was sealed to it is sealed anew. The public half waits in `seal/public` until the room of the provider knows the key.
Checkpoints   the key in use signs that it hands over to the next before that one signs anything (handlers.audit.lineage).
Digests       a new version for new digests; old ones stay for as long as the audit trail holds digests that were made with them.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handlers.keys.digests import DigestKeys
from handlers.keys.grammar import ALPHABET, MINT_KEY_BYTES_MIN, MintKeys
from handlers.keys.sealing import PublicKey, generate_keypair, parse_public_rows

DIGEST_KEYS_KEPT = 14
"""At one each 60 days they reach back further than the audit trail does."""


class _Mint(msgspec.Struct):
    newest: str
    keys: dict[str, str]


def announce_mint_key(secret: bytes) -> tuple[bytes, str]:
    """(`keys/mint` with one more version that nobody uses yet, its letter).

    ValueError when the secret is malformed or all versions are used up.
    """
    MintKeys.parse(secret)
    held = msgspec.json.decode(secret, type=_Mint)
    unused = [letter for letter in ALPHABET.decode()[1:] if letter not in held.keys]
    if not unused:
        raise ValueError("all versions of the mint key are used: retire those that no API key carries")
    held.keys[unused[0]] = _encode(secrets.token_bytes(MINT_KEY_BYTES_MIN))
    return msgspec.json.encode(held), unused[0]


def use_mint_key(secret: bytes, letter: str) -> bytes:
    """`keys/mint` with this version as the newest, with which API keys are made; ValueError when it is not there."""
    held = msgspec.json.decode(secret, type=_Mint)
    held.newest = letter
    value = msgspec.json.encode(held)
    MintKeys.parse(value)
    return value


class NextSealingKey(NamedTuple):
    """A new key of a provider. Its representation hides the private half."""

    version: int
    value: bytes
    """For the secret `seal/<provider>`."""
    public: str
    digest: str
    """Of the public half: what a version's id says to tell which private key it holds."""

    def __repr__(self) -> str:
        return f"NextSealingKey(version={self.version})"


def make_sealing_key(version: int) -> NextSealingKey:
    """A new pair under this version."""
    private, public = generate_keypair()
    value = msgspec.json.encode({str(version): _encode(private)})
    return NextSealingKey(version, value, _encode(public), digest_public(_encode(public)))


def digest_public(public: str) -> str:
    """32 hexadecimal digits that stand for a public key."""
    return hashlib.sha256(public.encode()).hexdigest()[:32]


def note_next_public(rows: bytes, provider: str, public: str) -> bytes:
    """`seal/public` with the key that a provider will have; nobody seals to it yet."""
    held = parse_public_rows(rows)
    held[provider] = msgspec.structs.replace(held[provider], next=public)
    return msgspec.json.encode(held)


def use_next_public(rows: bytes, provider: str) -> bytes:
    """`seal/public` with the provider's next key as the one that everybody seals to; ValueError when there is none."""
    held = parse_public_rows(rows)
    row = held[provider]
    if not row.next:
        raise ValueError("the provider has no next sealing key")
    held[provider] = PublicKey(row.version + 1, row.next)
    return msgspec.json.encode(held)


class NextCheckpointKey(NamedTuple):
    """A new key for checkpoints. Its representation hides the private half."""

    value: bytes
    """For the secret `audit/checkpoint`."""
    digest: str
    """Of the public half, as `digest_public`."""

    def __repr__(self) -> str:
        return "NextCheckpointKey(...)"


def make_checkpoint_key() -> NextCheckpointKey:
    """A new Ed25519 key."""
    key = Ed25519PrivateKey.generate()
    return NextCheckpointKey(
        _encode(key.private_bytes_raw()).encode(), digest_verifier(key.public_key().public_bytes_raw())
    )


def digest_verifier(public: bytes) -> str:
    """32 hexadecimal digits that stand for a public key of 32 bytes."""
    return digest_public(_encode(public))


def add_digest_key(secret: bytes) -> bytes:
    """`audit/digest` with one more version, which is the newest; ValueError when the secret is malformed."""
    held = DigestKeys.parse(secret)
    number = held.newest + 1
    keys = {**held.keys, number: make_password()}
    return DigestKeys(number, {kept: keys[kept] for kept in sorted(keys)[-DIGEST_KEYS_KEPT:]}).write()


def make_password() -> bytes:
    """A new password of a database role."""
    return secrets.token_urlsafe(32).encode()


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
