"""The ledger in PostgreSQL against its reference, step by step (THEROUTER_LEDGER_STEPS sets how many in the slow run)."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from handlers.errors import Unavailable
from handlers.store.admin import AdminStore
from handlers.store.gateway import GatewayStore
from handlers.store.operations import OperationsStore
from handlers.store.pool import Pool
from handlers.store.statements import STATEMENTS, TIMEOUT_MS, Statement
from tests.database import Database
from tests.handlers.store.ledger_model import Account
from tests.handlers.store.world import make_tenant, new_request_id, usage_line

STEPS_PER_EXAMPLE = 50
STEPS_BETWEEN_CRASHES = 150
STEPS = 1_000
STEPS_SLOW = int(os.environ.get("THEROUTER_LEDGER_STEPS", "1000000"))
ROWS = "select count(*), coalesce(sum(cost_nano), 0)::bigint from therouter.usage_event where tenant_id = :tenant"
SUMS = (
    "select coalesce(sum(requests), 0)::bigint, coalesce(sum(cost_nano), 0)::bigint "
    "from therouter.usage_rollup where tenant_id = :tenant"
)
ACCOUNT = Statement(
    "test_account",
    "select balance_nano, held_nano, state from therouter.account where tenant_id = cast(:tenant as uuid)",
    TIMEOUT_MS,
)
# No role may call these: what books a company's payment, refund or dispute is bound to its order.
MOVES = {
    "topup": "select therouter.credit_topup(:key, cast(:tenant as uuid), :nano)",
    "refund": "select therouter.credit_refund(:key, cast(:tenant as uuid), :nano)",
    "chargeback": "select therouter.credit_chargeback(:key, cast(:tenant as uuid), :nano)",
}
OLDEST_GRANT_IS_OVER = (
    "update therouter.credit_grant set expires_at = now() - interval '1 second' where grant_key = ("
    " select grant_key from therouter.credit_grant where tenant_id = :tenant and ended_at is null order by expires_at limit 1)"
)
GRANTS_LEFT = "select grant_key, left_nano from therouter.credit_grant where tenant_id = :tenant and ended_at is null order by expires_at"
RARE = (
    "topup", "refund", "chargeback", "lease", "reaped", "ok", "exists", "upgraded", "purge", "crash", "grant", "grant ended",
)  # fmt: skip
WHO = st.integers(0, 1)
WHICH = st.integers(0, 2)


class Line(NamedTuple):
    """One usage line: whose, and what matters to money."""

    who: int
    request_id: str
    cost: int
    lease_id: str
    final: bool = True


def _request_id(*, old: bool = False) -> str:
    """Of now, or of two days ago: old enough for the purge."""
    return new_request_id(time.time_ns() // 1_000_000 - 2 * 86_400_000) if old else new_request_id()


class Books:
    """The real ledger, and the counters of a run."""

    def __init__(self, database: Database, onlooker: Pool, examples: int) -> None:
        self.database = database
        self.pools = {"superuser": onlooker}
        self.pools |= {role: database.pool(role, connections_max=2) for role in ("gateway", "founder", "operations")}
        self.check_every = max(1, examples // 40)
        self.examples = self.steps = self.crashed_at = 0
        self.done: Counter[str] = Counter()
        self._moments = 0

    def ask(self, role: str, name: str, **parameters: object) -> list[tuple[Any, ...]]:
        """Ask until the server is there; it is only ever away around a crash, with nothing else under way."""
        while True:
            try:
                return self.pools[role].run(name, **parameters)
            except Unavailable:
                continue

    def settle(self, lines: list[bytes]) -> dict[str, str]:
        return dict(asyncio.run(GatewayStore(self.pools["gateway"], "pod").settle(lines)))

    def next_moment(self) -> datetime:
        """Later than every one before."""
        self._moments += 1
        return datetime(2100, 1, 1, tzinfo=UTC) + timedelta(seconds=self._moments)

    def check(self) -> None:
        assert [rule for rule in AdminStore(self.pools["founder"]).check_ledger() if rule.difference] == []


class LedgerMachine(RuleBasedStateMachine):
    """Two tenants who do everything that can be done with money, in any order."""

    def __init__(self, books: Books) -> None:
        super().__init__()
        self.books = books
        self.tenants = [make_tenant(books.pools["founder"]) for _ in range(2)]
        for tenant in self.tenants:
            books.database.query(
                "update therouter.tenant set retention_days = 1 where tenant_id = :tenant", tenant=tenant.tenant_id
            )
        self.models = [Account() for _ in range(2)]
        self.leases = [[str(uuid.uuid4()) for _ in range(3)] for _ in range(2)]
        self.lines: list[Line] = []
        for who in range(2):
            for key in range(20, 25):
                self.move_money(who, key, "topup")

    @rule(who=WHO, key=st.integers(0, 30), kind=st.sampled_from(["topup", "topup", "topup", "refund", "chargeback"]))
    def move_money(self, who: int, key: int, kind: str) -> None:
        tenant, model, amount = self.tenants[who], self.models[who], (key + 1) * 4_999
        name = f"{tenant.key_id}.{kind}.{key}"
        answer = self.books.database.query(MOVES[kind], key=name, tenant=tenant.tenant_id, nano=amount)
        assert answer == [[model.move(name, amount if kind == "topup" else -amount)]]
        if kind == "chargeback" and answer == [["ok"]]:
            model.frozen = True
        self.books.done[kind] += 1

    @rule(who=WHO, key=st.integers(0, 30))
    def grant(self, who: int, key: int) -> None:
        tenant, model, amount = self.tenants[who], self.models[who], (key + 1) * 997
        name = f"{tenant.key_id}.grant.{key}"
        answer = self.books.ask(
            "founder", "credit_grant_until", key=name, tenant=tenant.tenant_id, amount_nano=amount, reason="promotion",
            expires_at=self.books.next_moment(),
        )  # fmt: skip
        assert answer == [(model.grant(name, amount),)]
        self.books.done["grant"] += 1

    @precondition(lambda self: any(model.grants for model in self.models))
    @rule()
    def end_the_oldest_grants(self) -> None:
        expected = [model.end_oldest_grant() for model in self.models if model.grants]
        for tenant in self.tenants:
            self.books.database.query(OLDEST_GRANT_IS_OVER, tenant=tenant.tenant_id)
        assert OperationsStore(self.books.pools["operations"]).expire_credit()[1] == sum(expected)
        for tenant, model in zip(self.tenants, self.models, strict=True):
            left = self.books.database.query(GRANTS_LEFT, tenant=tenant.tenant_id)
            assert left == [[key, nano] for key, nano in model.grants.items()]
        self.books.done["grant ended"] += 1

    @rule(who=WHO)
    def thaw(self, who: int) -> None:
        self.books.database.query(
            "update therouter.account set state = 'active' where tenant_id = :t", t=self.tenants[who].tenant_id
        )
        self.models[who].frozen = False

    @rule(who=WHO, which=WHICH, need=st.integers(0, 2_000), want=st.integers(0, 3_000))
    def lease(self, who: int, which: int, need: int, want: int) -> None:
        lease_id, tenant_id = self.leases[who][which], self.tenants[who].tenant_id
        asked = {"lease": lease_id, "tenant": tenant_id, "pod": "pod", "need_nano": need, "want_nano": want}
        answer = self.books.ask("gateway", "credit_lease", **asked, ttl_s=3600)
        granted, available = self.models[who].lease(lease_id, need, want)
        assert answer[0][:2] == (granted, available)
        self.books.done["lease" if granted else "lease refused"] += 1

    @rule(who=WHO, which=WHICH, keep=st.sampled_from([0, 0, 1, 500]))
    def release(self, who: int, which: int, keep: int) -> None:
        lease_id = self.leases[who][which]
        answer = self.books.ask("gateway", "credit_release", lease=lease_id, keep_nano=keep)
        assert answer == [(self.models[who].release(lease_id, keep),)]
        self.books.done["release"] += 1

    @rule(who=WHO, which=WHICH)
    def expire(self, who: int, which: int) -> None:
        lease_id = self.leases[who][which]
        self.books.database.query(
            "update therouter.lease set expires_at = now() - interval '1 second' where lease_id = :lease",
            lease=lease_id,
        )
        self.models[who].expired.add(lease_id)

    @rule(who=WHO, which=WHICH, cost=st.integers(0, 900))
    def settle_after_the_lease_was_reaped(self, who: int, which: int, cost: int) -> None:
        self.expire(who, which)
        self.reap()
        self._settle([Line(who, _request_id(), cost, self.leases[who][which])])

    @rule()
    def reap(self) -> None:
        expected = sum(model.reap() for model in self.models)
        assert OperationsStore(self.books.pools["operations"]).reap() == expected
        self.books.done["reaped"] += expected

    @rule(who=WHO, which=WHICH, cost=st.integers(0, 2_500), final=st.booleans(), old=st.booleans())
    def settle(self, who: int, which: int, cost: int, final: bool, old: bool) -> None:
        self._settle([Line(who, _request_id(old=old), cost, self.leases[who][which], final)])

    @rule(who=WHO, which=WHICH, guess=st.integers(0, 2_500), cost=st.integers(0, 2_500), twice=st.booleans())
    def settle_provisionally_and_correct(self, who: int, which: int, guess: int, cost: int, twice: bool) -> None:
        line = Line(who, _request_id(), guess, self.leases[who][which], final=False)
        self._settle([line])
        for _ in range(1 + twice):
            self._settle([line._replace(cost=cost, final=True)])

    @rule(who=WHO, limit=st.integers(1, 5))
    def purge(self, who: int, limit: int) -> None:
        operations, model = OperationsStore(self.books.pools["operations"]), self.models[who]
        for due in operations.purge_due():
            if due.tenant_id == self.tenants[who].tenant_id:
                operations.purge(due.tenant_id, due.cutoff, limit)
        old = sorted(set(model.usage) - model.purged)
        model.purged |= set([request for request in old if request < _request_id(old=True)][:limit])
        self.books.done["purge"] += 1

    @precondition(lambda self: self.lines)
    @rule(back=st.integers(1, 20), cost=st.integers(0, 2_500))
    def settle_again_with_another_cost(self, back: int, cost: int) -> None:
        self._settle([self.lines[-min(back, len(self.lines))]._replace(cost=cost, final=True)])

    @rule(costs=st.lists(st.integers(0, 900), min_size=2, max_size=6), twice=st.booleans())
    def settle_a_batch(self, costs: list[int], twice: bool) -> None:
        batch = [Line(i % 2, _request_id(), cost, self.leases[i % 2][i % 3]) for i, cost in enumerate(costs)]
        for _ in range(1 + twice):
            self._settle(batch)

    @rule(costs=st.lists(st.integers(1, 900), min_size=1, max_size=5))
    def crash_while_settling(self, costs: list[int]) -> None:
        """Now and then the server dies with the answer on its way; the same lines are sent again until it answers."""
        batch = [Line(0, _request_id(), cost, self.leases[0][0]) for cost in costs]
        crashes = self.books.steps - self.books.crashed_at > STEPS_BETWEEN_CRASHES
        if crashes:
            with ThreadPoolExecutor(1) as thread:
                first = thread.submit(self.books.settle, self._encode(batch))
                self.books.database.server.crash()
                self.books.database.server.start()
                first.exception()
            self.books.crashed_at = self.books.steps
            self.books.done["crash"] += 1
        self._settle(batch, maybe_known=crashes)

    @invariant()
    def balances_and_holds_agree(self) -> None:
        self.books.steps += 1
        for tenant, model in zip(self.tenants, self.models, strict=True):
            row = (model.balance, model.held, "frozen" if model.frozen else "active")
            assert self.books.ask("superuser", ACCOUNT.name, tenant=tenant.tenant_id) == [row]

    def teardown(self) -> None:
        OperationsStore(self.books.pools["operations"]).reap()  # what this example let expire is not the next one's
        self.books.database.query("update therouter.credit_grant set ended_at = now() where ended_at is null")
        self.books.examples += 1
        if self.books.examples % self.books.check_every == 0:
            self.books.check()
        for tenant, model in zip(self.tenants, self.models, strict=True):
            kept = [cost for request, (cost, _) in model.usage.items() if request not in model.purged]
            assert self.books.database.query(ROWS, tenant=tenant.tenant_id) == [[len(kept), sum(kept)]]
            everything = [len(model.usage), sum(cost for cost, _ in model.usage.values())]
            assert self.books.database.query(SUMS, tenant=tenant.tenant_id) == [everything]

    def _encode(self, batch: list[Line]) -> list[bytes]:
        return [
            usage_line(self.tenants[who], cost, request_id=request_id, lease_id=lease_id, final=final)
            for who, request_id, cost, lease_id, final in batch
        ]

    def _settle(self, batch: list[Line], *, maybe_known: bool = False) -> None:
        outcomes: dict[str, str] = {}
        while not outcomes:
            try:
                outcomes = self.books.settle(self._encode(batch))
            except Unavailable:
                continue
        for who, request_id, cost, lease_id, final in batch:
            expected = self.models[who].settle(request_id, cost, lease_id, final=final)
            assert outcomes[request_id] == expected or (maybe_known and outcomes[request_id] == "exists")
            self.books.done[expected] += 1
        self.lines += batch


@pytest.mark.timeout(0)
@pytest.mark.claim("C12", "A62")
@pytest.mark.parametrize("steps", [STEPS, pytest.param(STEPS_SLOW, marks=pytest.mark.slow)])
def test_the_ledger_does_what_its_reference_does(
    database: Database, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    examples = steps // STEPS_PER_EXAMPLE
    monkeypatch.setitem(STATEMENTS, ACCOUNT.name, ACCOUNT)
    with closing(Pool(database.superuser, connections_max=1)) as onlooker:
        books = Books(database, onlooker, examples)
        for attempt in range(3):  # more steps than asked for if chance has left out a kind
            run_state_machine_as_test(
                lambda: LedgerMachine(books),  # type: ignore[arg-type]  # any callable that makes one will do
                settings=settings(
                    max_examples=examples, stateful_step_count=STEPS_PER_EXAMPLE, database=None,
                    derandomize=steps == STEPS and not attempt, suppress_health_check=list(HealthCheck),
                ),
            )  # fmt: skip
            if all(books.done[what] for what in RARE):
                break
        books.check()
    sys.stdout.write(f"{books.steps} steps, {dict(books.done)}\n")
    assert books.steps >= steps * 0.8
    assert [what for what in RARE if not books.done[what]] == []
