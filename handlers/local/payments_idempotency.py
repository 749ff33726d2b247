"""Idempotency keys as Stripe documents them.

The first answer that a key's request produced, success or failure, is saved for 24 hours and given again.
The same key with another method, path or parameters: 400 `idempotency_error`.
The same key while the first request is still at work: 409 `idempotency_key_in_use`; nothing is saved.
What fails before anything was done (bad parameters, wrong API key) is not saved: the key may be used again.
Only POST takes keys; a key has at most 255 characters.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import NamedTuple

from handlers.local.payments_http import Reply, json_reply
from handlers.local.payments_stripe_bodies import error_body

LIFE_S = 24 * 3600
KEY_LENGTH_MAX = 255


class _Saved(NamedTuple):
    fingerprint: bytes
    saved_at: float
    reply: Reply | None
    """None: at work."""


class IdempotencyKeys:
    """Remembers answers by key.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._saved: dict[str, _Saved] = {}

    def answer(self, key: str, fingerprint: tuple[str, str, bytes], work: Callable[[], tuple[Reply, bool]]) -> Reply:
        """The reply to a request with a key; `work` runs at most once for it.

        Args:
            key: the client's.
            fingerprint: method, path and body of the request.
            work: makes the reply, and says whether anything was done so that it is to be saved.
        """
        if len(key) > KEY_LENGTH_MAX:
            return json_reply(400, error_body("invalid_request_error", "Idempotency keys have at most 255 characters."))
        digest = hashlib.sha256(repr(fingerprint).encode()).digest()
        earlier = self._begin(key, digest)
        if earlier is not None:
            return earlier
        saved = None
        try:
            reply, done = work()
            saved = _Saved(digest, self._clock(), reply) if done else None
            return reply
        finally:
            with self._lock:
                if saved is None:
                    del self._saved[key]
                else:
                    self._saved[key] = saved

    def _begin(self, key: str, digest: bytes) -> Reply | None:
        with self._lock:
            earlier = self._saved.get(key)
            if earlier is None or (earlier.reply is not None and self._clock() - earlier.saved_at > LIFE_S):
                self._saved[key] = _Saved(digest, self._clock(), None)
                return None
        if earlier.fingerprint != digest:
            complaint = (
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                "Try using a different key if you meant to execute a different request."
            )
            return json_reply(400, error_body("idempotency_error", complaint))
        if earlier.reply is None:
            complaint = "There is currently another in-progress request using this key. Please try again later."
            return json_reply(409, error_body("idempotency_error", complaint, code="idempotency_key_in_use"))
        return earlier.reply._replace(headers={**earlier.reply.headers, "Idempotent-Replayed": "true"})
