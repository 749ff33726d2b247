"""The client's name for its own user, as a provider may see it: always the same, and not the name."""

from __future__ import annotations

import hashlib

PSEUDONYM_CHARACTERS = 32


def pseudonym(user: str) -> str:
    """Letters and digits that stand for this user; empty for nobody."""
    return hashlib.sha256(user.encode()).hexdigest()[:PSEUDONYM_CHARACTERS] if user else ""
