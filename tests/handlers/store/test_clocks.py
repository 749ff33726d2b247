"""A69: clocks that are wrong. Leases, places and windows live by the database's clock, usage rows by their request's."""

from __future__ import annotations

import asyncio
import time
import uuid

import pytest

from handlers.store.admin import AdminStore
from handlers.store.gateway import GatewayStore, RateClaim
from handlers.store.operations import OperationsStore
from tests.database import Database
from tests.handlers.store.world import make_tenant, new_request_id, usage_line

HOUR_S = 3_600


@pytest.fixture
def store(database: Database) -> GatewayStore:
    return GatewayStore(database.pool("gateway"), "pod")


@pytest.mark.claim("A69")
@pytest.mark.parametrize("step_s", [-HOUR_S, HOUR_S])
def test_a69_a_node_that_is_an_hour_off_holds_and_settles_as_all_others(
    database: Database, store: GatewayStore, monkeypatch: pytest.MonkeyPatch, step_s: int
) -> None:
    tenant = make_tenant(database.pool("founder"), credit_nano=10**6)
    true_time = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: true_time() + step_s * 10**9)
    monkeypatch.setattr(time, "time", lambda: true_time() / 10**9 + step_s)
    lease = str(uuid.uuid4())
    assert asyncio.run(store.lease(lease, tenant.tenant_id, 1_000, 1_000, 60)).granted_nano == 1_000
    assert OperationsStore(database.pool("operations")).reap() == 0, "a lease lives by the database's clock"
    request = new_request_id()
    line = usage_line(tenant, 400, request_id=request, lease_id=lease)
    for outcome in ("ok", "exists"):
        assert asyncio.run(store.settle([line])) == [(request, outcome)]
    rows = database.query(
        "select balance_nano, held_nano from therouter.account where tenant_id = :t", t=tenant.tenant_id
    )
    assert rows == [[10**6 - 400, 600]]
    claim = RateClaim(tenant.key_id, "requests", 1, 1, 1)
    grant = asyncio.run(store.admit_rates(str(uuid.uuid4()), [claim], 60))
    again = asyncio.run(store.admit_rates(str(uuid.uuid4()), [claim], 60))
    assert (grant.granted, again.granted, again.refused) == ([1], [0], 1)
    assert 1 <= again.wait_s <= 61
    assert [rule for rule in AdminStore(database.pool("founder")).check_ledger() if rule.difference] == []
