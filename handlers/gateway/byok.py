"""Which of an account's own provider keys may serve a request: known in memory, per account, until the account changes.

An account is read once, before its first request is admitted; the poller of changes makes it forgotten, and the next request
reads it anew. So a warm request asks nobody, a deleted key is gone within five seconds, and an account that insists on its own
keys is never served while they are not known. The sealed texts pass through; this process cannot open them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import NamedTuple

from handlers.errors import Unavailable
from handlers.gateway.byok_scope import Scope, read_scope
from handlers.keys.principal import Principal
from handlers.store.gateway import ByokRecord

ACCOUNTS_MAX = 50_000
RELOADS_MAX = 5
"""While accounts change as they are read."""


class _Record(NamedTuple):
    record: str
    provider: str
    sealed: str
    scope: Scope

    def serves(self, principal: Principal) -> bool:
        scope = self.scope
        return (scope.keys is None or principal.key_id in scope.keys) and (
            scope.users is None or principal.user in scope.users
        )


@dataclass(frozen=True)
class ByokChoice:
    """The records that one principal may use."""

    everywhere: tuple[tuple[str, str], ...] = ()
    """(provider, record) for all models."""
    by_model: tuple[tuple[str, tuple[str, ...], str], ...] = ()
    """(provider, model patterns, record), tried first."""

    def record_for(self, provider: str, model: str) -> str:
        """The record for a model at a provider, or empty."""
        for owner, patterns, record in self.by_model:
            if owner == provider and any(fnmatchcase(model, pattern) for pattern in patterns):
                return record
        return next((record for owner, record in self.everywhere if owner == provider), "")


NO_RECORDS = ByokChoice()


class ByokBook:
    """The records of the accounts that this process has served."""

    def __init__(self, read: Callable[[str], Awaitable[list[ByokRecord]]]) -> None:
        self._read = read
        self._accounts: dict[str, tuple[_Record, ...]] = {}
        self._flights: dict[str, asyncio.Future[None]] = {}
        self._changes = 0

    def knows(self, account: str) -> bool:
        """Whether the account has been read since its last change."""
        return account in self._accounts

    async def load(self, account: str) -> None:
        """Read an account that is not known, once for all who wait; Unavailable when the database cannot answer."""
        if account in self._accounts:
            return
        flight = self._flights.get(account)
        if flight is None:
            flight = self._flights[account] = asyncio.ensure_future(self._load(account))
            flight.add_done_callback(partial(self._landed, account))
        await asyncio.shield(flight)

    def _landed(self, account: str, flight: asyncio.Future[None]) -> None:
        self._flights.pop(account, None)
        if not flight.cancelled():
            flight.exception()  # heard by who waits; nobody does when all clients have gone

    async def _load(self, account: str) -> None:
        for _ in range(RELOADS_MAX):
            if account in self._accounts:
                return
            seen = self._changes
            records = tuple(_record(row) for row in await self._read(account))
            if seen == self._changes:
                if len(self._accounts) >= ACCOUNTS_MAX:
                    del self._accounts[next(iter(self._accounts))]
                self._accounts[account] = records
                return
        raise Unavailable("The account changes too often to be read; retry shortly.", retry_after_s=1)

    def forget(self, account: str) -> None:
        """The account has changed."""
        self._changes += 1
        self._accounts.pop(account, None)

    def forget_all(self) -> None:
        """All accounts may have changed."""
        self._changes += 1
        self._accounts.clear()

    def choice(self, principal: Principal) -> ByokChoice:
        """What the principal may use; nothing when the mode is off."""
        records = self._accounts.get(principal.account)
        if not records or principal.byok_mode == "off":
            return NO_RECORDS
        mine = [record for record in records if record.serves(principal)]
        return ByokChoice(
            everywhere=tuple((each.provider, each.record) for each in mine if each.scope.models is None),
            by_model=tuple((each.provider, each.scope.models, each.record) for each in mine if each.scope.models),
        )

    def sealed(self, account: str, record: str) -> str:
        """The sealed text of a record; empty when it is gone, and then the provider's room refuses the attempt."""
        for each in self._accounts.get(account, ()):
            if each.record == record:
                return each.sealed
        return ""


def _record(row: ByokRecord) -> _Record:
    return _Record(row.record, row.provider, row.sealed, read_scope(row.scope))
