from __future__ import annotations

import asyncio
import time
import uuid
from datetime import UTC, datetime

import pytest

from handlers.errors import Conflict, InvalidRequest, NotFound, TheRouterError
from handlers.keys.principal import KeyLimits
from handlers.store.admin import AdminStore
from handlers.store.gateway import GatewayStore
from tests.database import Database
from tests.handlers.store.world import BCRYPT_OF_NOTHING, make_tenant, usage_line


@pytest.fixture
def admin(database: Database) -> AdminStore:
    return AdminStore(database.pool("founder"))


def test_a_tenant_a_user_and_a_key(database: Database, admin: AdminStore) -> None:
    expires_at = int(time.time()) + 3600
    tenant = make_tenant(database.pool("founder"), credit_nano=5)
    limits = KeyLimits(
        requests_per_minute=5, spend_nano=0, spend_period="monthly", models=frozenset({"a/b", "c/*"}),
        ip_ranges=("10.0.0.0/8", "2001:db8::/32"), byok_only=True, data_policy="zero_retention",
    )  # fmt: skip
    admin.create_key(
        "u" * 16, tenant.tenant_id, tenant.user_id, "CI", BCRYPT_OF_NOTHING, limits=limits, expires_at=expires_at
    )
    first, second = admin.list_keys(tenant.tenant_id)
    assert (first.name, first.state, first.limits, first.expires_at) == ("first", "active", KeyLimits(), None)
    assert (second.key_id, second.user_id, second.limits, second.expires_at) == (
        "u" * 16,
        tenant.user_id,
        limits,
        expires_at,
    )
    assert BCRYPT_OF_NOTHING not in repr(admin.list_keys())
    listed = admin.list_tenants()
    assert [(t.tenant_id, t.balance_nano, t.retention_days, t.state) for t in listed] == [
        (tenant.tenant_id, 5, 90, "active")
    ]


def test_a_key_is_revoked_once_and_only_by_its_tenant(database: Database, admin: AdminStore) -> None:
    mine, other = (make_tenant(database.pool("founder")) for _ in range(2))
    with pytest.raises(NotFound, match="no such key"):
        admin.revoke_key(other.tenant_id, mine.key_id)
    assert admin.revoke_key(mine.tenant_id, mine.key_id)
    assert not admin.revoke_key(mine.tenant_id, mine.key_id)
    assert admin.list_keys(mine.tenant_id)[0].state == "revoked"


@pytest.mark.parametrize(("changes", "expected", "param"), [
    ({"key_id": "short"}, InvalidRequest, "key_id"),
    ({"name": "two\nlines"}, InvalidRequest, "name"),
    ({"name": " spaces "}, InvalidRequest, "name"),
    ({"user_id": "00000000-0000-0000-0000-000000000000"}, NotFound, "user_id"),
    ({"tenant_id": "00000000-0000-0000-0000-000000000000"}, NotFound, "user_id"),
    ({"limits": KeyLimits(spend_period="hourly")}, InvalidRequest, "limits"),
    ({"limits": KeyLimits(data_policy="some")}, InvalidRequest, "limits"),
    ({"limits": KeyLimits(requests_per_minute=-1)}, InvalidRequest, "limits"),
    ({"limits": KeyLimits(models=frozenset({"a prompt, with words"}))}, InvalidRequest, "limits"),
    ({"limits": KeyLimits(ip_ranges=("everywhere",))}, InvalidRequest, "limits"),
])  # fmt: skip
def test_a_key_that_does_not_fit_is_refused_with_its_field(
    database: Database, admin: AdminStore, changes: dict[str, object], expected: type[TheRouterError], param: str
) -> None:
    tenant = make_tenant(database.pool("founder"))
    wanted: dict[str, object] = {
        "key_id": "u" * 16, "tenant_id": tenant.tenant_id, "user_id": tenant.user_id, "name": "CI",
        "digest": BCRYPT_OF_NOTHING,
    }  # fmt: skip
    with pytest.raises(expected) as refused:
        admin.create_key(**(wanted | changes))  # type: ignore[arg-type]  # the table holds what a caller might send
    assert refused.value.param == param


def test_what_exists_is_a_conflict(database: Database, admin: AdminStore) -> None:
    tenant = make_tenant(database.pool("founder"))
    with pytest.raises(Conflict):
        admin.create_tenant(tenant.tenant_id, "Again")
    with pytest.raises(Conflict):
        admin.create_user(tenant.user_id, tenant.tenant_id, "other@example.com")
    with pytest.raises(Conflict, match="address"):
        admin.create_user(str(uuid.uuid4()), tenant.tenant_id, "person@example.com")
    with pytest.raises(Conflict):
        admin.create_key(tenant.key_id, tenant.tenant_id, tenant.user_id, "again", BCRYPT_OF_NOTHING)
    with pytest.raises(InvalidRequest):
        admin.create_user(str(uuid.uuid4()), tenant.tenant_id, "no address")
    with pytest.raises(InvalidRequest):
        admin.create_user(str(uuid.uuid4()), tenant.tenant_id, "a@b", role="king")
    with pytest.raises(InvalidRequest):
        admin.create_tenant(str(uuid.uuid4()), "")


