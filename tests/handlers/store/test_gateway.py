"""The gateway's façade: leases, settling, lookups, and what concurrency does to them."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from handlers.errors import Conflict, NotFound
from handlers.keys.principal import KeyLimits
from handlers.store import pool
from handlers.store.admin import AdminStore
from handlers.store.gateway import GatewayStore, LeaseGrant
from handlers.store.operations import OperationsStore
from tests.database import Database
from tests.handlers.store.world import BCRYPT_OF_NOTHING, Tenant, make_tenant, new_request_id, usage_line
from tests.waiting import PATIENCE_S


@pytest.fixture
def store(database: Database, monkeypatch: pytest.MonkeyPatch) -> GatewayStore:
    monkeypatch.setattr(pool, "QUEUE_S_MAX", PATIENCE_S)  # a crowd may wait for a busy machine
    return GatewayStore(database.pool("gateway", connections_max=8, queue_max=1_000), "pod-1")


def _sums_are_exact(database: Database) -> bool:
    return not any(rule.difference for rule in AdminStore(database.pool("founder")).check_ledger())


def test_a_key_is_found_with_everything_that_it_may(database: Database, store: GatewayStore) -> None:
    limits = KeyLimits(requests_per_minute=60, spend_nano=10**9, spend_period="daily", models=frozenset({"openai/*"}))
    tenant = make_tenant(database.pool("founder"), limits=limits)
    row = asyncio.run(store.find_key(tenant.key_id))
    assert row is not None
    assert (row.key_id, row.hash, row.state, row.expires_at) == (tenant.key_id, BCRYPT_OF_NOTHING, "active", None)
    assert row.principal.limits == limits
    assert (row.principal.account, row.principal.user) == (tenant.tenant_id, tenant.user_id)
    assert (row.principal.account_state, row.principal.retention_days) == ("active", 90)
    assert asyncio.run(store.find_key("u" + "0" * 15)) is None


@pytest.mark.parametrize(("tenant_state", "account_state", "seen"), [
    ("active", "active", "active"), ("frozen", "active", "frozen"), ("active", "frozen", "frozen"), ("closed", "frozen", "closed"),
])  # fmt: skip
def test_the_stricter_of_tenant_and_account_counts(
    database: Database, store: GatewayStore, tenant_state: str, account_state: str, seen: str
) -> None:
    tenant = make_tenant(database.pool("founder"))
    database.query("update therouter.tenant set state = :s where tenant_id = :t", s=tenant_state, t=tenant.tenant_id)
    database.query("update therouter.account set state = :s where tenant_id = :t", s=account_state, t=tenant.tenant_id)
    row = asyncio.run(store.find_key(tenant.key_id))
    assert row is not None
    assert row.principal.account_state == seen


def test_every_change_that_matters_is_announced_in_order(database: Database, store: GatewayStore) -> None:
    admin = AdminStore(database.pool("founder"))
    tenant = make_tenant(database.pool("founder"), credit_nano=10**6)
    start, _ = asyncio.run(store.watch())
    asyncio.run(store.settle([usage_line(tenant, 5)]))
    assert asyncio.run(store.changes_since(start)) == [], "spending and last use are no changes"
    assert admin.revoke_key(tenant.tenant_id, tenant.key_id)
    database.query("update therouter.tenant set byok_mode = 'only' where tenant_id = :t", t=tenant.tenant_id)
    database.query("select therouter.credit_chargeback('c1', cast(:t as uuid), 7)", t=tenant.tenant_id)
    changes = asyncio.run(store.changes_since(start))
    assert [(c.key_id, c.account) for c in changes] == [
        (tenant.key_id, tenant.tenant_id), (None, tenant.tenant_id), (None, tenant.tenant_id),
    ]  # fmt: skip
    assert [c.seq for c in changes] == sorted({c.seq for c in changes})
    assert asyncio.run(store.changes_since(changes[0].seq)) == changes[1:]
    row = asyncio.run(store.find_key(tenant.key_id))
    assert row is not None
    assert row.state == "revoked"


def test_changes_become_visible_in_their_order(database: Database, store: GatewayStore) -> None:
    """A cache that asks only for later numbers misses nothing, however many write at once."""
    tenants = [make_tenant(database.pool("founder")) for _ in range(4)]
    admin = AdminStore(database.pool("founder", connections_max=8, queue_max=500))
    start, _ = asyncio.run(store.watch())

    async def watch() -> list[int]:
        seen: list[int] = []
        at = start
        deadline = time.monotonic() + 20
        while len(seen) < 200 and time.monotonic() < deadline:
            changes = await store.changes_since(at)
            seen += [change.seq for change in changes]
            at = seen[-1] if seen else start
        return seen

    async def create_keys(tenant: Tenant, prefix: str) -> None:
        for i in range(50):
            await asyncio.to_thread(
                admin.create_key, f"u{prefix}{i:013d}", tenant.tenant_id, tenant.user_id, "k", BCRYPT_OF_NOTHING
            )

    async def run() -> list[int]:
        watching = asyncio.create_task(watch())
        await asyncio.gather(*(create_keys(t, f"{n:02d}") for n, t in enumerate(tenants)))
        return await watching

    assert len(asyncio.run(run())) == 200


def test_a_rich_account_gives_what_is_wanted_and_a_poor_one_what_is_needed(
    database: Database, store: GatewayStore
) -> None:
    tenant = make_tenant(database.pool("founder"), credit_nano=64_000)
    lease = str(uuid.uuid4())

    async def run() -> None:
        assert await store.lease(lease, tenant.tenant_id, 10, 1_000, 60) == LeaseGrant(1_000, 64_000, "active")
        assert await store.lease(lease, tenant.tenant_id, 10, 1_000, 60) == LeaseGrant(10, 63_000, "active")
        assert await store.lease(lease, tenant.tenant_id, 62_990, 1_000, 60) == LeaseGrant(62_990, 62_990, "active")
        assert await store.lease(lease, tenant.tenant_id, 1, 1, 60) == LeaseGrant(0, 0, "active")
        assert await store.release(lease, 1_000) == 63_000
        assert await store.renew([lease, str(uuid.uuid4())], 600) == {lease}
        assert await store.release(lease) == 1_000
        assert await store.renew([lease], 600) == set()
        with pytest.raises(NotFound):
            await store.lease(lease, str(uuid.uuid4()), 1, 1, 60)

    asyncio.run(run())
    assert _sums_are_exact(database)


def test_a_lease_is_not_shared_between_tenants(database: Database, store: GatewayStore) -> None:
    mine, other = (make_tenant(database.pool("founder"), credit_nano=1_000) for _ in range(2))
    lease = str(uuid.uuid4())
    asyncio.run(store.lease(lease, mine.tenant_id, 100, 0, 60))
    with pytest.raises(Conflict):
        asyncio.run(store.lease(lease, other.tenant_id, 100, 0, 60))
    asyncio.run(store.settle([usage_line(other, 50, lease_id=lease)]))
    assert database.query("select amount_nano from therouter.lease") == [[100]]
    assert _sums_are_exact(database)


@pytest.mark.claim("A60")
def test_a60_of_500_concurrent_leases_with_credit_for_one_exactly_one_is_granted(
    database: Database, store: GatewayStore
) -> None:
    tenant = make_tenant(database.pool("founder"), credit_nano=1_999)

    async def rush() -> list[LeaseGrant]:
        return list(
            await asyncio.gather(
                *(store.lease(str(uuid.uuid4()), tenant.tenant_id, 1_000, 5_000, 60) for _ in range(500))
            )
        )

    grants = asyncio.run(rush())
    assert sorted(grant.granted_nano for grant in grants) == [0] * 499 + [1_000]
    assert _sums_are_exact(database)


def test_the_same_lines_settled_by_many_at_once_are_charged_once(database: Database, store: GatewayStore) -> None:
    tenants = [make_tenant(database.pool("founder"), credit_nano=10**9) for _ in range(5)]
    dice = random.Random(61)
    lines = [usage_line(dice.choice(tenants), dice.randrange(1, 1_000)) for _ in range(300)]

    async def storm() -> list[str]:
        batches = [store.settle(dice.sample(lines, 60)) for _ in range(40)] + [store.settle(lines) for _ in range(3)]
        return [outcome for batch in await asyncio.gather(*batches) for _, outcome in batch]

    outcomes = asyncio.run(storm())
    assert outcomes.count("ok") == 300
    assert set(outcomes) == {"ok", "exists"}
    assert _sums_are_exact(database)


def test_settling_leasing_releasing_and_reaping_at_once_stay_exact(database: Database, store: GatewayStore) -> None:
    tenants = [make_tenant(database.pool("founder"), credit_nano=10**7) for _ in range(3)]
    operations = OperationsStore(database.pool("operations", connections_max=2))
    leases = {tenant: [str(uuid.uuid4()) for _ in range(4)] for tenant in tenants}
    dice = random.Random(5)

    async def churn() -> None:
        for _ in range(25):
            tenant = dice.choice(tenants)
            lease = dice.choice(leases[tenant])
            await store.lease(lease, tenant.tenant_id, 500, 1_000, 1)
            batch = [usage_line(t, 40, lease_id=dice.choice(leases[t])) for t in dice.choices(tenants, k=6)]
            await asyncio.gather(store.settle(batch), store.renew([lease], 1), store.settle(batch[::-1]))
            if dice.random() < 0.3:
                await store.release(lease, dice.choice([0, 100]))
            if dice.random() < 0.3:
                database.query(
                    "update therouter.lease set expires_at = now() - interval '1 s' where lease_id = :l", l=lease
                )
                await asyncio.to_thread(operations.reap)

    async def run() -> None:
        await asyncio.gather(*(churn() for _ in range(6)))

    asyncio.run(run())
    assert _sums_are_exact(database)
    rows = database.query("select count(*)::int, sum(cost_nano)::int from therouter.usage_event")
    assert rows == [[6 * 25 * 6, 6 * 25 * 6 * 40]]


def test_a_bad_line_costs_only_itself_and_says_why(database: Database, store: GatewayStore) -> None:
    tenant = make_tenant(database.pool("founder"), credit_nano=10**6)
    other = make_tenant(database.pool("founder"), credit_nano=10**6)
    settled = new_request_id()
    asyncio.run(store.settle([usage_line(other, 1, request_id=settled)]))
    tomorrow_but_one = int((datetime.now(UTC) + timedelta(days=2)).timestamp() * 1000)
    bad = {
        "23514": usage_line(tenant, -1),
        "22p02": usage_line(tenant, 1, latency_ms="soon"),
        "23502": usage_line(tenant, 1, model=None),
        "22001": usage_line(tenant, 1, error_type="x" * 65),
        "22p05": usage_line(tenant, 1, provider="a\x00b"),
        "bad_request_id": usage_line(tenant, 1, request_id=str(uuid.uuid4())),
        "bad_time": usage_line(tenant, 1, request_id=new_request_id(tomorrow_but_one)),
        "unknown_tenant": usage_line(tenant._replace(tenant_id=str(uuid.uuid4())), 1),
        "other_tenant": usage_line(tenant, 1, request_id=settled),
        "unreadable": b'{"torn":' + b"[" * 100_000,
    }
    good = [usage_line(tenant, 3) for _ in range(3)]
    outcomes = asyncio.run(store.settle([good[0], *bad.values(), *good[1:]]))
    assert sorted(outcome for _, outcome in outcomes) == sorted(["ok"] * 3 + [f"rejected:{reason}" for reason in bad])
    again = asyncio.run(store.settle_quietly([*good, *bad.values()]))
    assert sorted(outcome for _, outcome in again) == sorted(f"rejected:{reason}" for reason in bad)
    assert _sums_are_exact(database)
    assert asyncio.run(store.settle([b"[1]", b"", b"nonsense"])) == [("", "rejected:unreadable")] * 3


def test_a_provisional_row_is_corrected_once(database: Database, store: GatewayStore) -> None:
    tenant = make_tenant(database.pool("founder"), credit_nano=10**6)
    request = new_request_id()

    def settle(cost: int, **changes: object) -> str:
        return asyncio.run(store.settle([usage_line(tenant, cost, request_id=request, **changes)]))[0][1]

    assert settle(100, final=False, model="openai/a") == "ok"
    assert settle(70, final=False) == "exists"
    assert settle(60, model="openai/b", completion_tokens=1) == "upgraded"
    assert settle(10) == "exists"
    row = asyncio.run(store.find_generation(tenant.tenant_id, request))
    assert row is not None
    assert (row.cost_nano, row.model, row.completion_tokens, row.final) == (60, "openai/b", 1, True)
    assert database.query("select balance_nano from therouter.account where tenant_id = :t", t=tenant.tenant_id) == [
        [10**6 - 60]
    ]
    sums = database.query(
        "select model::text, requests, cost_nano, completion_tokens from therouter.usage_rollup order by 1"
    )
    assert sums == [["openai/a", 0, 0, 0], ["openai/b", 1, 60, 1]]
    assert _sums_are_exact(database)


def _scans(database: Database) -> list[list[object]]:
    """How often tables were read from end to end; a session tells that when it has ended, a moment after it was closed."""
    others = (
        "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        " and backend_type = 'client backend'"
    )
    deadline = time.monotonic() + 30
    while database.query(others) != [[0]]:
        assert time.monotonic() < deadline, "somebody stays connected"
        time.sleep(0.02)
    return database.query(
        "select coalesce(sum(seq_scan), 0)::int from pg_stat_user_tables where schemaname = 'therouter'"
    )


def test_settling_and_looking_up_never_scan_a_table(database: Database) -> None:
    """A plan made while a day's partition was empty is kept while it fills: it must be the right one from the start."""
    admin, pool = database.pool("founder"), database.pool("gateway", connections_max=1)
    tenant = make_tenant(admin, credit_nano=10**9)
    admin.close()
    store = GatewayStore(pool, "pod")
    lease, request = str(uuid.uuid4()), new_request_id()

    async def run() -> None:
        for cost in range(8):
            await store.lease(lease, tenant.tenant_id, 10, 0, 60)
            await store.settle([usage_line(tenant, cost, lease_id=lease) for _ in range(20)])
        await store.settle([usage_line(tenant, 1, request_id=request, final=False)])
        await store.settle([usage_line(tenant, 2, request_id=request)])
        await store.find_generation(tenant.tenant_id, request)
        await store.find_key(tenant.key_id)
        await store.key_summary(tenant.key_id)
        await store.release(lease)

    before = _scans(database)
    asyncio.run(run())
    pool.close()
    assert _scans(database) == before


