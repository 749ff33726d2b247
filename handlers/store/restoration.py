"""Whether a room may serve from its database: not from one that was put back, until what was revoked and purged since is gone again.

Theory of operation
    A restored database brings back keys that were revoked, people who were removed and rows that were purged. It cannot know that
    itself, so whoever restores announces a number outside of it (handlers.clouds.epoch). That everything was taken away again is
    said by the database alone: the restore procedure writes the number into it (handlers.operations.restore), in its last step.
    A process that runs also notices by itself that the number of the latest change became smaller. When the announced
    number has come into the database nothing that is remembered holds, also where the whole procedure fell between two looks.

    Gateways look each second (handlers.gateway.revocation). Functions, which run only while they are called, look when the last look
    is older than LOOK_S, before anything else of the request: one round trip a second at most, and another when something changed.
    They forget what they remember of keys that changed, so that a revocation is seen within LOOK_S, too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from handlers.errors import Unavailable
from handlers.store.pool import Pool

LOOK_S = 1.0
RETRY_S = 5
CHANGES_MAX = 10_000
"""The database tells no more at once (migrations/0006)."""


def being_restored() -> Unavailable:
    """What requests are told meanwhile, whoever they are from."""
    return Unavailable("The service is starting or being restored; retry shortly.", retry_after_s=RETRY_S)


class Restoration:
    """What one process knows of its database's past."""

    def __init__(self) -> None:
        self._latest = self._epoch = -1
        self.epoch_outside = 0
        """The least epoch that the database must have."""
        self.open = False
        """Requests may be served."""
        self.behind = False
        """The database was seen to be one that was put back; before anybody has looked that is not known."""

    def note(self, latest: int, epoch: int) -> bool:
        """Take what the database says: the number of the latest change, and its epoch.

        Returns whether requests may be served and nothing that was remembered before holds.
        """
        if epoch < self.epoch_outside or (epoch, latest) < (self._epoch, self._latest):
            self.open, self.behind = False, True
            return False
        began = not self.open or epoch > self._epoch
        self._latest, self._epoch, self.open, self.behind = latest, epoch, True, False
        return began


class Memory(Protocol):
    """What a process remembers of keys, as `WaitingVerifier` does."""

    def forget(self, key_ids: list[str]) -> None:
        """Drop what is remembered of these keys."""
        ...

    def forget_account(self, account: str) -> None:
        """Drop what is remembered of all keys of an account."""
        ...

    def forget_all(self) -> None:
        """Drop everything."""
        ...


class Watched(Protocol):
    """A database that says what changed; `Watch` asks a real one."""

    def latest(self) -> tuple[int, int]:
        """(the number of the latest change, the epoch: how often the database was restored)."""
        ...

    def changes_since(self, number: int) -> list[tuple[str | None, str | None]]:
        """(key, account) of each change after a number; an account alone: of all its keys."""
        ...


class Watch:
    """Asks the database of a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def latest(self) -> tuple[int, int]:
        """As Watched; Unavailable when it cannot answer."""
        latest, epoch = self._pool.run("gateway_watch")[0]
        return int(latest), int(epoch)

    def changes_since(self, number: int) -> list[tuple[str | None, str | None]]:
        """As Watched."""
        rows = self._pool.run("gateway_changes", since=number)
        return [(key_id, account and str(account)) for _, key_id, account in rows]


class RestoreGate:
    """The gate of a function; any number of threads may come.

    Args:
        watched: the database that is served from.
        memory: what this process remembers of keys.
        epoch_outside: the epoch that is announced now.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        watched: Watched,
        memory: Memory,
        epoch_outside: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watched, self._memory, self._clock = watched, memory, clock
        self._restoration = Restoration()
        self._restoration.epoch_outside = epoch_outside
        self._forgotten = -1
        """Up to this number nothing is remembered that has changed."""
        self._look_at = 0.0
        self._lock = threading.Lock()

    def announce(self, epoch: int) -> None:
        """Require this epoch from now on."""
        with self._lock:
            if epoch != self._restoration.epoch_outside:
                self._restoration.epoch_outside = epoch
                self._look_at = 0.0

    def check(self) -> None:
        """Unavailable when the database may not be served from, or cannot say."""
        with self._lock:  # held while looking: an answer that is late must not be taken for a database that went back
            if self._clock() >= self._look_at:
                self._look()
            if not self._restoration.open:
                raise being_restored()

    def _look(self) -> None:
        latest, epoch = self._watched.latest()
        if self._restoration.note(latest, epoch):
            self._memory.forget_all()
        elif latest > self._forgotten:
            self._forget_since(self._forgotten)
        self._forgotten = latest
        self._look_at = self._clock() + LOOK_S

    def _forget_since(self, number: int) -> None:
        changes = self._watched.changes_since(number)
        if len(changes) >= CHANGES_MAX:
            self._memory.forget_all()
            return
        self._memory.forget([key_id for key_id, _ in changes if key_id])
        for account in {account for key_id, account in changes if account and not key_id}:
            self._memory.forget_account(account)
