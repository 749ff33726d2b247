"""Holds against a ledger that answers late, forgets leases, and has little to give."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest

from handlers.catalog.entries import Capabilities, Endpoint, Price, Provider, Rates
from handlers.errors import PaymentRequired, TheRouterError, Unavailable
from handlers.gateway.attempts import Attempt, RoutePlan
from handlers.gateway.call import Call
from handlers.gateway.credit import BLOCK_HOLDS, Credit, Hold
from handlers.gateway.gate import read_call
from handlers.gateway.routes import ROUTES
from handlers.keys.principal import Principal
from handlers.ledger.quote import quote
from handlers.store.gateway import LeaseGrant

CHAT = ROUTES[b"/v1/chat/completions"]
PROVIDER = msgspec.convert(
    {
        "slug": "p",
        "name": "P",
        "base_url": "https://x",
        "wire_format": "openai_chat",
        "auth": "bearer",
        "country": "US",
    },
    Provider,
)
PRICE = Price("v", ((0, Rates(input=1_000_000, output=1_000_000)),))
"""One nano-unit a token."""
FREE_PRICE = Price("v", ((0, Rates()),))


def principal(key_id: str = "k", **more: object) -> Principal:
    base: dict[str, object] = {
        "key_id": key_id, "account": "a", "user": "u", "account_state": "active", "expires_at": None, "limits": {},
        "retention_days": 90, "byok_mode": "prefer", **more,
    }  # fmt: skip
    return msgspec.convert(base, Principal)


def call(output_cap: int = 100) -> Call:
    body = msgspec.json.encode({"model": "m", "max_tokens": output_cap, "messages": []})
    return read_call(CHAT, b"/v1/chat/completions", b"/v1/chat/completions", b"application/json", body)


def plan(price: Price = PRICE, credential: str = "shared") -> RoutePlan:
    endpoint = Endpoint("m@p", "m", "p", "m", Capabilities(output_tokens_max=1000), price)
    return RoutePlan((Attempt(endpoint, PROVIDER, credential, ""),), (), 1, "v")


WORST = quote([plan().attempts[0].endpoint], prompt_bytes=len(call().body), output_tokens_cap=100)


class Ledger:
    """Leases of one tenant, as PostgreSQL keeps them; it can be slow, and lose leases."""

    def __init__(self, balance_nano: int) -> None:
        self.balance_nano = balance_nano
        self.leases: dict[str, int] = {}
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.state = "active"
        self.down = False
        self.asked = 0
        self.wanted: list[int] = []

    async def lease_for_key(
        self, lease_id: str, account: str, key_id: str, need_nano: int, want_nano: int, ttl_s: int
    ) -> LeaseGrant:
        assert (account, ttl_s > 0, bool(key_id)) == ("a", True, True)
        self.asked += 1
        self.wanted.append(want_nano)
        await self.may_answer.wait()
        await asyncio.sleep(0)
        if self.down:
            raise Unavailable("down")
        available = self.balance_nano - sum(self.leases.values())
        if available < need_nano:
            return LeaseGrant(0, available, self.state)
        granted = want_nano if available >= 64 * want_nano else need_nano
        self.leases[lease_id] = self.leases.get(lease_id, 0) + granted
        return LeaseGrant(granted, available, self.state)

    async def renew(self, lease_ids: list[str], ttl_s: int) -> set[str]:
        assert ttl_s > 0
        await asyncio.sleep(0)
        return set(lease_ids) & set(self.leases)

    async def release(self, lease_id: str) -> int:
        return self.leases.pop(lease_id, 0)

    def settle(self, lease_id: str, cost_nano: int) -> None:
        self.balance_nano -= cost_nano
        if lease_id in self.leases:
            self.leases[lease_id] -= min(cost_nano, self.leases[lease_id])


class Process:
    """The credit of one gateway process, with a clock that the test moves."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.now = 100.0
        self.tasks: set[asyncio.Task[None]] = set()
        self.credit = Credit(ledger, lambda: self.now, self.spawn)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.add(asyncio.get_running_loop().create_task(work))

    async def settled(self) -> None:
        while self.tasks:
            await self.tasks.pop()

    def hold(self, who: Principal | None = None) -> asyncio.Task[Hold]:
        return asyncio.get_running_loop().create_task(self.credit.hold(who or principal(), plan(), call()))

    def end(self, hold: Hold, cost_nano: int) -> None:
        self.credit.settle(hold, cost_nano)
        self.ledger.settle(hold.lease_id, cost_nano)
        self.credit.line_settled(hold.lease_id)


