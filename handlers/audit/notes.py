"""Checkpoints as signed notes, so that any verifier of transparency logs reads them (c2sp.org/signed-note, /tlog-checkpoint).

Lines
    therouter.ai/audit/global            the origin, which is also the key's name
    1234                                 how many rows
    9OhzG5u9Zg0XlGKKNz0xbLsDvfeBRLQk...  root of the tree, base64
    (empty)
    - therouter.ai/audit/global Az3g...  (an em dash in truth) name, and base64 of key id and signature
"""

from __future__ import annotations

import base64
import binascii
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = b"\x01"
KEY_ID_BYTES = 4
PUBLIC_BYTES = 32
DOMAIN = "therouter.ai"


class NoteBroken(ValueError):
    """The note or the key has another form, or the signature is not of this key."""


class Checkpoint(NamedTuple):
    """What a checkpoint says."""

    origin: str
    size: int
    root: bytes


def origin_of(region: str, subject: str = "audit") -> str:
    """The name of a region's log and key."""
    return f"{DOMAIN}/{subject}/{region}"


def _key_id(name: str, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + ED25519 + public).digest()[:KEY_ID_BYTES]


def verifier_of(name: str, key: Ed25519PrivateKey) -> str:
    """The public key in its text form: `<name>+<id>+<base64>`."""
    public = key.public_key().public_bytes_raw()
    return f"{name}+{_key_id(name, public).hex()}+{base64.b64encode(ED25519 + public).decode()}"


def parse_signing_key(secret: bytes) -> Ed25519PrivateKey:
    """From the secret `audit/checkpoint`: base64url of 32 bytes. ValueError, without the text, when it is not."""
    try:
        return Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(secret + b"=" * (-len(secret) % 4)))
    except ValueError:
        raise ValueError("the secret audit/checkpoint is base64url of 32 bytes") from None


def sign_note(text: str, name: str, key: Ed25519PrivateKey) -> str:
    """The text, which ends with a line break, and its signature line."""
    signature = _key_id(name, key.public_key().public_bytes_raw()) + key.sign(text.encode())
    return f"{text}\n\N{EM DASH} {name} {base64.b64encode(signature).decode()}\n"


def open_note(note: str, verifier: str) -> str:
    """The text of a note that this key has signed; NoteBroken otherwise. Signatures of other keys (witnesses) may follow."""
    name, public = read_verifier(verifier)
    text, separator, signatures = note.rpartition("\n\n")
    if not separator:
        raise NoteBroken("the note has no signature")
    text += "\n"
    start = f"\N{EM DASH} {name} "
    for line in signatures.removesuffix("\n").split("\n"):
        if line.startswith(start) and _signed(text, line.removeprefix(start), name, public):
            return text
    raise NoteBroken("the note is not signed by this key")


def _signed(text: str, signature: str, name: str, public: bytes) -> bool:
    raw = _exact_base64(signature)
    if raw[:KEY_ID_BYTES] != _key_id(name, public):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(raw[KEY_ID_BYTES:], text.encode())
    except InvalidSignature:
        return False
    return True


class Verifier(NamedTuple):
    """A public key and its name."""

    name: str
    public: bytes


def read_verifier(verifier: str) -> Verifier:
    """A public key from its text form; NoteBroken when it is none."""
    name, _, rest = verifier.partition("+")
    identifier, _, encoded = rest.partition("+")
    raw = _exact_base64(encoded)
    public = raw[1:]
    if not name or raw[:1] != ED25519 or len(public) != PUBLIC_BYTES or identifier != _key_id(name, public).hex():
        raise NoteBroken("the key is not of the form <name>+<id>+<base64>")
    return Verifier(name, public)


def _exact_base64(text: str) -> bytes:
    """Bytes of the one spelling that base64 has for them."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NoteBroken("the note or the key is not base64") from None
    if base64.b64encode(raw).decode() != text:
        raise NoteBroken("the note or the key is not base64")
    return raw


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    """The three lines of a checkpoint."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def read_checkpoint(text: str) -> Checkpoint:
    """What a checkpoint's text says; NoteBroken when it is none."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not lines[1].isdecimal() or str(int(lines[1])) != lines[1]:
        raise NoteBroken("a checkpoint has three lines: origin, size, root")
    return Checkpoint(lines[0], int(lines[1]), _exact_base64(lines[2]))
