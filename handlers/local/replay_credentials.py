"""Credentials that open nothing, in the form that each signing scheme wants; made anew for each replay."""

from __future__ import annotations

import secrets

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def replay_credential(scheme: str) -> str:
    """A credential for a scheme of handlers.provider.signing."""
    word = secrets.token_hex(16)
    if scheme == "sigv4":
        return msgspec.json.encode({"access_key_id": word, "secret_access_key": secrets.token_hex(20)}).decode()
    if scheme == "service-account":
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        account = {"client_email": "replay@example.test", "private_key": text, "private_key_id": word}
        return msgspec.json.encode(account).decode()
    return word
