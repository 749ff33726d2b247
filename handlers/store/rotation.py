"""What the rotation of secrets asks of PostgreSQL: logins that take turns, keys to be sealed anew, and a row in the trail."""

from __future__ import annotations

import os

from handlers.store.migrate import scram_verifier
from handlers.store.pool import Pool


class RotationStore:
    """The façade of the role `rotation`; blocking. It reads nothing of any tenant."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def note(self, secret: str, step: str, version: str) -> None:
        """Write into the audit trail what is about to be done."""
        self._pool.run("rotation_note", secret=secret, step=step, version=version)

    def open_logins(self) -> frozenset[str]:
        """The logins of rooms that are open."""
        return frozenset(str(login) for (login,) in self._pool.run("rotation_logins"))

    def open_login(self, login: str, password: str) -> None:
        """Let a login in with this password; what travels is a SCRAM verifier."""
        self._pool.run("rotation_set_login", login=login, verifier=scram_verifier(password, os.urandom(16)))

    def close_login(self, login: str) -> None:
        """Let nobody in by this login any more; connections that are open stay."""
        self._pool.run("rotation_set_login", login=login, verifier=None)

    def successor(self) -> str:
        """The public key that the last change of the checkpoints' key has announced; empty when there was none."""
        return str(self._pool.run("rotation_successor")[0][0] or "")

    def reseal(self, provider: str, version: int) -> int:
        """Have what is sealed to an older key of a provider sealed anew; returns how many records still are."""
        return int(self._pool.run("rotation_reseal", provider=provider, version=version)[0][0])
