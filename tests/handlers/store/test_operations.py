from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from handlers.errors import Conflict
from handlers.store.admin import AdminStore
from handlers.store.gateway import GatewayStore
from handlers.store.operations import OperationsStore
from tests.database import Database
from tests.handlers.store.world import make_tenant, new_request_id, usage_line

PARTITIONS = "select (select relname from pg_class where oid = inhrelid) from pg_inherits where inhparent = 'therouter.usage_event'::regclass"


def _partition_of(day: datetime) -> str:
    return f"usage_event_{day:%Y%m%d}"


def test_partitions_are_made_ahead_once(database: Database) -> None:
    database.altered = True
    operations = OperationsStore(database.pool("operations"))
    today = datetime.now(UTC)
    names = [row[0] for row in database.query(PARTITIONS)]
    assert {_partition_of(today + timedelta(days=d)) for d in range(-1, 15)} <= set(names)
    assert operations.create_partitions() == 0
    assert operations.create_partitions(days_ahead=16) == 2
    assert operations.create_partitions(days_ahead=16) == 0


def test_a_row_is_its_requests_token_in_whatever_partition(database: Database) -> None:
    """A day without a partition falls into the default one, moves when its partition is made, and stays settled once."""
    database.altered = True
    tenant = make_tenant(database.pool("founder"), credit_nano=1_000)
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
    old = new_request_id(int((today - timedelta(days=80)).timestamp() * 1000))
    assert asyncio.run(store.settle([usage_line(tenant, 1, request_id=old)] * 2)) == [(old, "ok")]
    assert [rule for rule in AdminStore(database.pool("founder")).check_ledger() if rule.difference] == []


def test_an_expired_lease_gives_its_rest_back_and_late_usage_is_charged_once(database: Database) -> None:
    tenant = make_tenant(database.pool("founder"), credit_nano=1_000)
    store = GatewayStore(database.pool("gateway"), "pod")
    operations = OperationsStore(database.pool("operations"))
    lease = str(uuid.uuid4())
    asyncio.run(store.lease(lease, tenant.tenant_id, 900, 0, 60))
    asyncio.run(store.settle([usage_line(tenant, 100, lease_id=lease)]))
    assert operations.reap() == 0
    database.query("update therouter.lease set expires_at = now() - interval '1 second' where lease_id = :l", l=lease)
    assert operations.reap() == 1
    assert asyncio.run(store.renew([lease], 60)) == set()
    late = usage_line(tenant, 950, lease_id=lease)
    assert [outcome for _, outcome in asyncio.run(store.settle([late, late]))] == ["ok"]
    assert [outcome for _, outcome in asyncio.run(store.settle([late]))] == ["exists"]
    listed = AdminStore(database.pool("founder")).list_tenants()[0]
    assert (listed.balance_nano, listed.held_nano) == (1_000 - 100 - 950, 0)
    assert asyncio.run(store.lease(lease, tenant.tenant_id, 1, 0, 60)).granted_nano == 0


def _at(days_ago: float) -> int:
    return int((datetime.now(UTC) - timedelta(days=days_ago)).timestamp() * 1000)


@pytest.mark.claim("C9", "C10", "C11")
def test_the_purge_takes_what_is_too_old_and_nothing_younger_and_the_sums_stay(database: Database) -> None:
    store = GatewayStore(database.pool("gateway"), "pod")
    operations = OperationsStore(database.pool("operations"))
    admin = AdminStore(database.pool("founder"))
    short, standard = (make_tenant(database.pool("founder"), credit_nano=10**6) for _ in range(2))
    database.query("update therouter.tenant set retention_days = 3 where tenant_id = :t", t=short.tenant_id)
    lines = {
        (tenant, age): usage_line(tenant, 10, request_id=new_request_id(_at(age)))
        for tenant in (short, standard) for age in (0, 1, 2.9, 3.1, 3.2, 10, 30)
    }  # fmt: skip
    assert {word for _, word in asyncio.run(store.settle(list(lines.values())))} == {"ok"}
    before = admin.list_tenants()
    (due,) = operations.purge_due()
    assert (due.tenant_id, due.rows) == (short.tenant_id, 4)
    with pytest.raises(Conflict):
        operations.purge(standard.tenant_id, due.cutoff)
    assert [operations.purge(due.tenant_id, due.cutoff, 3) for _ in range(3)] == [(3, 30), (1, 10), (0, 0)]
    assert operations.purge_due() == []
    kept = "select count(*)::int, (max(now() - ts) < interval '3 days') from therouter.usage_event where tenant_id = :t"
    assert database.query(kept, t=short.tenant_id) == [[3, True]]
    assert database.query(kept, t=standard.tenant_id) == [[7, False]]
    assert admin.list_tenants() == before
    assert [rule for rule in admin.check_ledger() if rule.difference] == []
    per_day = (
        "select count(*)::int, sum(amount_nano)::int from therouter.entry where kind = 'rollup' and tenant_id = :t"
    )
    days = {datetime.fromtimestamp(_at(age) / 1000, UTC).date() for age in (3.1, 3.2, 10, 30)}
    assert database.query(per_day, t=short.tenant_id) == [[len(days), -40]]


def test_a_purged_request_is_never_charged_again(database: Database) -> None:
    store = GatewayStore(database.pool("gateway"), "pod")
    operations = OperationsStore(database.pool("operations"))
    tenant = make_tenant(database.pool("founder"), credit_nano=10**6)
    database.query("update therouter.tenant set retention_days = 1 where tenant_id = :t", t=tenant.tenant_id)
    late = [usage_line(tenant, 10, request_id=new_request_id(_at(age))) for age in (2, 34)]
    assert {word for _, word in asyncio.run(store.settle(late))} == {"ok"}
    (due,) = operations.purge_due()
    assert operations.purge(due.tenant_id, due.cutoff) == (2, 20)
    assert {word for _, word in asyncio.run(store.settle(late))} == {"exists"}
    too_late = usage_line(tenant, 10, request_id=new_request_id(_at(40)))
    assert [word for _, word in asyncio.run(store.settle([too_late]))] == ["rejected:23t01"]
    assert AdminStore(database.pool("founder")).list_tenants()[0].balance_nano == 10**6 - 20
    assert operations.tidy()[0] == 0
    database.query("update therouter.usage_token set ts = ts - interval '40 days'")
    assert operations.tidy()[0] == 2


def test_partitions_that_the_purge_has_emptied_are_dropped(database: Database) -> None:
    database.altered = True
    operations = OperationsStore(database.pool("operations"))
    store = GatewayStore(database.pool("gateway"), "pod")
    tenant = make_tenant(database.pool("founder"), credit_nano=10**6)
    for days_ago in (5, 6):
        day = datetime.now(UTC).date() - timedelta(days=days_ago)
        database.query(f"set role therouter_owner; create table therouter.usage_event_{day:%Y%m%d} partition of therouter.usage_event "
                       f"for values from ('{day}') to ('{day + timedelta(days=1)}')")  # fmt: skip
    kept = usage_line(tenant, 1, request_id=new_request_id(_at(5)))
    assert asyncio.run(store.settle([kept]))[0][1] == "ok"
    assert operations.tidy() == (0, 1)
    assert operations.tidy() == (0, 0)
    assert asyncio.run(store.settle([kept]))[0][1] == "exists"
