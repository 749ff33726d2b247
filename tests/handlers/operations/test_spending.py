from __future__ import annotations

import asyncio
import time
import uuid

import msgspec
import pytest

from handlers.keys.principal import KeyLimits
from handlers.operations import spending
from handlers.operations.journal import EventError
from handlers.store.admin import AdminStore, SpendingPolicy
from handlers.store.gateway import GatewayStore
from handlers.store.operations import OperationsStore
from tests.database import Database
from tests.handlers.store.world import Tenant, make_tenant, new_request_id, usage_line

DAY_MS = 86_400_000


class Room:
    """One database, and what the function says when it runs over it."""

    def __init__(self, database: Database, caplog: pytest.LogCaptureFixture) -> None:
        self.database, self._caplog = database, caplog
        self.admin = AdminStore(database.pool("admin"))
        self.gateway = GatewayStore(database.pool("gateway"), "pod")

    def tenant(self, credit_nano: int = 10**9, **limits: object) -> Tenant:
        return make_tenant(
            self.database.pool("admin"), credit_nano=credit_nano, limits=msgspec.convert(limits, KeyLimits)
        )

    def use(self, tenant: Tenant, cost_nano: int, days_ago: int = 0) -> None:
        request = new_request_id(time.time_ns() // 1_000_000 - days_ago * DAY_MS)
        asyncio.run(self.gateway.settle([usage_line(tenant, cost_nano, request_id=request)]))

    def run(self, tenant: Tenant) -> list[tuple[str, int]]:
        """What is said of a tenant: (outcome, per cent)."""
        self._caplog.clear()
        spending.handler({}, None)
        outcomes = [(record.getMessage(), vars(record)["outcome"]) for record in self._caplog.records]
        return [(kind, what.get("percent", 0)) for kind, what in outcomes if what.get("tenant") == tenant.tenant_id]


@pytest.fixture
def room(database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Room:
    monkeypatch.setattr(spending, "open_store", lambda: OperationsStore(database.pool("operations")))
    return Room(database, caplog)


def test_a_budget_speaks_at_each_threshold_once(room: Room) -> None:
    tenant = room.tenant(spend_nano=1_000, spend_period="monthly")
    said = []
    for cost in (499, 1, 100, 199, 1, 199, 1, 50):
        room.use(tenant, cost)
        said.append(room.run(tenant))
    assert said == [
        [], [("BudgetReached", 50)], [], [], [("BudgetReached", 80)], [], [("BudgetReached", 100)], [],
    ]  # fmt: skip
    assert [(row.kind, row.percent) for row in room.admin.list_alerts(tenant.tenant_id)] == [
        ("budget", 100), ("budget", 80), ("budget", 50),
    ]  # fmt: skip


def test_thresholds_that_are_passed_together_are_one_notice(room: Room) -> None:
    tenant = room.tenant(spend_nano=1_000)
    room.use(tenant, 990)
    assert room.run(tenant) == [("BudgetReached", 80)]


@pytest.mark.parametrize("scope", ["tenant", "user"])
def test_budgets_of_users_and_tenants_speak_too(room: Room, scope: str) -> None:
    tenant = room.tenant()
    room.database.query(
        "insert into therouter.budget values (:t, :scope, cast(:subject as uuid), 'daily', 100)",
        t=tenant.tenant_id, scope=scope, subject=tenant.tenant_id if scope == "tenant" else tenant.user_id,
    )  # fmt: skip
    room.use(tenant, 60, days_ago=1)
    assert room.run(tenant) == [], "that was yesterday"
    room.use(tenant, 60)
    assert room.run(tenant) == [("BudgetReached", 50)]


def test_a_low_balance_is_told_once_a_day_and_only_where_it_is_wanted(room: Room) -> None:
    silent, tenant = room.tenant(5), room.tenant(1_000)
    room.admin.set_spending(tenant.tenant_id, SpendingPolicy(low_balance_nano=400))
    assert room.run(tenant) == []
    room.use(tenant, 700)
    assert room.run(tenant) == [("BalanceLow", 0)]
    assert room.run(tenant) == []
    assert room.run(silent) == []


def test_a_key_that_spends_unusually_is_stopped_and_its_leases_end(room: Room) -> None:
    tenant = room.tenant()
    room.admin.set_spending(tenant.tenant_id, SpendingPolicy(unusual_factor=10, unusual_floor_nano=100))
    for day in range(1, 8):
        room.use(tenant, 24 * 50, days_ago=day)  # 50 an hour
    room.use(tenant, 500)
    assert room.run(tenant) == [], "ten times as much is not more than ten times as much"
    lease = str(uuid.uuid4())
    asyncio.run(room.gateway.lease_for_key(lease, tenant.tenant_id, tenant.key_id, 10, 10, 60))
    room.use(tenant, 1)
    assert room.run(tenant) == [("KeyStopped", 0)]
    assert asyncio.run(room.gateway.renew([lease], 60)) == set(), "within a renewal no process spends from it"
    grant = asyncio.run(room.gateway.lease_for_key(lease, tenant.tenant_id, tenant.key_id, 1, 1, 60))
    assert (grant.granted_nano, grant.state) == (0, "key_stopped")
    assert room.run(tenant) == []
    assert [rule for rule in room.admin.check_ledger() if rule.difference] == []


def test_a_key_that_was_confirmed_goes_on(room: Room) -> None:
    tenant = room.tenant()
    room.admin.set_spending(tenant.tenant_id, SpendingPolicy(unusual_factor=2, unusual_floor_nano=100))
    room.use(tenant, 101)
    assert room.run(tenant) == [("KeyStopped", 0)]
    assert room.admin.confirm_key(tenant.tenant_id, tenant.key_id)
    room.use(tenant, 500)
    assert room.run(tenant) == []
    grant = asyncio.run(room.gateway.lease_for_key(str(uuid.uuid4()), tenant.tenant_id, tenant.key_id, 1, 1, 60))
    assert grant.granted_nano == 1


def test_by_default_no_key_is_ever_stopped(room: Room) -> None:
    tenant = room.tenant(10**15)
    room.use(tenant, 10**14)
    assert room.run(tenant) == []
    room.admin.set_spending(tenant.tenant_id, SpendingPolicy())
    assert room.run(tenant) == []


def test_an_event_of_somebody_else_is_refused() -> None:
    with pytest.raises(EventError):
        spending.handler({"Records": []}, None)
