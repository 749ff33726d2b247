"""Exported trails made up for tests: rows of two tenants, checkpoints on the way, keys that hand over, rows that have ended."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handlers.audit.lineage import sign_succession
from handlers.audit.merkle import Frontier, hash_leaf
from handlers.audit.notes import checkpoint_text, origin_of, sign_note, verifier_of
from handlers.audit.verification import CHAIN_START, VERSION, Beginning, Row, SignedCheckpoint, Trail, next_chain

TENANT = "00000000-0000-4000-8000-000000000001"
OTHER = "00000000-0000-4000-8000-000000000002"
ORIGIN = origin_of("global")


def make_trail(key: Ed25519PrivateKey, rows: int, sealed_at: Iterable[int]) -> list[bytes]:
    """The lines of an export in which every third row is somebody else's."""
    return make_long_trail([key], rows, dict.fromkeys(sealed_at, 0))


def make_long_trail(
    keys: list[Ed25519PrivateKey], rows: int, sealed_by: Mapping[int, int], begins_after: int = 0
) -> list[bytes]:
    """The same with keys that follow one another (size of a checkpoint -> place of its key), and rows gone up to a checkpoint."""
    lines: list[msgspec.Struct] = [
        Trail(version=VERSION, origin=ORIGIN, tenant_id=TENANT, verifier=verifier_of(ORIGIN, keys[max(sealed_by.values())])),
        *(sign_succession(ORIGIN, before, after) for before, after in pairwise(keys)),
    ]  # fmt: skip
    head = len(lines)
    frontier, chain = Frontier(), CHAIN_START
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
        if seq in sealed_by:
            key = keys[sealed_by[seq]]
            note = sign_note(checkpoint_text(ORIGIN, seq, frontier.root()), ORIGIN, key)
            lines.append(SignedCheckpoint(size=seq, note=note, verifier=verifier_of(ORIGIN, key)))
        if seq == begins_after:
            lines[head:] = [
                Beginning(seq, chain.hex(), frontier.pack().hex(), note, verifier_of(ORIGIN, key)),
            ]
    return [msgspec.json.encode(line) + b"\n" for line in lines]


def flip_each_bit(lines: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """The place of a damaged line and all lines, once for every bit but those of the line breaks."""
    for place, content in enumerate(lines):
        for bit in range((len(content) - 1) * 8):
            damaged = bytearray(content)
            damaged[bit // 8] ^= 1 << bit % 8
            yield place, [*lines[:place], bytes(damaged), *lines[place + 1 :]]
