"""Hold: nothing is dispatched that its account cannot pay for.

Theory of operation
    PostgreSQL leases credit to this process in blocks (`credit_lease` moves it from available to held); requests take their
    holds from the block in memory, so a busy account costs no round trip per request; while the last part of a block is used,
    the next one is fetched, so that nobody waits for it. The database gives a whole block only to an account with ample
    credit; near the edge it gives exactly what one request needs, and such a lease is handed back as soon as it is unused,
    so replicas share the last cent and never overshoot.
    A hold is the worst case of its plan. If the account cannot cover that, the output is clamped to what it affords.
    A hold belongs to its lease, never to the key's next one: a lease that was handed back, or that expired in a long outage of
    the database, takes its open holds with it, and PostgreSQL charges what they cost straight to the balance.
    While the database is down, an account may go on within a bounded allowance: 2 % of what it last had, at most 2 units.
    Those requests are charged like all others when the database is back; the bound is the most that can be lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from handlers.catalog.entries import NANO, PER_MILLION, Endpoint
from handlers.errors import PaymentRequired, Unavailable
from handlers.gateway.attempts import RoutePlan
from handlers.gateway.call import Call
from handlers.gateway.request_ids import new_request_id
from handlers.keys.principal import Principal
from handlers.ledger.allowance import AccountAllowance
from handlers.ledger.quote import SEARCHES_MAX, affordable_output_tokens, quote
from handlers.store.gateway import LeaseGrant

BLOCK_NANO = 2 * NANO
BLOCK_HOLDS = 256
"""A block covers this many holds like the one that asks for it: the round trip is paid once for all of them."""
BLOCK_SHARE = 65
"""Of what an account has, a block asks for at most this fraction: a little less than what the database calls ample."""
REFILL_SHARE = 4
"""The next block is fetched when less than this fraction of the last one is left: dozens of holds, for one round trip."""
LEASE_TTL_S = 120
RENEW_S = 20.0
IDLE_RELEASE_S = 5.0
OUTAGE_SHARE, OUTAGE_NANO_MAX = 0.02, 2 * NANO
OUTPUT_TOKENS_MIN = 16
"""Clamping below this helps nobody: refuse instead."""


class LeaseStore(Protocol):
    """The part of the store that credit needs; see handlers.store.gateway."""

    async def lease_for_key(
        self, lease_id: str, account: str, key_id: str, need_nano: int, want_nano: int, ttl_s: int
    ) -> LeaseGrant:
        """Grow the lease by `want` if credit and budgets are ample, by `need` if available, else by nothing."""

    async def renew(self, lease_ids: list[str], ttl_s: int) -> set[str]:
        """Keep leases alive; returns those that still exist."""

    async def release(self, lease_id: str) -> int:
        """Hand back what is left of a lease."""


class Hold:
    """The most that one request can cost, set aside."""

    __slots__ = ("amount_nano", "key_id", "lease_id", "output_tokens_max")

    def __init__(self, key_id: str, amount_nano: int, lease_id: str, output_tokens_max: int = 0) -> None:
        self.key_id: Final = key_id
        self.amount_nano: Final = amount_nano
        self.lease_id: Final = lease_id
        self.output_tokens_max: Final = output_tokens_max
        """Output clamped to this because the balance affords no more; 0: not clamped."""


class _Account:
    """What one key may spend in this process: a lease on its tenant's credit, within the key's budgets."""

    __slots__ = (
        "allowance",
        "available_nano",
        "beyond_nano",
        "exact",
        "lease_id",
        "leased",
        "lock",
        "name",
        "open_holds",
        "outage_nano",
        "refill_below_nano",
        "unsettled",
        "used_at",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.lease_id = new_request_id()
        self.leased = False
        self.allowance = AccountAllowance()
        self.lock = asyncio.Lock()
        self.available_nano = 0
        self.beyond_nano = 0
        self.outage_nano = 0
        self.refill_below_nano = 0
        """0: a block is on its way already, or the last answer was none."""
        self.open_holds = 0
        self.unsettled = 0
        self.exact = False
        self.used_at = 0.0


class Credit:
    """The leased credit of all keys in this process."""

    def __init__(
        self, store: LeaseStore, monotonic: Callable[[], float], spawn: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        self._store = store
        self._monotonic = monotonic
        self._spawn = spawn
        self._accounts: dict[str, _Account] = {}
        self._leases: dict[str, _Account] = {}
        self._renewed_at = 0.0

    def worst_case(self, principal: Principal, plan: RoutePlan, call: Call) -> int:
        """The most that this plan can cost, in nano-units."""
        return _worst_case(plan, call, principal)

    def try_hold(self, principal: Principal, plan: RoutePlan, call: Call) -> Hold | None:
        """A hold from credit that is already leased, or None: then `hold` asks the database."""
        amount = _worst_case(plan, call, principal)
        if amount == 0:
            return Hold(principal.key_id, 0, "")
        account = self._accounts.get(principal.key_id)
        if account is None or not account.allowance.try_hold(amount):
            return None
        if account.allowance.remaining < account.refill_below_nano:
            account.refill_below_nano = 0
            self._spawn(self._refill(account, principal, amount))
        return self._taken(account, amount)

    async def hold(self, principal: Principal, plan: RoutePlan, call: Call) -> Hold:
        """A hold, leasing what is missing. PaymentRequired when the balance does not cover the least of it."""
        amount = _worst_case(plan, call, principal)
        while True:
            account = self._account(principal.key_id)
            async with account.lock:
                # Unless its lease was handed back while we waited: then once more, with a new one.
                if self._leases.get(account.lease_id) is account:
                    return await self._leased(account, principal, plan, call, amount)

    async def _leased(self, account: _Account, principal: Principal, plan: RoutePlan, call: Call, amount: int) -> Hold:
        while not account.allowance.try_hold(amount):
            # What is granted here may be taken by requests that do not wait: ask until it is ours or refused.
            lease = await self._grow(account, principal, amount)
            if not lease.granted_nano and account.allowance.remaining < amount:
                return await self._clamped(account, principal, plan, call, lease)
        return self._taken(account, amount)

    def _account(self, name: str) -> _Account:
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = _Account(name)
            self._leases[account.lease_id] = account
        return account

    async def _grow(self, account: _Account, principal: Principal, amount: int) -> LeaseGrant:
        need = amount - max(account.allowance.remaining, 0)
        try:
            return await self._lease(account, principal, need, amount)
        except Unavailable:
            return self._outage(account, need)

    async def _refill(self, account: _Account, principal: Principal, amount: int) -> None:
        """Another block for holds like this one. An account near the edge gets none: its requests ask for what they need."""
        async with account.lock:
            if self._leases.get(account.lease_id) is account:
                await self._lease(account, principal, 0, amount)

    async def _lease(self, account: _Account, principal: Principal, need: int, amount: int) -> LeaseGrant:
        lease = await self._store.lease_for_key(
            account.lease_id, principal.account, principal.key_id, need, _block(account, need, amount), LEASE_TTL_S
        )
        account.outage_nano = 0
        account.leased = account.leased or lease.granted_nano > 0
        account.available_nano = lease.available_nano
        account.beyond_nano = lease.available_nano - lease.granted_nano
        account.exact = lease.granted_nano <= need
        account.refill_below_nano = 0 if account.exact else lease.granted_nano // REFILL_SHARE
        account.allowance.add(lease.granted_nano)
        return lease

    def _outage(self, account: _Account, need: int) -> LeaseGrant:
        """The database is down: let a known account go on within its bound, or say that we cannot decide."""
        bound = min(int(account.available_nano * OUTAGE_SHARE), OUTAGE_NANO_MAX)
        if account.outage_nano + need > bound:
            raise Unavailable("The balance cannot be read at the moment; retry shortly.", retry_after_s=5)
        account.outage_nano += need
        account.allowance.add(need)
        return LeaseGrant(need, account.available_nano, "active")

    async def _clamped(
        self, account: _Account, principal: Principal, plan: RoutePlan, call: Call, lease: LeaseGrant
    ) -> Hold:
        affordable = max(account.allowance.remaining, 0) + lease.available_nano
        tokens = min(
            affordable_output_tokens(
                endpoints,
                affordable,
                prompt_bytes=len(call.body),
                choices=call.choices,
                searches=SEARCHES_MAX if call.searches else 0,
                markup_ppm=markup_ppm,
            )
            for endpoints, markup_ppm in _priced(plan, principal)
        )
        if tokens >= OUTPUT_TOKENS_MIN:
            amount = _worst_case(plan, call, principal, tokens)
            while not account.allowance.try_hold(amount):
                if not (await self._grow(account, principal, amount)).granted_nano:
                    break
            else:
                return self._taken(account, amount, tokens)
        raise _refusal(lease, _worst_case(plan, call, principal))

    def remaining_nano(self, key_id: str) -> int | None:
        """What a key may still spend, by its balance and budgets, as of its last lease; None when it has none."""
        account = self._accounts.get(key_id)
        return None if account is None else account.beyond_nano + account.allowance.remaining

    def _taken(self, account: _Account, amount: int, output_tokens_max: int = 0) -> Hold:
        account.open_holds += 1
        account.used_at = self._monotonic()
        return Hold(account.name, amount, account.lease_id, output_tokens_max)

    def settle(self, hold: Hold, cost_nano: int) -> None:
        """The request is over: free the hold, keep the cost until the database has it."""
        account = self._leases.get(hold.lease_id)
        if account is None:
            return
        account.allowance.settle(hold.amount_nano, cost_nano)
        account.open_holds -= 1
        account.unsettled += 1

    def release(self, hold: Hold) -> None:
        """The request was never dispatched: free its hold; no usage line will come."""
        account = self._leases.get(hold.lease_id)
        if account is not None:
            account.allowance.settle(hold.amount_nano, 0)
            account.open_holds -= 1

    def line_settled(self, lease_id: str) -> None:
        """PostgreSQL has one more usage line of this lease."""
        account = self._leases.get(lease_id)
        if account is None:
            return
        account.unsettled = max(0, account.unsettled - 1)
        if account.exact and not account.open_holds and not account.unsettled:
            self._let_go(account)

    def sweep(self) -> None:
        """Once a second: renew what is used, hand back what is idle."""
        now = self._monotonic()
        for account in list(self._leases.values()):
            idle = not account.open_holds and not account.unsettled
            if idle and now - account.used_at > IDLE_RELEASE_S:
                self._let_go(account)
        if self._leases and now - self._renewed_at > RENEW_S:
            self._renewed_at = now
            self._spawn(self._renew())

    async def _renew(self) -> None:
        """A lease that expired (a long database outage) is worth nothing: the account starts anew.

        Only what has been granted is asked for: a lease whose first grant is still on its way is not there yet, and not lost.
        """
        asked = [lease_id for lease_id, account in self._leases.items() if account.leased]
        alive = await self._store.renew(asked, LEASE_TTL_S) if asked else set()
        for lease_id in asked:
            account = self._leases.get(lease_id)
            if lease_id in alive or account is None:
                continue
            async with account.lock:
                self._forget(account)
                await self._store.release(lease_id)  # what may have been granted to it meanwhile

    def _let_go(self, account: _Account) -> None:
        """Hand the lease back. A request that comes meanwhile starts with a new one."""
        if account.lock.locked():
            return
        self._forget(account)
        self._spawn(self._release(account.lease_id))

    def _forget(self, account: _Account) -> None:
        if self._leases.pop(account.lease_id, None) is not None:
            del self._accounts[account.name]

    async def _release(self, lease_id: str) -> None:
        await self._store.release(lease_id)

    async def release_all(self) -> None:
        """At the end of the process: hand back everything whose usage is settled."""
        for account in list(self._leases.values()):
            async with account.lock:  # a block may be on its way
                if not account.open_holds and not account.unsettled:
                    self._forget(account)
                    await self._store.release(account.lease_id)


_REFUSALS = {
    "active": (
        "The balance does not cover this request. Top up, lower max_tokens, or choose a cheaper model.",
        "insufficient_credit",
    ),
    "key_stopped": (
        "This key spent unusually much and is stopped until an administrator confirms that it may go on.",
        "key_stopped",
    ),
    "budget_key": (
        "This key's budget does not cover the request. Wait for its reset, raise it, or lower max_tokens.",
        "key_budget_exceeded",
    ),
    "budget_user": (
        "This user's budget does not cover the request. Wait for its reset or ask an administrator to raise it.",
        "user_budget_exceeded",
    ),
    "budget_tenant": (
        "The account's budget does not cover the request. Wait for its reset or ask an administrator to raise it.",
        "account_budget_exceeded",
    ),
}


def _block(account: _Account, need: int, amount: int) -> int:
    """How much to ask for beside what is needed: enough for many such holds, and no more than the account can spare."""
    spare = account.available_nano // BLOCK_SHARE if account.available_nano else BLOCK_NANO
    return max(need, min(BLOCK_NANO, BLOCK_HOLDS * amount, spare))


def _refusal(lease: LeaseGrant, needed_nano: int) -> PaymentRequired:
    message, code = _REFUSALS.get(lease.state, _REFUSALS["active"])
    detail: dict[str, object] = {"available_nano": lease.available_nano, "needed_nano": needed_nano}
    if lease.reset_s:
        detail["reset_s"] = lease.reset_s
    return PaymentRequired(message, code=code, retry_after_s=lease.reset_s or None, detail=detail)


def markup_of(principal: Principal, credential: str) -> int:
    """What is added to the list price; with the customer's own provider key the fee is what is left of it."""
    return principal.markup_ppm if credential == "shared" else principal.byok_fee_ppm - PER_MILLION


def _priced(plan: RoutePlan, principal: Principal) -> list[tuple[tuple[Endpoint, ...], int]]:
    """The endpoints of a plan that cost something, and their markup."""
    priced = [(plan.shared, principal.markup_ppm)] if plan.shared else []
    if plan.own and principal.byok_fee_ppm:
        priced.append((plan.own, markup_of(principal, "byok")))
    return priced


def _worst_case(plan: RoutePlan, call: Call, principal: Principal, output_tokens_cap: int | None = None) -> int:
    """The most that any attempt of the plan can cost; with the customer's own provider key, that is our fee."""
    cap = call.output_cap if output_tokens_cap is None else output_tokens_cap
    prompt_bytes, choices, searches = len(call.body), call.choices, SEARCHES_MAX if call.searches else 0
    worst = 0
    for endpoints, markup_ppm in _priced(plan, principal):
        worst = max(worst, quote(endpoints, prompt_bytes, cap, choices, searches, markup_ppm))
    return worst