def test_a_lease_whose_first_grant_is_on_its_way_is_not_lost() -> None:
    async def scenario() -> None:
        process = Process(Ledger(10**12))
        process.ledger.may_answer.clear()
        first = process.hold()
        await asyncio.sleep(0)
        process.credit.sweep()  # renews leases; this one is not there yet
        await process.settled()
        process.ledger.may_answer.set()
        early = await first
        late = process.credit.try_hold(principal(), plan(), call())
        assert late is not None, "the second request asks the database again: its account was dropped"
        process.end(early, 5)
        process.end(late, 5)

    asyncio.run(scenario())


def test_a_hold_that_outlives_its_lease_ends_without_touching_the_next_lease() -> None:
    async def scenario() -> None:
        process = Process(Ledger(10**12))
        old = await process.hold()
        process.ledger.leases.clear()  # a long outage: everything expired and was reaped
        process.credit.sweep()
        await process.settled()
        new = await process.hold()
        assert new.lease_id != old.lease_id
        process.end(old, 7)
        process.end(new, 7)
        process.now += 60
        process.credit.sweep()
        await process.settled()
        assert process.ledger.leases == {}
        assert process.ledger.balance_nano == 10**12 - 14

    asyncio.run(scenario())


def test_a_request_that_waits_while_the_lease_is_handed_back_takes_a_new_one() -> None:
    async def scenario() -> None:
        process = Process(Ledger(0))
        process.ledger.may_answer.clear()
        refused, waiting = process.hold(), process.hold()
        await asyncio.sleep(0)
        process.ledger.may_answer.set()
        with pytest.raises(PaymentRequired):
            await refused
        process.ledger.balance_nano = 10**12
        process.credit.sweep()  # between the end of the first and the turn of the second
        hold = await waiting
        process.end(hold, 1)
        assert process.credit.try_hold(principal(), plan(), call()) is not None

    asyncio.run(scenario())


def test_a_line_without_a_lease_hands_nothing_back() -> None:
    async def scenario() -> None:
        process = Process(Ledger(WORST))
        hold = await process.hold()
        process.credit.settle(hold, 1)
        process.credit.line_settled("")
        assert process.ledger.leases == {hold.lease_id: WORST}

    asyncio.run(scenario())


def test_an_exact_lease_goes_back_when_its_last_line_is_settled() -> None:
    async def scenario() -> None:
        process = Process(Ledger(2 * WORST))
        first, second = await process.hold(), await process.hold()
        with pytest.raises(PaymentRequired) as refusal:
            await process.hold()
        assert refusal.value.code == "insufficient_credit"
        process.end(first, 10)
        assert process.ledger.leases, "the other request is still open"
        process.end(second, 10)
        await process.settled()
        assert process.ledger.leases == {}

    asyncio.run(scenario())


def test_a_request_that_the_balance_does_not_cover_is_clamped_to_what_it_affords() -> None:
    async def scenario() -> None:
        process = Process(Ledger(WORST - 40))
        hold = await process.hold()
        assert hold.output_tokens_max == 60
        assert hold.amount_nano == WORST - 40

    asyncio.run(scenario())


def test_fewer_tokens_than_help_anybody_are_refused_instead() -> None:
    async def scenario() -> None:
        process = Process(Ledger(WORST - 85))
        with pytest.raises(PaymentRequired) as refusal:
            await process.hold()
        assert refusal.value.detail == {"available_nano": WORST - 85, "needed_nano": WORST}

    asyncio.run(scenario())


def test_what_is_free_and_what_the_customers_own_key_pays_needs_no_balance() -> None:
    async def scenario() -> None:
        process = Process(Ledger(0))
        for route in (plan(FREE_PRICE), plan(PRICE, "byok")):
            hold = process.credit.try_hold(principal(), route, call())
            assert hold is not None
            assert (hold.key_id, hold.amount_nano, hold.lease_id) == ("k", 0, "")
            process.credit.settle(hold, 0)
        assert process.ledger.asked == 0

    asyncio.run(scenario())


