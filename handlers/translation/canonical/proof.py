"""Proofs of reasoning (signatures, encrypted reasoning) that pass through a format of somebody else.

A proof goes back byte for byte to who made it and to nobody else. Formats without a field for its maker carry it in front
of the proof: `google!CiQB...`. Proofs are base64, so the mark cannot be part of one.
"""

from __future__ import annotations

ORIGINS = frozenset({"anthropic", "openai", "google"})
MARK = "!"


def mark_proof(proof: str, origin: str, native: str) -> str:
    """The proof as a format shows it whose own proofs are `native`."""
    return proof if not proof or origin in {"", native} else f"{origin}{MARK}{proof}"


def read_proof(shown: str, native: str) -> tuple[str, str]:
    """The proof and who made it."""
    origin, mark, proof = shown.partition(MARK)
    if mark and origin in ORIGINS:
        return proof, origin
    return shown, native
