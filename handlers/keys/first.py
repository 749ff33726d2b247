"""The first version of every secret that nobody outside gives us, by its short name (handlers.workloads lists them).

    keys/mint          one key of 32 bytes, version 1                database/<role>, wire/<provider>, audit/digest   random text
    audit/checkpoint   an Ed25519 key                                seal/<provider>   one X25519 key, version 1
    restore/epoch      0: nothing was restored yet
    seal/public        follows from all seal/<provider>: the public half of each one's newest version

What comes from outside (provider/*, payments/*, database/owner) is made by nobody here.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handlers.keys.grammar import MINT_KEY_BYTES_MIN
from handlers.keys.opening import parse_private_keys
from handlers.keys.sealing import derive_public, generate_keypair

PUBLIC_HALVES = "seal/public"
EPOCH = "restore/epoch"


def is_ours(name: str) -> bool:
    """Whether we make the first version of this secret; `seal/public` follows from others and is not made."""
    kind, _, subject = name.partition("/")
    if name in {"database/owner", PUBLIC_HALVES}:
        return False
    return name in {"keys/mint", "audit/checkpoint", "audit/digest", EPOCH} or (
        kind in {"database", "wire", "seal"} and bool(subject)
    )


def first_version(name: str) -> bytes:
    """A new value of a secret that is ours; ValueError for another."""
    if not is_ours(name):
        raise ValueError(f"{name} is not made here")
    if name == "keys/mint":
        return msgspec.json.encode({"newest": "1", "keys": {"1": _encode(secrets.token_bytes(MINT_KEY_BYTES_MIN))}})
    if name == "audit/checkpoint":
        return _encode(Ed25519PrivateKey.generate().private_bytes_raw()).encode()
    if name == EPOCH:
        return b"0"
    if name.startswith("seal/"):
        return msgspec.json.encode({"1": _encode(generate_keypair()[0])})
    return secrets.token_urlsafe(32).encode()


def public_halves(private: Mapping[str, bytes], before: bytes = b"{}") -> bytes:
    """`seal/public`, from the private secrets by provider. What `before` says of a provider stays: a rotation moves it on.

    Raises ValueError when a secret is malformed, or when `before` has another half for the version that is held.
    """
    held = {provider: parse_private_keys(secret) for provider, secret in sorted(private.items())}
    newest = {provider: _half(max(keys), keys[max(keys)]) for provider, keys in held.items()}
    known = msgspec.json.decode(before, type=dict[str, dict[str, object]])
    for provider, half in known.items():
        key = held.get(provider, {}).get(int(str(half.get("version", 0))))
        if key is not None and _half(0, key)["public"] != half.get("public"):
            raise ValueError(f"the public half of {provider} belongs to another private key")
    return msgspec.json.encode(newest | known)


def _half(version: int, key: bytes) -> dict[str, object]:
    return {"version": version, "public": _encode(derive_public(key))}


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
