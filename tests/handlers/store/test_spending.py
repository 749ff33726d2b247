"""Places for open requests over all processes, budgets that say when they begin anew, keys that are stopped."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from handlers.errors import NotFound
from handlers.keys.principal import KeyLimits, SubjectLimits
from handlers.store import pool
from handlers.store.admin import AdminStore, SpendingPolicy
from handlers.store.gateway import GatewayStore, RateClaim
from tests.database import Database
from tests.handlers.store.world import make_tenant, usage_line
from tests.waiting import PATIENCE_S


@pytest.fixture
def store(database: Database, monkeypatch: pytest.MonkeyPatch) -> GatewayStore:
    monkeypatch.setattr(pool, "QUEUE_S_MAX", PATIENCE_S)  # a crowd may wait for a busy machine
    return GatewayStore(database.pool("gateway", connections_max=4, queue_max=300), "pod")


def lease(store: GatewayStore, tenant_id: str, key_id: str, need: int) -> tuple[int, str, int]:
    grant = asyncio.run(store.lease_for_key(str(uuid.uuid4()), tenant_id, key_id, need, need, 60))
    return grant.granted_nano, grant.state, grant.reset_s


def take_place(store: GatewayStore, key: str, process: str, limit: int) -> bool:
    return not asyncio.run(store.admit_rates(process, [RateClaim(key, "places", 1, 1, limit)], 60)).refused


def test_three_processes_together_have_exactly_as_many_places_as_the_limit(store: GatewayStore) -> None:
    processes = [str(uuid.uuid4()) for _ in range(3)]

    async def rush() -> list[bool]:
        claims = [RateClaim("k" * 16, "places", 1, 1, 7)]
        grants = await asyncio.gather(*(store.admit_rates(processes[n % 3], claims, 60) for n in range(90)))
        return [not grant.refused for grant in grants]

    assert sorted(asyncio.run(rush())) == [False] * 83 + [True] * 7


def test_a_place_that_was_given_back_is_free_and_one_of_a_dead_process_becomes_free(
    store: GatewayStore, database: Database
) -> None:
    key, lives, dies = "p" * 16, str(uuid.uuid4()), str(uuid.uuid4())

    assert [take_place(store, key, process, 3) for process in (lives, dies, dies, lives)] == [True, True, True, False]
    asyncio.run(store.settle_rates(lives, [key, key], [], 0))  # once too often
    assert [take_place(store, key, lives, 3) for _ in range(2)] == [True, False]
    database.query(
        "update therouter.place set expires_at = clock_timestamp() + interval '10 minutes' where subject = :k", k=key
    )
    asyncio.run(store.renew_places(lives, 3_600))
    later = "update therouter.place set expires_at = expires_at - interval '20 minutes' where subject = :k"
    database.query(later, k=key)
    assert [take_place(store, key, lives, 3) for _ in range(3)] == [True, True, False]


def test_a_request_is_counted_in_all_of_its_windows_or_in_none(store: GatewayStore, database: Database) -> None:
    process = str(uuid.uuid4())
    claims = [
        RateClaim("tenant:t", "requests", 1, 1, 5), RateClaim("key1", "requests", 1, 1, 9), RateClaim("key1", "tokens", 70, 70, 300),
        RateClaim("user:u", "places", 1, 1, 2),
    ]  # fmt: skip
    first, second, third = (asyncio.run(store.admit_rates(process, claims, 60)) for _ in range(3))
    assert (first.refused, first.granted, first.remaining) == (0, [1, 1, 70, 1], [4, 8, 230, 1])
    assert (second.refused, second.remaining) == (0, [3, 7, 160, 0])
    assert (third.refused, third.wait_s, third.granted) == (4, 1, [0, 0, 0, 0])
    asyncio.run(store.settle_rates(process, ["user:u", "user:u"], ["key1"], 150))
    fourth = asyncio.run(store.admit_rates(process, claims, 60))
    assert (fourth.refused, fourth.granted) == (3, [0, 0, 0, 0]), "150 more tokens were used than taken"
    used = database.query("select subject, kind, sum(used)::int from therouter.rate_slot group by 1, 2 order by 1, 2")
    assert used == [["key1", "requests", 2], ["key1", "tokens", 290], ["tenant:t", "requests", 2]]
    assert database.query("select * from therouter.place") == []


def test_sixty_a_minute_of_a_tenant_are_sixty_whoever_asks_in_whatever_order(store: GatewayStore) -> None:
    """Windows in opposite orders at the same time: nobody waits for somebody who waits for him."""
    process = str(uuid.uuid4())

    async def rush() -> int:
        asked = []
        for number in range(150):
            claims = [RateClaim("tenant:x", "requests", 1, 1, 60), RateClaim(f"key{number % 2}", "requests", 1, 1, 200)]
            claims.append(RateClaim("user:x", "tokens", 1, 1, 10**6))
            asked.append(store.admit_rates(process, claims if number % 3 else claims[::-1], 60))
        return sum(not grant.refused for grant in await asyncio.gather(*asked))

    assert asyncio.run(rush()) == 60


def test_limits_of_user_and_tenant_reach_the_gateway_as_soon_as_they_are_set(
    store: GatewayStore, database: Database
) -> None:
    tenant = make_tenant(database.pool("founder"), limits=KeyLimits(requests_per_minute=9))
    before, _ = asyncio.run(store.watch())
    for scope, subject in (("tenant", tenant.tenant_id), ("user", tenant.user_id)):
        database.query(
            "insert into therouter.rate_limit values (:t, :scope, cast(:subject as uuid), 5, null, 2)",
            t=tenant.tenant_id, scope=scope, subject=subject,
        )  # fmt: skip
    row = asyncio.run(store.find_key(tenant.key_id))
    assert row is not None
    assert row.principal.windows == (
        SubjectLimits("key", tenant.key_id, 9),
        SubjectLimits("user", f"user:{tenant.user_id}", 5, None, 2),
        SubjectLimits("tenant", f"tenant:{tenant.tenant_id}", 5, None, 2),
    )
    assert {change.account for change in asyncio.run(store.changes_since(before))} == {tenant.tenant_id}
    database.query("update therouter.app_user set state = 'removed' where user_id = :u", u=tenant.user_id)
    assert database.query("select scope from therouter.rate_limit") == [["tenant"]], "who is gone has no limits"


@pytest.mark.parametrize("period", ["daily", "weekly", "monthly", ""])
def test_a_refusal_by_a_budget_says_when_it_begins_anew(store: GatewayStore, database: Database, period: str) -> None:
    limits = KeyLimits(spend_nano=100, spend_period=period)
    tenant = make_tenant(database.pool("founder"), credit_nano=10_000, limits=limits)
    granted, state, reset_s = lease(store, tenant.tenant_id, tenant.key_id, 101)
    assert (granted, state) == (0, "budget_key")
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    begins = {
        "daily": midnight + timedelta(days=1),
        "weekly": midnight + timedelta(days=7 - now.weekday()),
        "monthly": (midnight.replace(day=1) + timedelta(days=32)).replace(day=1),
        "": now,
    }
    assert reset_s == pytest.approx((begins[period] - now).total_seconds(), abs=30)
    assert lease(store, tenant.tenant_id, tenant.key_id, 100) == (100, "active", 0)


def test_a_stopped_key_gets_nothing_until_somebody_confirms_it(store: GatewayStore, database: Database) -> None:
    admin = AdminStore(database.pool("founder"))
    tenant = make_tenant(database.pool("founder"), credit_nano=10_000)
    database.query(
        "insert into therouter.key_stop (key_id, tenant_id, hour_nano, usual_nano) values (:k, :t, 9, 1)",
        k=tenant.key_id, t=tenant.tenant_id,
    )  # fmt: skip
    assert lease(store, tenant.tenant_id, tenant.key_id, 1) == (0, "key_stopped", 0)
    assert not admin.confirm_key(str(uuid.uuid4()), tenant.key_id), "another tenant's"
    assert admin.confirm_key(tenant.tenant_id, tenant.key_id)
    assert not admin.confirm_key(tenant.tenant_id, tenant.key_id)
    assert lease(store, tenant.tenant_id, tenant.key_id, 1) == (1, "active", 0)


def test_the_fee_for_own_provider_keys_reaches_the_gateway_and_the_audit_trail(
    store: GatewayStore, database: Database
) -> None:
    admin = AdminStore(database.pool("founder"))
    tenant = make_tenant(database.pool("founder"))
    assert asyncio.run(store.find_key(tenant.key_id)).principal.byok_fee_ppm == 0  # type: ignore[union-attr]
    before, _ = asyncio.run(store.watch())
    admin.set_spending(tenant.tenant_id, SpendingPolicy(byok_fee_ppm=50_000))
    assert asyncio.run(store.find_key(tenant.key_id)).principal.byok_fee_ppm == 50_000  # type: ignore[union-attr]
    assert [change.account for change in asyncio.run(store.changes_since(before))] == [tenant.tenant_id]
    audited = database.query(
        "select record::jsonb ->> 'action' from therouter.audit_row where tenant_id = :t order by seq desc limit 1",
        t=tenant.tenant_id,
    )
    assert audited == [["spending_policy.create"]]
    with pytest.raises(NotFound):
        admin.set_spending(str(uuid.uuid4()), SpendingPolicy())


def test_what_a_lease_grows_by_is_within_the_budget_of_all_its_processes(
    store: GatewayStore, database: Database
) -> None:
    tenant = make_tenant(database.pool("founder"), credit_nano=10**9, limits=KeyLimits(spend_nano=1_000))

    async def rush() -> int:
        asked = (
            store.lease_for_key(str(uuid.uuid4()), tenant.tenant_id, tenant.key_id, 90, 900, 60) for _ in range(60)
        )
        return sum(grant.granted_nano for grant in await asyncio.gather(*asked))

    assert asyncio.run(rush()) == 11 * 90
    asyncio.run(store.settle([usage_line(tenant, 10)]))
    assert lease(store, tenant.tenant_id, tenant.key_id, 1)[1] == "budget_key"
