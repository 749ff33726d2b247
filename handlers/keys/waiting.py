"""The key verifier for rooms that are not asynchronous: functions, which serve one request per thread."""

from __future__ import annotations

import asyncio
import threading

from handlers.errors import Unauthenticated, Unavailable
from handlers.keys.principal import Principal
from handlers.keys.verification import KeyVerifier

WAIT_S_MAX = 10


class WaitingVerifier:
    """A `KeyVerifier` on a loop of its own; callers wait for its verdict."""

    def __init__(self, verifier: KeyVerifier) -> None:
        self._verifier = verifier
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="key-verifier", daemon=True)
        self._thread.start()

    def authenticate(self, authorization: str) -> Principal:
        """Who sent `Authorization: Bearer sk-tr-...`.

        Raises:
            Unauthenticated: nobody we know.
            Unavailable: it cannot be decided now.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.isascii():
            raise Unauthenticated("Send your API key as Authorization: Bearer sk-tr-...")
        verdict = asyncio.run_coroutine_threadsafe(self._verifier.authenticate(token.strip().encode()), self._loop)
        try:
            return verdict.result(WAIT_S_MAX)
        except TimeoutError:
            verdict.cancel()
            raise Unavailable("The API key cannot be verified now; retry shortly.", retry_after_s=2) from None

    def forget(self, key_ids: list[str]) -> None:
        """Drop what is remembered of these keys before the next verdict."""
        self._loop.call_soon_threadsafe(self._verifier.forget, key_ids)

    def forget_account(self, account: str) -> None:
        """Drop what is remembered of all keys of an account before the next verdict."""
        self._loop.call_soon_threadsafe(self._verifier.forget_account, account)

    def forget_all(self) -> None:
        """Drop everything that is remembered before the next verdict."""
        self._loop.call_soon_threadsafe(self._verifier.forget_all)

    def close(self) -> None:
        """Stop the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
