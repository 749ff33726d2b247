"""Requests and tokens per minute, and concurrent requests, that hold over all replicas together.

Theory of operation
    A key's window lives in PostgreSQL (`rate_take`), where what is granted is counted at once. A small limit is asked for
    request by request, so it is exact; a large one is taken in blocks of a six-hundredth, which are used within a second or
    forgotten, so that a block costs one round trip and the error stays below the block. Keys without limits pass untouched.
    Tokens are taken by an estimate from the body's size and corrected when the request is over.
    An open request has a place in PostgreSQL (`place_take`), which lives for PLACE_TTL_S unless its process renews it: places
    of a process that died come back by themselves.
    While the database is down, each process keeps the limit on its own (`KeyLimiter`), so known keys are still served.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec

from handlers.errors import RateLimited, Unavailable
from handlers.gateway.gate import Call
from handlers.gateway.usage_line import new_request_id
from handlers.keys.principal import KeyLimits, Principal
from handlers.ledger.limits import BYTES_PER_TOKEN, WINDOW_S, KeyLimiter, Standing
from handlers.store.gateway import RateGrant

BLOCK_SHARE = 600
BLOCK_LIFE_S = 1.0
PLACE_TTL_S = 60
PLACE_RENEW_S = 15.0


class RateStore(Protocol):
    """The part of the store that rates need; see handlers.store.gateway."""

    async def take_rate(self, key_id: str, kind: str, need: int, want: int, limit: int) -> RateGrant:
        """Take from a key's window."""

    async def correct_rate(self, key_id: str, kind: str, difference: int) -> None:
        """Book a difference."""

    async def take_place(self, key_id: str, process: str, limit: int, ttl_s: int) -> bool:
        """A place for one more open request."""

    async def give_place(self, key_id: str, process: str) -> None:
        """An open request is over."""

    async def renew_places(self, process: str, ttl_s: int) -> None:
        """Keep all places of a process."""


class _Block:
    """Permits that were taken and not used yet, and what the window then had left."""

    __slots__ = ("asked_at", "expires_at", "permits", "remaining")

    def __init__(self) -> None:
        self.permits = self.remaining = 0
        self.asked_at = self.expires_at = 0.0


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
        self._process = new_request_id()
        self._places: dict[str, int] = {}
        self._renewed_at = 0.0

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
        # The process's own windows first: they never admit more than the limit by themselves.
        self.limiter.admit(principal, len(call.body), self._monotonic())
        try:
            await self._take_place(principal.key_id, limits.concurrent_requests)
            await self._take(principal.key_id, "requests", 1, limits.requests_per_minute)
            await self._take(principal.key_id, "tokens", estimate, limits.tokens_per_minute)
        except Unavailable:
            return
        except RateLimited:
            self.limiter.withdraw(principal, self._monotonic())
            self._give_places(principal.key_id)
            raise

    async def _take_place(self, key_id: str, limit: int | None) -> None:
        if limit is None:
            return
        if not await self._store.take_place(key_id, self._process, limit, PLACE_TTL_S):
            raise RateLimited(f"This key may have {limit} requests open at once; wait for one to end.", retry_after_s=1)
        self._places[key_id] = self._places.get(key_id, 0) + 1
        self._give_places(key_id)  # of a request that ended while this one was asking

    def _give_places(self, key_id: str) -> None:
        """Give back places beyond the open requests: those admitted during an outage have none."""
        places, needed = self._places.get(key_id, 0), self.limiter.active(key_id)
        for _ in range(places - needed):
            self._spawn(self._store.give_place(key_id, self._process))
        if places > needed:
            self._places[key_id] = needed
        if not needed:
            self._places.pop(key_id, None)

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
        block.remaining, block.asked_at = grant.remaining, now
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
        self._give_places(principal.key_id)
        if limits.tokens_per_minute is not None:
            difference = tokens - max(1, body_bytes // BYTES_PER_TOKEN)
            self._spawn(self._store.correct_rate(principal.key_id, "tokens", difference))

    def standing(self, principal: Principal) -> Standing:
        """What is left of a key's limits over all replicas, as far as this process has been told."""
        now = self._monotonic()
        left = self.limiter.standing(principal, now)
        return msgspec.structs.replace(
            left,
            requests_remaining=self._told(principal.key_id, "requests", left.requests_remaining, now),
            tokens_remaining=self._told(principal.key_id, "tokens", left.tokens_remaining, now),
        )

    def _told(self, key_id: str, kind: str, own: int | None, now: float) -> int | None:
        block = self._blocks.get((key_id, kind))
        if own is None or block is None or now - block.asked_at > WINDOW_S:
            return own
        return min(own, block.remaining + block.permits)

    def sweep(self) -> None:
        """Forget blocks that nobody uses any more; keep the places that are in use."""
        now = self._monotonic()
        for key in [key for key, block in self._blocks.items() if now > block.expires_at + WINDOW_S]:
            del self._blocks[key]
        if self._places and now - self._renewed_at > PLACE_RENEW_S:
            self._renewed_at = now
            self._spawn(self._store.renew_places(self._process, PLACE_TTL_S))
