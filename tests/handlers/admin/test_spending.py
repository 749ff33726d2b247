"""Limits per minute, what is watched in spending, alerts, and what a tenant pays, through the admin API."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from handlers.keys.principal import SubjectLimits
from handlers.store.gateway import GatewayStore
from handlers.store.operations import OperationsStore
from tests.handlers.admin.rooms import House
from tests.handlers.store.world import Tenant, usage_line

NOBODY = "00000000-0000-4000-8000-000000000000"


def test_limits_of_the_tenant_and_of_a_user_are_set_shown_and_removed(house: House) -> None:
    mine, member = house.tenants["mine"], house.people["mine", "member"]
    tenant_wide = {"requests_per_minute": 60, "tokens_per_minute": 100_000}
    assert house.ask("PUT", "/admin/limits", tenant_wide).status == 200
    answer = house.ask("PUT", "/admin/limits", {"user_id": member.user_id, "concurrent_requests": 2})
    assert answer.json == [
        {"user_id": None, "requests_per_minute": 60, "tokens_per_minute": 100_000, "concurrent_requests": None},
        {
            "user_id": member.user_id,
            "requests_per_minute": None,
            "tokens_per_minute": None,
            "concurrent_requests": 2,
        },
    ]
    assert house.ask("GET", "/admin/limits", role="viewer").json == answer.json
    assert house.ask("GET", "/admin/limits", tenant="other").json == []
    row = asyncio.run(GatewayStore(house.database.pool("gateway"), "pod").find_key(member.key_id))
    assert row is not None
    assert row.principal.windows == (
        SubjectLimits("user", f"user:{member.user_id}", None, None, 2),
        SubjectLimits("tenant", f"tenant:{mine}", 60, 100_000, None),
    )
    assert house.ask("PUT", "/admin/limits", {"user_id": member.user_id}).json == answer.json[:1]
    for wrong in (NOBODY, house.people["other", "member"].user_id):
        refused = house.ask("PUT", "/admin/limits", {"user_id": wrong, "concurrent_requests": 2})
        assert (refused.status, refused.json["error"]["param"]) == (404, "user_id")
    assert house.ask("PUT", "/admin/limits", {"requests_per_minute": -1}).status == 400
    assert house.ask("PUT", "/admin/limits", {"requests_per_minute": 5}, role="viewer").status == 403
    exported = house.ask("GET", "/admin/account/export").json
    assert [row["requests_per_minute"] for row in exported["limits"]] == [60]


def test_what_is_watched_is_decided_field_by_field(house: House) -> None:
    fresh = house.ask("GET", "/admin/spending").json
    assert (fresh["thresholds"], fresh["unusual_factor"], fresh["low_balance_nano"]) == ([50, 80, 100], None, None)
    changed = house.ask(
        "PATCH",
        "/admin/spending",
        {"thresholds": [90, 25, 90], "unusual_factor": 10, "low_balance": 12.5},
        role="billing",
    )
    assert changed.status == 200, changed.text
    later = house.ask("PATCH", "/admin/spending", {"unusual_factor": None, "unusual_floor": 2}).json
    assert later["thresholds"] == [25, 90]
    assert (later["unusual_factor"], later["unusual_floor_nano"]) == (None, 2 * 10**9)
    assert later["low_balance_nano"] == 12_500_000_000
    assert house.ask("GET", "/admin/spending", tenant="other").json == fresh
    refused: list[dict[str, object]] = [{"thresholds": wrong} for wrong in ([], [0], [101])]
    for wrong in (*refused, {"unusual_factor": 1}, {"markup_ppm": 0}):
        assert house.ask("PATCH", "/admin/spending", wrong).status == 400, wrong
    assert house.ask("PATCH", "/admin/spending", {"unusual_factor": 5}, role="auditor").status == 403


def test_a_stopped_key_is_listed_and_goes_on_when_somebody_confirms_it(house: House) -> None:
    owner = house.people["mine", "owner"]
    tenant = Tenant(house.tenants["mine"], owner.user_id, owner.key_id)
    house.ask("PATCH", "/admin/spending", {"unusual_factor": 2, "unusual_floor": 0.0000001})
    house.store.adjust_credit("c", tenant.tenant_id, 10**6, "promotion")
    gateway = GatewayStore(house.database.pool("gateway"), "pod")
    asyncio.run(gateway.settle([usage_line(tenant, 500)]))
    path = f"/admin/keys/{owner.key_id}/confirmation"
    assert house.ask("POST", path).status == 404, "not stopped yet"
    assert OperationsStore(house.database.pool("operations")).stop_unusual() == 1
    (stopped,) = house.ask("GET", "/admin/spending").json["stopped_keys"]
    assert (stopped["key_id"], stopped["hour_nano"]) == (owner.key_id, 500)
    (alert,) = house.ask("GET", "/admin/alerts", role="auditor").json
    assert (alert["kind"], alert["subject"], alert["noticed"]) == ("key_stopped", owner.key_id, False)
    assert house.ask("GET", "/admin/alerts", tenant="other").json == []
    assert house.ask("POST", path, tenant="other").status == 404
    assert house.ask("POST", path, role="viewer").status == 403
    assert lease_state(gateway, tenant) == "key_stopped"
    assert house.ask("POST", path, role="billing").json["stopped_keys"] == []
    assert lease_state(gateway, tenant) == "active"
    assert ("key_stop.update", f"key:{house.people['mine', 'billing'].key_id}") in {
        (action, actor) for actor, action, _ in house.audit()
    }


def lease_state(gateway: GatewayStore, tenant: Tenant) -> str:
    grant = asyncio.run(gateway.lease_for_key(str(uuid.uuid4()), tenant.tenant_id, tenant.key_id, 1, 1, 60))
    return grant.state


@pytest.mark.claim("C60")
def test_only_an_operator_sets_what_a_tenant_pays_and_the_tenants_trail_says_so(house: House) -> None:
    path, change = f"/admin/tenants/{house.tenants['mine']}/pricing", {"markup_ppm": 50_000, "byok_fee_ppm": 20_000}
    assert house.ask("PATCH", path, change).status == 403, "nobody sets their own price"
    house.database.query("update therouter.tenant set operator = true where tenant_id = :t", t=house.tenants["other"])
    before = len(house.audit())
    answer = house.ask("PATCH", path, change, tenant="other")
    assert answer.json == {"tenant_id": house.tenants["mine"], **change}
    assert house.ask("PATCH", path, {"markup_ppm": 0}, tenant="other").json["byok_fee_ppm"] == 20_000
    shown = house.ask("GET", "/admin/spending").json
    assert (shown["markup_ppm"], shown["byok_fee_ppm"]) == (0, 20_000)
    assert [action for _, action, _ in house.audit()[before:]] == [
        "tenant.update", "spending_policy.create", "tenant.update",
    ]  # fmt: skip
    for wrong in ({"markup_ppm": -1}, {"byok_fee_ppm": 1_000_001}):
        assert house.ask("PATCH", path, wrong, tenant="other").status == 400
    assert house.ask("PATCH", f"/admin/tenants/{NOBODY}/pricing", change, tenant="other").status == 404