@pytest.mark.claim("C8")
def test_a_generation_is_shown_to_its_own_account_only(database: Database, store: GatewayStore) -> None:
    mine, other = (make_tenant(database.pool("founder"), credit_nano=1_000) for _ in range(2))
    request = new_request_id()
    line = usage_line(mine, 9, request_id=request)
    asyncio.run(store.settle([line]))
    row = asyncio.run(store.find_generation(mine.tenant_id, request))
    assert row is not None
    sent = msgspec.json.decode(line)
    shown = msgspec.to_builtins(row)
    assert {name: shown[name] for name in sent if name not in {"lease_id", "error_type"}} == {
        name: value for name, value in sent.items() if name not in {"lease_id", "error_type"}
    }
    assert int(row.ts.timestamp() * 1000 + 0.5) == uuid.UUID(request).int >> 80
    assert asyncio.run(store.find_generation(other.tenant_id, request)) is None
    assert asyncio.run(store.find_generation(mine.tenant_id, "not-a-uuid")) is None


def test_the_summary_of_a_key_counts_days_weeks_and_months(database: Database, store: GatewayStore) -> None:
    tenant = make_tenant(database.pool("founder"), credit_nano=10**6, limits=KeyLimits(spend_nano=500))
    today = datetime.now(UTC)
    costs = {0: 1, 8: 20, 40: 300}
    for days_ago, cost in costs.items():
        at = int((today - timedelta(days=days_ago)).timestamp() * 1000)
        assert asyncio.run(store.settle([usage_line(tenant, cost, request_id=new_request_id(at))]))[0][1] == "ok"
    summary = asyncio.run(store.key_summary(tenant.key_id))
    assert summary is not None
    since_month = sum(c for d, c in costs.items() if (today - timedelta(days=d)).date() >= today.date().replace(day=1))
    assert (summary.spend_today_nano, summary.spend_week_nano, summary.spend_all_nano) == (1, 1, 321)
    assert summary.spend_month_nano == since_month
    assert summary.limits == KeyLimits(spend_nano=500)
    assert asyncio.run(store.key_summary("u" + "0" * 15)) is None


