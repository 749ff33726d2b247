"""Revocation within five seconds: one poller per process reads what changed and makes the verifier forget it.

Polling a sequence number costs one tiny query each POLL_S and cannot lose a change, unlike notifications.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from handlers.errors import TheRouterError
from handlers.keys.verification import KeyVerifier
from handlers.store.gateway import GatewayStore
from handlers.telemetry.logs import KeysRevoked, Log

POLL_S = 1.0


class RevocationPoller:
    """Keeps the verifier's memory true, and whatever else is remembered of an account."""

    def __init__(
        self, store: GatewayStore, verifier: KeyVerifier, log: Log, on_account: Callable[[str], None] = lambda _: None
    ) -> None:
        self._store, self._verifier, self._log = store, verifier, log
        self._on_account = on_account
        self._seq = -1
        self.caught_up = False

    async def run(self) -> None:
        """Poll for as long as the process lives."""
        while True:
            try:
                await self.poll()
            except TheRouterError:
                self.caught_up = False
            await asyncio.sleep(POLL_S)

    async def poll(self) -> None:
        """Read once. The first time there is nothing to forget yet, so watching starts at the latest change."""
        if self._seq < 0:
            self._seq = await self._store.latest_change()
        changes = await self._store.changes_since(self._seq)
        keys = [change.key_id for change in changes if change.key_id]
        if keys:
            self._verifier.forget(keys)
            self._log.emit(KeysRevoked(count=len(keys)))
        for change in changes:
            if change.account and not change.key_id:
                self._verifier.forget_account(change.account)
                self._on_account(change.account)
            self._seq = max(self._seq, change.seq)
        self.caught_up = True
