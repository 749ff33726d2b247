"""Requests and tokens per minute, and concurrent requests, that hold over all replicas together.

Theory of operation
    A request is counted in every window that concerns it: its key's, its user's and its tenant's, those that have a limit. The
    windows live in PostgreSQL (`rate_admit`), where what is granted is counted at once, in all of them or in none. A small limit
    is asked for request by request, so it is exact; a large one is taken in blocks of a six-hundredth, which are used within a
    second or forgotten, so that a block costs one round trip and the error stays below the block. Keys that no limit concerns
    pass untouched. Tokens are taken by an estimate from the body's size and corrected when the request is over.
    An open request has a place in PostgreSQL, which lives for PLACE_TTL_S unless its process renews it: places of a process that
    died come back by themselves.
    While the database is down, each process keeps the limits on its own (`Limiter`), so known keys are still served.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from handlers.errors import RateLimited, Unavailable
from handlers.gateway.call import Call
from handlers.gateway.request_ids import new_request_id
from handlers.keys.principal import Principal, SubjectLimits
from handlers.ledger.limits import BYTES_PER_TOKEN, WINDOW_S, Limiter, Standing, refusal
from handlers.store.gateway import RateClaim, RateGrant

BLOCK_SHARE = 600
BLOCK_LIFE_S = 1.0
PLACE_TTL_S = 60
PLACE_RENEW_S = 15.0


class RateStore(Protocol):
    """The part of the store that rates need; see handlers.store.gateway."""

    async def admit_rates(self, process: str, claims: Sequence[RateClaim], ttl_s: int) -> RateGrant:
        """Take from several windows or from none."""

    async def settle_rates(self, process: str, places: list[str], tokens: list[str], difference: int) -> None:
        """Give back places and book a difference of tokens."""

    async def renew_places(self, process: str, ttl_s: int) -> None:
        """Keep all places of a process."""


class _Block:
    """Permits that were taken and not used yet, and what the window then had left."""

    __slots__ = ("asked_at", "expires_at", "permits", "remaining")

    def __init__(self) -> None:
        self.permits = self.remaining = 0
        self.asked_at = self.expires_at = 0.0


class RateGate:
    """Admits requests that limits concern."""

    def __init__(
        self,
        store: RateStore,
        monotonic: Callable[[], float],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._store, self._monotonic, self._spawn = store, monotonic, spawn
        self.limiter = Limiter()
        self._blocks: dict[tuple[str, str], _Block] = {}
        self._process = new_request_id()
        self._places: dict[str, int] = {}
        self._renewed_at = 0.0

    def passes(self, principal: Principal) -> bool:
        """No limit concerns the key: nothing to wait for."""
        return not principal.windows

    async def admit(self, principal: Principal, call: Call) -> None:
        """Count one request in, or raise RateLimited with the time to wait. Every admission needs one `settle`."""
        windows = principal.windows
        # The process's own windows first: they never admit more than the limit by themselves.
        self.limiter.admit(windows, len(call.body), self._monotonic())
        try:
            await self._take(windows, _estimate(len(call.body)))
        except Unavailable:
            return
        except RateLimited:
            self.limiter.withdraw(windows, self._monotonic())
            raise
        finally:
            self._give(
                self._surplus_places(windows)
            )  # of requests that ended, or were refused, while this one was asking

    async def _take(self, windows: Sequence[SubjectLimits], estimate: int) -> None:
        now = self._monotonic()
        asked: list[tuple[SubjectLimits, RateClaim]] = []
        used: list[tuple[_Block, int]] = []
        for limits, claim in _claims(windows, estimate):
            block = self._block(claim, now)
            if claim.kind != "places" and block.permits >= claim.need:
                block.permits -= claim.need
                used.append((block, claim.need))
            else:
                asked.append((limits, claim))
        if not asked:
            return
        try:
            await self._ask(asked, now)
        except RateLimited:
            for block, need in used:
                block.permits += need
            raise

    async def _ask(self, asked: list[tuple[SubjectLimits, RateClaim]], now: float) -> None:
        grant = await self._store.admit_rates(self._process, [claim for _, claim in asked], PLACE_TTL_S)
        for (_, claim), remaining in zip(asked, grant.remaining, strict=True):
            block = self._block(claim, now)
            if now >= block.asked_at:  # not what an earlier question is told later
                block.remaining, block.asked_at = remaining, now
        if grant.refused:
            limits, claim = asked[grant.refused - 1]
            raise refusal(limits, claim.kind, max(1, grant.wait_s))
        for (_, claim), granted in zip(asked, grant.granted, strict=True):
            if claim.kind == "places":
                self._places[claim.subject] = self._places.get(claim.subject, 0) + 1
            else:
                block = self._block(claim, now)
                block.permits += granted - claim.need
                block.expires_at = now + BLOCK_LIFE_S

    def _block(self, claim: RateClaim, now: float) -> _Block:
        block = self._blocks.setdefault((claim.subject, claim.kind), _Block())
        if now > block.expires_at:
            block.permits = 0
        return block

    def _surplus_places(self, windows: Sequence[SubjectLimits]) -> list[str]:
        """Places beyond the open requests, one name for each: those admitted during an outage have none."""
        surplus: list[str] = []
        for limits in windows:
            places, needed = self._places.get(limits.subject, 0), self.limiter.active(limits.subject)
            if places > needed:
                surplus += [limits.subject] * (places - needed)
                self._places[limits.subject] = needed
            if not needed:
                self._places.pop(limits.subject, None)
        return surplus

    def _give(self, places: list[str], tokens: Sequence[str] = (), difference: int = 0) -> None:
        if places or tokens:
            self._spawn(self._store.settle_rates(self._process, places, list(tokens), difference))

    def settle(self, principal: Principal, body_bytes: int, tokens: int) -> None:
        """The request is over: free its places, and book what it really used."""
        windows = principal.windows
        if not windows:
            return
        self.limiter.settle(windows, tokens, self._monotonic())
        counted = [limits.subject for limits in windows if limits.tokens_per_minute is not None]
        self._give(self._surplus_places(windows), counted, tokens - _estimate(body_bytes))

    def standing(self, principal: Principal) -> Standing:
        """What is left over all replicas, as far as this process has been told: of the limits that concern a key, the tightest."""
        now = self._monotonic()
        requests: list[tuple[int, int]] = []
        tokens: list[tuple[int, int]] = []
        reset_s = 0
        for limits in principal.windows:
            left = self.limiter.standing(limits, now)
            reset_s = max(reset_s, left.reset_s)
            if left.requests_limit is not None and left.requests_remaining is not None:
                requests.append(
                    (self._told(limits.subject, "requests", left.requests_remaining, now), left.requests_limit)
                )
            if left.tokens_limit is not None and left.tokens_remaining is not None:
                tokens.append((self._told(limits.subject, "tokens", left.tokens_remaining, now), left.tokens_limit))
        requests_remaining, requests_limit = min(requests, default=(None, None))
        tokens_remaining, tokens_limit = min(tokens, default=(None, None))
        return Standing(requests_limit, requests_remaining, tokens_limit, tokens_remaining, reset_s)

    def _told(self, subject: str, kind: str, own: int, now: float) -> int:
        block = self._blocks.get((subject, kind))
        if block is None or now - block.asked_at > WINDOW_S:
            return own
        return min(own, block.remaining + block.permits)

    def sweep(self) -> None:
        """Forget blocks that nobody uses any more; keep the places that are in use."""
        now = self._monotonic()
        for name in [name for name, block in self._blocks.items() if now > block.asked_at + WINDOW_S + BLOCK_LIFE_S]:
            del self._blocks[name]
        if self._places and now - self._renewed_at > PLACE_RENEW_S:
            self._renewed_at = now
            self._spawn(self._store.renew_places(self._process, PLACE_TTL_S))


def _estimate(body_bytes: int) -> int:
    return max(1, body_bytes // BYTES_PER_TOKEN)


def _claims(windows: Sequence[SubjectLimits], estimate: int) -> list[tuple[SubjectLimits, RateClaim]]:
    """What one request needs of all of its windows."""
    claims = []
    for limits in windows:
        for kind, need, limit in (
            ("places", 1, limits.concurrent_requests),
            ("requests", 1, limits.requests_per_minute),
            ("tokens", estimate, limits.tokens_per_minute),
        ):
            if limit is not None:
                want = max(need, limit // BLOCK_SHARE)
                claims.append((limits, RateClaim(limits.subject, kind, need, want, limit)))
    return claims