def test_sealed_keys_are_listed_for_their_tenant_and_provider(database: Database, store: GatewayStore) -> None:
    mine, other = (make_tenant(database.pool("founder")) for _ in range(2))
    for tenant, provider, state in (
        (mine, "openai", "active"),
        (mine, "openai", "disabled"),
        (other, "openai", "active"),
    ):
        database.query(
            "insert into therouter.byok_key (record_id, tenant_id, provider, sealed, key_version, state) "
            "values (gen_random_uuid(), :t, :p, 'v1.sealed', 1, :s)", t=tenant.tenant_id, p=provider, s=state,
        )  # fmt: skip
    assert [(r.provider, r.sealed, r.scope) for r in asyncio.run(store.byok_records(mine.tenant_id, "openai"))] == [
        ("openai", "v1.sealed", "{}")
    ]
    assert asyncio.run(store.byok_records(mine.tenant_id, "anthropic")) == []
    assert len(asyncio.run(store.byok_records(mine.tenant_id))) == 1


@pytest.mark.claim("C4", "C17")
def test_no_value_that_the_database_refused_is_in_its_log(database: Database, store: GatewayStore) -> None:
    canary = "CNRY" + uuid.uuid4().hex
    tenant = make_tenant(database.pool("founder"))
    asyncio.run(store.settle([usage_line(tenant, 1, latency_ms=canary), usage_line(tenant, 1, model=canary + " !")]))
    asyncio.run(store.find_key(canary))
    pool = database.pool("gateway")
    for parameters in ({"tenant": canary, "provider": "x"}, {"tenant": canary, "provider": canary}):
        with pytest.raises(Exception, match="fault is ours") as refused:
            pool.run("gateway_byok", **parameters)
        assert canary not in repr(refused.value)
    log = database.server.log_path.read_text("utf-8")
    assert canary not in log
    assert "ready to accept connections" in log, "the log is where we look"


def test_the_log_would_show_the_value_without_our_settings(database: Database) -> None:
    """The positive control: with PostgreSQL's own defaults the same mistake is logged."""
    canary = "CNRY" + uuid.uuid4().hex
    database.query("alter role therouter set log_min_messages = 'warning'")
    with pytest.raises(Exception, match="22P02"):
        database.query("select cast(:canary as int)", canary=canary)
    database.query("alter role therouter reset log_min_messages")
    assert canary in database.server.log_path.read_text("utf-8")
