"""The signed document of a verification: what was seen of each claim, for a person and for a program."""

from __future__ import annotations

import argparse
import base64
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from stacks.policy import STAGES

HOLDS, BROKEN, UNSEEN = "holds", "broken", "unseen"


class Finding(msgspec.Struct, frozen=True):
    """What was seen of one claim."""

    claim: str
    sentence: str
    state: str
    """holds | broken | unseen (it could not be looked at)."""
    seen: tuple[str, ...] = ()


class Evidence(msgspec.Struct, frozen=True):
    """The whole document."""

    account: str
    stage: str
    taken_at: str
    findings: tuple[Finding, ...]


class SignedEvidence(msgspec.Struct, frozen=True):
    """The document's bytes, as they were signed, and who signed them; base64."""

    evidence: str
    signature: str
    public_key: str


def table(findings: Sequence[Finding]) -> str:
    """The findings for a person."""
    marks = {HOLDS: "ok", BROKEN: "BROKEN", UNSEEN: "UNSEEN"}
    lines = [f"{finding.claim:<5} {marks[finding.state]:<7} {finding.sentence}" for finding in findings]
    details = {i: [f"{'':13} {line}" for line in finding.seen] for i, finding in enumerate(findings)}
    body = [text for i, line in enumerate(lines) for text in (line, *details[i])]
    holding = sum(finding.state == HOLDS for finding in findings)
    return "\n".join([*body, f"{holding} of {len(findings)} hold"])


def sign(evidence: Evidence, key: Ed25519PrivateKey) -> bytes:
    """The signed document."""
    content = msgspec.json.encode(evidence)
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    parts = (base64.b64encode(part).decode() for part in (content, key.sign(content), public))
    return msgspec.json.encode(SignedEvidence(*parts))


def read_signed(document: bytes) -> Evidence:
    """The evidence of a signed document; ValueError when its signature or its form is wrong."""
    try:
        signed = msgspec.json.decode(document, type=SignedEvidence)
        content, signature, public = (
            base64.b64decode(part, validate=True) for part in (signed.evidence, signed.signature, signed.public_key)
        )
        Ed25519PublicKey.from_public_bytes(public).verify(signature, content)
        return msgspec.json.decode(content, type=Evidence)
    except (InvalidSignature, ValueError) as broken:
        raise ValueError("the document is not what was signed: ask for it again") from broken


def load_key(path: Path) -> Ed25519PrivateKey:
    """The signing key of a file, made there if there is none."""
    if not path.exists():
        made = Ed25519PrivateKey.generate()
        content = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        return made
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{path} holds no Ed25519 key: name another file, or none to have a key made")
    return key


def options_of(program: str, meaning: str, argv: Sequence[str] | None) -> argparse.Namespace:
    """What both clouds' commands take; usage errors end here."""
    parser = argparse.ArgumentParser(prog=program, description=meaning)
    parser.add_argument("--stage", choices=sorted(STAGES), default="production")
    parser.add_argument("--key", type=Path, help="Ed25519 key in PEM that signs the evidence; made if it is missing")
    parser.add_argument("--out", type=Path, help="where the signed evidence is written")
    parser.add_argument("--check", type=Path, help="check a signed document instead of an account")
    options = parser.parse_args(argv)
    if bool(options.key) != bool(options.out):
        parser.error("--key and --out go together: evidence is signed or not written")
    return options


def present(account: str, findings: tuple[Finding, ...], options: argparse.Namespace) -> int:
    """Print the table and write the evidence. 0: all claims hold; 1: one does not."""
    sys.stdout.write(f"account {account}, stage {options.stage}\n{table(findings)}\n")
    if options.out is not None:
        evidence = Evidence(account, options.stage, datetime.now(UTC).isoformat(timespec="seconds"), findings)
        options.out.write_bytes(sign(evidence, load_key(options.key)))
    return 0 if all(finding.state == HOLDS for finding in findings) else 1


def check_document(path: Path) -> int:
    """Print what a document says. 0: all claims held; 1: one did not; 2: it is not what was signed."""
    try:
        evidence = read_signed(path.read_bytes())
    except (OSError, ValueError) as refused:
        sys.stderr.write(f"{path}: {refused}\n")
        return 2
    sys.stdout.write(f"account {evidence.account}, stage {evidence.stage}, seen {evidence.taken_at}\n")
    sys.stdout.write(f"{table(evidence.findings)}\n")
    return 0 if all(finding.state == HOLDS for finding in evidence.findings) else 1
