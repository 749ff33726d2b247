"""Exported trails made up for tests: rows of two tenants, checkpoints on the way."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handlers.audit.merkle import Frontier, hash_leaf
from handlers.audit.notes import checkpoint_text, origin_of, sign_note, verifier_of
from handlers.audit.verification import CHAIN_START, Row, SignedCheckpoint, Trail, next_chain

TENANT = "00000000-0000-4000-8000-000000000001"
OTHER = "00000000-0000-4000-8000-000000000002"
ORIGIN = origin_of("global")


def make_trail(key: Ed25519PrivateKey, rows: int, sealed_at: Iterable[int]) -> list[bytes]:
    """The lines of an export in which every third row is somebody else's."""
    verifier = verifier_of(ORIGIN, key)
    lines: list[msgspec.Struct] = [Trail(version=1, origin=ORIGIN, tenant_id=TENANT, verifier=verifier)]
    frontier, chain, sizes = Frontier(), CHAIN_START, set(sealed_at)
    for seq in range(1, rows + 1):
        tenant = OTHER if seq % 3 == 0 else TENANT
        record = msgspec.json.encode(
            {"seq": seq, "tenant_id": tenant, "action": "key.create", "salt": secrets.token_hex(16)}
        )
        leaf = hash_leaf(record)
        chain = next_chain(chain, leaf)
        frontier.push(leaf)
        lines.append(
            Row(seq=seq, leaf=leaf.hex(), chain=chain.hex(), record=record.decode() if tenant == TENANT else None)
        )
        if seq in sizes:
            note = sign_note(checkpoint_text(ORIGIN, seq, frontier.root()), ORIGIN, key)
            lines.append(SignedCheckpoint(size=seq, note=note, verifier=verifier))
    return [msgspec.json.encode(line) + b"\n" for line in lines]
