"""Proofs of reasoning (signatures, encrypted reasoning) that pass through a format of somebody else.

A proof goes back byte for byte to who made it and to nobody else. Formats without a field for its maker carry it in front
of the proof: `google!CiQB...`. Proofs are base64, so the mark cannot be part of one.
"""

from __future__ import annotations

import base64

ORIGINS = frozenset({"anthropic", "openai", "google"})
MARK = "!"
_STANDARD = str.maketrans("-_", "+/")


def mark_proof(proof: str, origin: str, native: str) -> str:
    """The proof as a format shows it whose own proofs are `native`."""
    if not proof or origin in {"", native}:
        return proof
    marked = f"{origin}{MARK}{proof}"
    return base64.b64encode(marked.encode()).decode() if native == "google" else marked


def read_proof(shown: str, native: str) -> tuple[str, str]:
    """The proof and who made it."""
    unwrapped = _unwrap(shown) if native == "google" else shown
    origin, mark, proof = unwrapped.partition(MARK)
    if mark and origin in ORIGINS:
        return proof, origin
    return shown, native


def _unwrap(shown: str) -> str:
    """Google's signatures are base64 themselves, of either alphabet, so a mark goes inside."""
    try:
        return base64.b64decode(shown.translate(_STANDARD), validate=True).decode("ascii")
    except ValueError:
        return ""