@pytest.mark.claim("C9", "C11")
@pytest.mark.parametrize(("days", "allowed"), [(0, False), (1, True), (730, True), (731, False), (-5, False)])
def test_retention_is_1_to_730_days_whatever_path_a_write_takes(database: Database, days: int, allowed: bool) -> None:
    tenant = make_tenant(database.pool("founder"))
    assert database.query("select retention_days from therouter.tenant") == [[90]]
    change = "update therouter.tenant set retention_days = :d where tenant_id = :t"
    if allowed:
        database.query(change, d=days, t=tenant.tenant_id)
    else:
        with pytest.raises(Exception, match="tenant_retention_days_check"):
            database.query(change, d=days, t=tenant.tenant_id)


def test_credit_is_adjusted_once_with_a_reason(database: Database, admin: AdminStore) -> None:
    tenant = make_tenant(database.pool("founder"))
    assert admin.adjust_credit("a.1", tenant.tenant_id, 100, "goodwill") == "ok"
    assert admin.adjust_credit("a.1", tenant.tenant_id, 100, "goodwill") == "exists"
    assert admin.adjust_credit("a.2", tenant.tenant_id, -30, "expiry") == "ok"
    assert admin.adjust_credit("a.3", tenant.tenant_id, 7, "waiver") == "ok"
    with pytest.raises(Conflict, match="another amount"):
        admin.adjust_credit("a.1", tenant.tenant_id, 101, "goodwill")
    other = make_tenant(database.pool("founder"))
    with pytest.raises(Conflict, match="another amount or tenant"):
        admin.adjust_credit("a.1", other.tenant_id, 100, "goodwill")
    with pytest.raises(InvalidRequest):
        admin.adjust_credit("a.4", tenant.tenant_id, 1, "because")
    with pytest.raises(NotFound):
        admin.adjust_credit("a.5", str(uuid.uuid4()), 1, "goodwill")
    entries = database.query(
        "select system_account::text, sum(amount_nano)::int from therouter.entry group by 1 order by 1"
    )
    assert entries == [["adjustment", -70], ["waived", -7], [None, 77]]
    assert admin.list_tenants()[0].balance_nano == 77
    assert [rule for rule in admin.check_ledger() if rule.difference] == []


def test_recent_usage_is_the_tenants_own_newest_first(database: Database, admin: AdminStore) -> None:
    mine, other = (make_tenant(database.pool("founder"), credit_nano=1_000) for _ in range(2))
    store = GatewayStore(database.pool("gateway"), "pod")
    for cost in (1, 2, 3):
        asyncio.run(store.settle([usage_line(mine, cost), usage_line(other, 100)]))
        time.sleep(0.002)
    since = datetime(2020, 1, 1, tzinfo=UTC)
    assert [row.cost_nano for row in admin.recent_usage(mine.tenant_id, since=since)] == [3, 2, 1]
    assert [row.cost_nano for row in admin.recent_usage(mine.tenant_id, since=since, limit=1)] == [3]
    assert admin.recent_usage(mine.tenant_id, since=datetime(2100, 1, 1, tzinfo=UTC)) == []


@pytest.mark.claim("C12")
def test_the_check_finds_every_kind_of_difference(database: Database, admin: AdminStore) -> None:
    """Its positive control: a sum that cannot be wrong would prove nothing."""
    tenant = make_tenant(database.pool("founder"), credit_nano=10_000)
    asyncio.run(GatewayStore(database.pool("gateway"), "pod").settle([usage_line(tenant, 10)]))
    faults = {
        "update therouter.account set balance_nano = balance_nano + 1": {"balances_are_their_entries"},
        "update therouter.account set held_nano = held_nano + 1": {"held_is_its_leases"},
        "update therouter.usage_event set cost_nano = cost_nano + 1": {"usage_is_revenue", "usage_is_its_sums"},
        "update therouter.usage_rollup set requests = requests + 1": {"requests_are_their_sums"},
        "insert into therouter.entry (txn_key, system_account, amount_nano, kind) values ('tst:1', 'waived', 5, 'waiver')": {
            "entries_sum_to_zero"
        },
    }
    found: set[str] = set()
    assert [rule for rule in admin.check_ledger() if rule.difference] == []
    for fault, rules in faults.items():
        database.query(fault)
        found |= rules
        assert {rule.rule for rule in admin.check_ledger() if rule.difference} == found


def test_history_is_appended_to_and_never_rewritten(database: Database, admin: AdminStore) -> None:
    make_tenant(database.pool("founder"), credit_nano=10)
    assert admin.list_tenants()
    for rewriting in (
        "update therouter.entry set amount_nano = 1",
        "delete from therouter.entry",
        "truncate therouter.entry",
    ):
        with pytest.raises(Exception, match="append_only"):
            database.query(rewriting)
