"""The epoch that a restore announces outside of the database, so that a database that was put back can be told from one that was not.

What follows from it stands in handlers.store.restoration.
"""

from __future__ import annotations

from handlers.clouds.secrets import KeptSecrets

EPOCH = "restore/epoch"
"""The secret; its first version is 0."""
_DIGITS_MAX = 9
NEVER = 10**_DIGITS_MAX
"""More than any epoch: what was announced cannot be read, so nobody serves until it is corrected."""


def announced_epoch(secrets: KeptSecrets) -> int:
    """The announced epoch; SecretError when the secret is not there or cannot be read: then nobody knows that it is safe to serve."""
    return read_epoch(secrets.get(EPOCH).reveal())


def read_epoch(announced: bytes) -> int:
    """The number in the secret; 0 for nothing, NEVER for what is no number: somebody wanted to announce one."""
    text = announced.strip()
    if not text:
        return 0
    return int(text) if text.isdigit() and len(text) <= _DIGITS_MAX else NEVER
