"""Requests and tokens per minute that hold over all replicas together, and concurrent requests per process.

Theory of operation
    A key's window lives in PostgreSQL (`rate_take`), where what is granted is counted at once. A small limit is asked for
    request by request, so it is exact; a large one is taken in blocks of a six-hundredth, which are used within a second or
    forgotten, so that a block costs one round trip and the error stays below the block. Keys without limits pass untouched.
    Tokens are taken by an estimate from the body's size and corrected when the request is over.
    While the database is down, each process keeps the limit on its own (`KeyLimiter`), so known keys are still served.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from handlers.errors import RateLimited, Unavailable
from handlers.gateway.gate import Call
from handlers.keys.principal import KeyLimits, Principal
from handlers.ledger.limits import BYTES_PER_TOKEN, KeyLimiter
from handlers.store.gateway import RateGrant

BLOCK_SHARE = 600
BLOCK_LIFE_S = 1.0


class RateStore(Protocol):
    """The part of the store that rates need; see handlers.store.gateway."""

    async def take_rate(self, key_id: str, kind: str, need: int, want: int, limit: int) -> RateGrant:
        """Take from a key's window."""

    async def correct_rate(self, key_id: str, kind: str, difference: int) -> None:
        """Book a difference."""


class _Block:
    """Permits that were taken and not used yet."""

    __slots__ = ("expires_at", "permits")

    def __init__(self) -> None:
        self.permits = 0
        self.expires_at = 0.0


class RateGate:
    """Admits requests of keys that have limits."""

    def __init__(
        self,
        store: RateStore,
        monotonic: Callable[[], float],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._store, self._monotonic, self._spawn = store, monotonic, spawn
        self.limiter = KeyLimiter()
        self._blocks: dict[tuple[str, str], _Block] = {}

    def passes(self, principal: Principal) -> bool:
        """The key has no limit: nothing to wait for."""
        limits = principal.limits
        return (
            limits.requests_per_minute is None
            and limits.tokens_per_minute is None
            and limits.concurrent_requests is None
        )

    async def admit(self, principal: Principal, call: Call) -> None:
        """Count one request in, or raise RateLimited with the time to wait. Every admission needs one `settle`."""
        limits, estimate = principal.limits, max(1, len(call.body) // BYTES_PER_TOKEN)
        # The process's own window first: it also bounds concurrency, and never admits more than the limit by itself.
        self.limiter.admit(principal, len(call.body), self._monotonic())
        try:
            await self._take(principal.key_id, "requests", 1, limits.requests_per_minute)
            await self._take(principal.key_id, "tokens", estimate, limits.tokens_per_minute)
        except Unavailable:
            return
        except RateLimited:
            self.limiter.settle(principal, 0, self._monotonic())
            raise

    async def _take(self, key_id: str, kind: str, need: int, limit: int | None) -> None:
        if limit is None:
            return
        block = self._blocks.setdefault((key_id, kind), _Block())
        now = self._monotonic()
        if now > block.expires_at:
            block.permits = 0
        if block.permits >= need:
            block.permits -= need
            return
        want = max(need, limit // BLOCK_SHARE)
        grant = await self._store.take_rate(key_id, kind, need, want, limit)
        if not grant.granted:
            raise RateLimited(
                f"This key may use {limit} {kind} a minute; wait, or ask its administrator for more.",
                retry_after_s=max(1, grant.wait_s),
            )
        block.permits += grant.granted - need
        block.expires_at = now + BLOCK_LIFE_S

    def settle(self, principal: Principal, body_bytes: int, tokens: int) -> None:
        """The request is over: free its place, and book what it really used."""
        limits: KeyLimits = principal.limits
        if self.passes(principal):
            return
        self.limiter.settle(principal, tokens, self._monotonic())
        if limits.tokens_per_minute is not None:
            difference = tokens - max(1, body_bytes // BYTES_PER_TOKEN)
            self._spawn(self._store.correct_rate(principal.key_id, "tokens", difference))

    def sweep(self) -> None:
        """Forget blocks that nobody uses any more."""
        now = self._monotonic()
        for key in [key for key, block in self._blocks.items() if now > block.expires_at + 60]:
            del self._blocks[key]