def test_an_outage_spends_at_most_its_share_of_what_the_account_last_had() -> None:
    async def scenario() -> None:
        process = Process(Ledger(100 * WORST))
        await process.hold()
        process.ledger.down = True
        await process.hold()
        await process.hold()  # 2 % of a hundred
        with pytest.raises(Unavailable):
            await process.hold()

    asyncio.run(scenario())


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_order_no_request_is_lost_and_every_lease_comes_home(seed: int) -> None:
    async def scenario() -> None:
        dice = random.Random(seed)
        process = Process(Ledger(dice.choice([3, 30, 3_000, 10**9]) * WORST))
        spent = ended = 0

        async def request(key: str) -> None:
            nonlocal spent, ended
            await asyncio.sleep(dice.random() / 200)
            try:
                hold = process.credit.try_hold(principal(key), plan(), call()) or await process.hold(principal(key))
            except TheRouterError:
                ended += 1
                return
            await asyncio.sleep(dice.random() / 200)
            cost = dice.randint(0, hold.amount_nano)
            process.end(hold, cost)
            spent += cost
            ended += 1

        async def weather() -> None:
            while True:
                await asyncio.sleep(dice.random() / 1000)
                process.now += dice.choice([0.1, 1, 6, 21])
                if dice.random() < 0.3 and process.ledger.leases:
                    process.ledger.leases.pop(dice.choice(list(process.ledger.leases)))
                process.credit.sweep()

        storm = asyncio.get_running_loop().create_task(weather())
        before = process.ledger.balance_nano
        await asyncio.wait_for(asyncio.gather(*(request(f"k{i % 3}") for i in range(150))), 20)
        storm.cancel()
        await process.settled()
        for _ in range(3):
            process.now += 60
            process.credit.sweep()
            await process.settled()
        assert ended == 150
        assert before - process.ledger.balance_nano == spent
        assert process.ledger.leases == {}

    asyncio.run(scenario())


def use(process: Process, requests: int) -> None:
    """Requests one after the other, each at the whole of its hold, none of which may ask."""
    for _ in range(requests):
        hold = process.credit.try_hold(principal(), plan(), call())
        assert hold is not None, "a request has to wait for the database"
        process.end(hold, hold.amount_nano)


