from __future__ import annotations

import asyncio
import uuid

import pytest

from handlers.operations import reconcile
from handlers.operations.journal import EventError
from handlers.operations.reconcile import SumsDiffer
from handlers.store.gateway import GatewayStore
from handlers.store.operations import OperationsStore
from tests.database import Database
from tests.handlers.store.test_payments import Walk
from tests.handlers.store.world import make_tenant, usage_line


@pytest.fixture
def here(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setattr(reconcile, "open_store", lambda: OperationsStore(database.pool("operations")))
    return database


@pytest.mark.claim("C12")
def test_after_a_walk_of_payments_and_use_every_sum_agrees(here: Database) -> None:
    walk = Walk(here, 7)
    for _ in range(150):
        walk.step()
    tenant = make_tenant(here.pool("founder"), credit_nano=10**6)
    asyncio.run(GatewayStore(here.pool("gateway"), "pod").settle([usage_line(tenant, cost) for cost in range(20)]))
    sums = {row.rule: row for row in OperationsStore(here.pool("operations")).reconcile()}
    assert sums["payments_are_their_entries"].left > 0
    assert {rule for rule, row in sums.items() if row.difference} <= {"no_payment_is_flagged"}


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ("update therouter.account set balance_nano = balance_nano + 1", "balances_are_their_entries"),
        ("update therouter.account set held_nano = held_nano + 1", "held_is_its_leases"),
        ("update therouter.usage_event set cost_nano = cost_nano + 1", "usage_is_revenue"),
        ("update therouter.usage_rollup set requests = requests + 1", "requests_are_their_sums"),
        ("update therouter.payment_order set refunded_minor = refunded_minor + 1", "payments_are_their_entries"),
        ("update therouter.payment_order set flag = 'amount'", "no_payment_is_flagged"),
        ("delete from therouter.payment_order", "payments_are_their_entries"),
    ],
)
def test_one_unit_anywhere_pages(here: Database, fault: str, rule: str) -> None:
    here.altered = True
    tenant = make_tenant(here.pool("founder"), credit_nano=10**6)
    asyncio.run(GatewayStore(here.pool("gateway"), "pod").settle([usage_line(tenant, 5)]))
    order = uuid.uuid4()
    here.query(
        "insert into therouter.payment_order (order_id, tenant_id, provider, kind, amount_minor, currency, mode, state, expires_at, "
        "paid_at) values (:o, :t, 'stripe', 'checkout', 500, 'usd', 'test', 'paid', now(), now())",
        o=order, t=tenant.tenant_id,
    )  # fmt: skip
    here.query(
        "select therouter.credit_topup('stripe:' || cast(:o as text), :t, therouter.payment_nano(500))",
        o=str(order), t=tenant.tenant_id,
    )  # fmt: skip
    assert reconcile.handler({}, None)["outcome"] == "LedgerReconciled"
    here.query(fault)
    with pytest.raises(SumsDiffer):
        reconcile.handler({}, None)
    assert rule in {row.rule for row in OperationsStore(here.pool("operations")).reconcile() if row.difference}


def test_an_event_of_somebody_else_is_refused() -> None:
    with pytest.raises(EventError):
        reconcile.handler({"Records": []}, None)
