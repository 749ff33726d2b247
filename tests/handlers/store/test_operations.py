from __future__ import annotations

import asyncio
import time
import uuid
from datetime import UTC, datetime, timedelta

from handlers.store.admin import AdminStore
from handlers.store.gateway import GatewayStore
from handlers.store.operations import OperationsStore
from tests.database import Database
from tests.handlers.store.world import make_tenant, new_request_id, usage_line

PARTITIONS = "select (select relname from pg_class where oid = inhrelid) from pg_inherits where inhparent = 'therouter.usage_event'::regclass"


def _partition_of(day: datetime) -> str:
    return f"usage_event_{day:%Y%m%d}"


def test_partitions_are_made_ahead_once(database: Database) -> None:
    operations = OperationsStore(database.pool("operations"))
    today = datetime.now(UTC)
    names = [row[0] for row in database.query(PARTITIONS)]
    assert {_partition_of(today + timedelta(days=d)) for d in range(-1, 15)} <= set(names)
    assert operations.create_partitions() == 0
    assert operations.create_partitions(days_ahead=16) == 2
    assert operations.create_partitions(days_ahead=16) == 0


def test_a_row_is_its_requests_token_in_whatever_partition(database: Database) -> None:
    """A day without a partition falls into the default one, moves when its partition is made, and stays settled once."""
    tenant = make_tenant(database.pool("admin"), credit_nano=1_000)
    store = GatewayStore(database.pool("gateway"), "pod")
    operations = OperationsStore(database.pool("operations"))
    today = datetime.now(UTC)
    database.query("drop table therouter.usage_event_" + today.strftime("%Y%m%d"))
    request = new_request_id()
    line = usage_line(tenant, 7, request_id=request)
    assert asyncio.run(store.settle([line])) == [(request, "ok")]
    where = "select tableoid::regclass::text from therouter.usage_event where request_id = :r"
    assert database.query(where, r=request) == [["usage_event_default"]]
    assert operations.create_partitions() == 1
    assert database.query(where, r=request) == [[_partition_of(today)]]
    assert asyncio.run(store.settle([line])) == [(request, "exists")]
    old = new_request_id(int((today - timedelta(days=300)).timestamp() * 1000))
    assert asyncio.run(store.settle([usage_line(tenant, 1, request_id=old)] * 2)) == [(old, "ok")]
    assert [rule for rule in AdminStore(database.pool("admin")).check_ledger() if rule.difference] == []


def test_an_expired_lease_gives_its_rest_back_and_late_usage_is_charged_once(database: Database) -> None:
    tenant = make_tenant(database.pool("admin"), credit_nano=1_000)
    store = GatewayStore(database.pool("gateway"), "pod")
    operations = OperationsStore(database.pool("operations"))
    lease = str(uuid.uuid4())
    asyncio.run(store.lease(lease, tenant.tenant_id, 900, 0, 1))
    asyncio.run(store.settle([usage_line(tenant, 100, lease_id=lease)]))
    assert operations.reap() == 0
    time.sleep(1.1)
    assert operations.reap() == 1
    assert asyncio.run(store.renew([lease], 60)) == set()
    late = usage_line(tenant, 950, lease_id=lease)
    assert [outcome for _, outcome in asyncio.run(store.settle([late, late]))] == ["ok"]
    assert [outcome for _, outcome in asyncio.run(store.settle([late]))] == ["exists"]
    listed = AdminStore(database.pool("admin")).list_tenants()[0]
    assert (listed.balance_nano, listed.held_nano) == (1_000 - 100 - 950, 0)
    assert asyncio.run(store.lease(lease, tenant.tenant_id, 1, 0, 60)).granted_nano == 0