def test_the_next_block_is_there_before_a_request_would_wait_for_it() -> None:
    async def scenario() -> None:
        process = Process(Ledger(10**12))
        process.end(await process.hold(), WORST)
        use(process, BLOCK_HOLDS * 3 // 4)
        assert process.ledger.asked == 1
        for _ in range(20):
            use(process, BLOCK_HOLDS // 4 - 1)  # while it is on its way
            await process.settled()
            use(process, BLOCK_HOLDS * 3 // 4 + 1)
        assert process.ledger.wanted == [BLOCK_HOLDS * WORST] * 21

    asyncio.run(scenario())


def test_a_block_is_for_holds_like_the_one_that_asks_even_if_little_is_missing() -> None:
    async def scenario() -> None:
        process = Process(Ledger(10**12))
        process.end(await process.hold(), WORST // 2)
        process.ledger.down = True
        use(process, BLOCK_HOLDS - 1)
        with pytest.raises(Unavailable):
            await process.settled()
        process.ledger.down = False
        process.end(await process.hold(), WORST)
        assert process.ledger.wanted == [BLOCK_HOLDS * WORST] * 3

    asyncio.run(scenario())


def test_a_block_that_an_outage_keeps_away_costs_no_request_and_none_of_the_outages_bound() -> None:
    async def scenario() -> None:
        process = Process(Ledger(10**12))
        process.end(await process.hold(), WORST)
        process.ledger.down = True
        use(process, BLOCK_HOLDS - 1)
        with pytest.raises(Unavailable):  # whoever runs what is spawned tells the log
            await process.settled()
        assert process.ledger.asked == 2, "nobody asks again for each request"
        assert process.credit.remaining_nano("k") == process.ledger.balance_nano

    asyncio.run(scenario())


def test_near_the_edge_nothing_is_leased_ahead() -> None:
    async def scenario() -> None:
        process = Process(Ledger(30 * WORST))
        holds = [await process.hold() for _ in range(5)]
        assert not process.tasks
        assert process.ledger.leases == {holds[0].lease_id: 5 * WORST}

    asyncio.run(scenario())


def test_an_account_that_comes_near_the_edge_meanwhile_gets_no_block() -> None:
    async def scenario() -> None:
        process = Process(Ledger(10**12))
        process.end(await process.hold(), WORST)
        process.ledger.balance_nano = 300 * WORST  # another process, or a refund taken back
        use(process, BLOCK_HOLDS - 1)
        await process.settled()
        assert sum(process.ledger.leases.values()) == 0
        process.end(await process.hold(), WORST)
        await process.settled()
        assert process.ledger.leases == {}, "handed back as soon as it was unused, for the replicas to share"

    asyncio.run(scenario())


def test_a_process_that_ends_hands_back_the_block_that_is_on_its_way() -> None:
    async def scenario() -> None:
        process = Process(Ledger(10**12))
        process.end(await process.hold(), WORST)
        process.ledger.may_answer.clear()
        use(process, BLOCK_HOLDS * 3 // 4 + 1)
        await asyncio.sleep(0)
        end = asyncio.get_running_loop().create_task(process.credit.release_all())
        await asyncio.sleep(0)
        process.ledger.may_answer.set()
        await end
        await process.settled()
        assert process.ledger.asked == 2
        assert process.ledger.leases == {}

    asyncio.run(scenario())


def test_a_refusal_by_a_budget_says_when_to_come_back() -> None:
    class Budget(Ledger):
        async def lease_for_key(
            self, lease_id: str, account: str, key_id: str, need_nano: int, want_nano: int, ttl_s: int
        ) -> LeaseGrant:
            await super().lease_for_key(lease_id, account, key_id, need_nano, want_nano, ttl_s)
            return LeaseGrant(0, 5, "budget_user", 3_600)

    async def scenario() -> None:
        with pytest.raises(PaymentRequired) as refusal:
            await Process(Budget(0)).hold()
        assert (refusal.value.code, refusal.value.retry_after_s) == ("user_budget_exceeded", 3_600)
        assert refusal.value.detail == {"available_nano": 5, "needed_nano": WORST, "reset_s": 3_600}

    asyncio.run(scenario())


def test_a_stopped_key_is_told_so() -> None:
    async def scenario() -> None:
        process = Process(Ledger(0))
        process.ledger.state = "key_stopped"
        with pytest.raises(PaymentRequired) as refusal:
            await process.hold()
        assert (refusal.value.code, refusal.value.retry_after_s) == ("key_stopped", None)

    asyncio.run(scenario())


def test_what_a_key_may_still_spend_is_told_after_each_hold() -> None:
    async def scenario() -> None:
        process = Process(Ledger(1_000 * WORST))
        assert process.credit.remaining_nano("k") is None
        hold = await process.hold()
        assert process.credit.remaining_nano("k") == 999 * WORST
        process.credit.settle(hold, 10)
        assert process.credit.remaining_nano("k") == 1_000 * WORST - 10

    asyncio.run(scenario())


def test_the_fee_for_own_provider_keys_is_held_like_a_price() -> None:
    async def scenario() -> None:
        who = principal(byok_fee_ppm=50_000)
        process = Process(Ledger(10**12))
        hold = await process.credit.hold(who, plan(PRICE, "byok"), call())
        assert hold.amount_nano == -(-WORST // 20)
        both = RoutePlan((*plan().attempts, *plan(PRICE, "byok").attempts), (), 1, "v")
        assert (await process.credit.hold(who, both, call())).amount_nano == WORST

    asyncio.run(scenario())


def test_the_fee_clamps_output_like_a_price() -> None:
    async def scenario() -> None:
        who = principal(byok_fee_ppm=500_000)
        process = Process(Ledger(WORST // 2 - 20))
        hold = await process.credit.hold(who, plan(PRICE, "byok"), call())
        assert hold.output_tokens_max in {59, 60, 61}
        assert hold.amount_nano <= WORST // 2 - 20

    asyncio.run(scenario())
