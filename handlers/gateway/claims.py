"""Idempotency keys: a request that a client repeats is served, and paid, once.

Theory of operation
    A client that sends `Idempotency-Key` claims its request in PostgreSQL before anything else is done for it; whoever comes with
    the same key is told 409, because answers are not kept. Claims are per API key: both digests that are stored are made under it.
    A refusal before dispatch gives the claim back; a provider's failure frees it too, once its usage row is settled. Without the
    database nothing can be promised, so such requests are refused then; all others do not come here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from handlers.errors import Conflict, InvalidRequest, Unprocessable
from handlers.store.gateway import ClaimAnswer

HEADER = b"idempotency-key"
_ACCEPTED = re.compile(rb"[!-~]{1,255}")


class ClaimStore(Protocol):
    """The part of the store that claims need; see handlers.store.gateway."""

    async def take_claim(self, account: str, claim: bytes, body: bytes, request_id: str) -> ClaimAnswer:
        """Claim a request."""

    async def drop_claim(self, account: str, claim: bytes, request_id: str) -> None:
        """Give it back."""


class Claims:
    """The claims of requests that this process has open."""

    def __init__(self, store: ClaimStore, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._store, self._spawn = store, spawn
        self._open: dict[str, tuple[str, bytes]] = {}

    async def take(self, account: str, token: bytes, name: bytes, body: bytes, request_id: str) -> None:
        """Claim a request under its idempotency key.

        Raises:
            InvalidRequest: the key is not one.
            Conflict: the request is under way, or was answered.
            Unprocessable: the key was used with another body.
            Unavailable: that cannot be decided now.
        """
        if not _ACCEPTED.fullmatch(name):
            raise InvalidRequest("An Idempotency-Key has 1 to 255 visible characters.", param="idempotency-key")
        claim = _digest(token, b"claim", name)
        answer = await self._store.take_claim(account, claim, _digest(token, b"body", body), request_id)
        if answer.outcome == "new":
            self._open[request_id] = (account, claim)
            return
        told: dict[str, object] = {"request_id": answer.request_id}
        if answer.outcome == "other_body":
            raise Unprocessable(
                "This Idempotency-Key was used with another body; use a new key for a new request.",
                code="idempotency_key_reused",
                param="idempotency-key",
                detail=told,
            )
        if answer.outcome == "completed":
            raise Conflict(
                "This request was answered before and its answer is not kept; use a new key to ask again.",
                code="already_completed",
                param="idempotency-key",
                detail=told,
            )
        raise Conflict(
            "This request is under way; wait for its answer.",
            code="in_progress",
            param="idempotency-key",
            retry_after_s=1,
            detail=told,
        )

    def refused(self, request_id: str) -> None:
        """The request was refused before dispatch: whoever repeats it begins anew."""
        held = self._open.pop(request_id, None)
        if held is not None:
            self._spawn(self._store.drop_claim(*held, request_id))

    def recorded(self, request_id: str) -> None:
        """The request has its usage row: what is known of it stands there."""
        self._open.pop(request_id, None)


def _digest(token: bytes, kind: bytes, value: bytes) -> bytes:
    key = hashlib.blake2b(token, digest_size=64).digest()
    return hashlib.blake2b(value, key=key, person=kind, digest_size=32).digest()
