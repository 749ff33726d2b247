"""The client's names for its own users and caches, as a provider may see them: always the same, of one account, and not the names.

Under a shared credential a provider takes all our customers for one. So the same name given by two of them is two names
there: neither its limits for a user nor its prompt cache is shared through it (A72).
"""

from __future__ import annotations

import hashlib

PSEUDONYM_CHARACTERS = 32


def pseudonym(account: str, name: str) -> str:
    """Letters and digits that stand for this name of this account; empty for an empty one."""
    told = f"{len(account)}:{account}{name}"
    return hashlib.sha256(told.encode()).hexdigest()[:PSEUDONYM_CHARACTERS] if name else ""
