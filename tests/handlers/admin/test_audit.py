"""Each write and its row in the trail are one; see migrations/0301_audit.sql."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handlers.admin.routing import ROUTES
from handlers.audit.verification import SignedCheckpoint, TrailBroken, verify_export
from handlers.operations.checkpoint import seal_trail
from handlers.operations.sealing import Sealer
from handlers.store.control import Caller
from handlers.store.operations import OperationsStore
from tests.handlers.admin.rooms import House

WRITES: list[tuple[str, str, object, str]] = [
    ("PATCH", "/admin/tenant", {"name": "Renamed"}, "tenant.update"),
    ("PUT", "/admin/retention", {"days": 30}, "tenant.update"),
    ("POST", "/admin/users", {"email": "new@example.com"}, "user.create"),
    ("PATCH", "/admin/users/{member}", {"role": "viewer"}, "user.update"),
    ("POST", "/admin/keys", {"name": "new"}, "key.create"),
    ("PATCH", "/admin/keys/{key}", {"limit": 2.5}, "key.update"),
    ("POST", "/admin/keys/{key}/rotation", {}, "key.create"),
    ("DELETE", "/admin/keys/{key}", None, "key.update"),
    ("POST", "/admin/byok", {"provider": "openai", "key": "a-provider-key"}, "byok.create"),
    ("PUT", "/admin/budgets", {"limit": 10}, "budget.create"),
    ("PUT", "/admin/limits", {"requests_per_minute": 60}, "limits.create"),
    ("PATCH", "/admin/spending", {"thresholds": [90]}, "spending_policy.create"),
    ("DELETE", "/admin/users/{viewer}", None, "user.update"),
    ("POST", "/admin/users/{auditor}/erasure", None, "user.update"),
    ("POST", "/admin/account/closing", {"confirm": "mine"}, "tenant.update"),
]


def path_of(house: House, template: str) -> str:
    person = {role: house.people["mine", role] for role in ("member", "viewer", "auditor", "billing")}
    return template.format(key=person["billing"].key_id, **{role: each.user_id for role, each in person.items()})


@pytest.mark.claim("C60")
@pytest.mark.parametrize(("method", "path", "body", "action"), WRITES)
def test_each_write_leaves_its_row_with_its_actor(
    house: House, method: str, path: str, body: object, action: str
) -> None:
    before = len(house.audit())
    answer = house.ask(method, path_of(house, path), body, headers={"x-audit-reason": "ticket 7"})
    assert answer.status in {200, 201}, answer.text
    rows = house.audit()[before:]
    assert action in {done for _, done, _ in rows}
    assert {actor for actor, _, _ in rows} == {f"key:{house.people['mine', 'owner'].key_id}"}
    (record,) = house.database.query("select record from therouter.audit_row order by seq desc limit 1")
    content = msgspec.json.decode(str(record[0]))
    assert (content["reason"], content["request"]) == ("ticket 7", answer.headers["x-request-id"])


@pytest.mark.claim("C60")
@pytest.mark.parametrize(("method", "path", "body", "action"), WRITES)
def test_a_write_whose_row_cannot_be_written_does_not_happen(
    house: House, method: str, path: str, body: object, action: str
) -> None:
    del action
    tables = ("tenant", "app_user", "api_key", "byok_key", "budget", "rate_limit", "spending_policy", "person_session",
              "account", "purge_consent")  # fmt: skip
    before = [house.database.query(f"select t::text from therouter.{name} t order by 1") for name in tables]
    house.database.query("alter table therouter.audit_row add constraint full_disk check (seq < 0) not valid")
    try:
        answer = house.ask(method, path_of(house, path), body)
    finally:
        house.database.query("alter table therouter.audit_row drop constraint full_disk")
    assert answer.status == 500
    assert [house.database.query(f"select t::text from therouter.{name} t order by 1") for name in tables] == before


@pytest.mark.claim("C60")
def test_the_trail_holds_no_secret_and_no_address(house: House) -> None:
    house.ask("POST", "/admin/users", {"email": "somebody@example.com"})
    secret = "a-provider-key-of-a-customer"
    stored = house.ask("POST", "/admin/byok", {"provider": "openai", "key": secret}).json
    made = house.ask("POST", "/admin/keys", {"name": "n"}).json
    trail = "".join(str(row[0]) for row in house.database.query("select record from therouter.audit_row"))
    sealed, hashed = (
        str(house.database.query(sql)[0][0])
        for sql in ("select sealed from therouter.byok_key", "select hash from therouter.api_key limit 1")
    )
    for absent in (secret, "somebody@example.com", made["key"], made["key"][25:], sealed, hashed):
        assert absent not in trail
    assert stored["digest"] in trail
    assert house.ask("POST", "/admin/audit/digest", {"value": secret}).json["digest"] == stored["digest"]


@pytest.mark.claim("C60")
def test_both_tenants_prove_their_trail_and_see_nothing_of_the_others(house: House) -> None:
    sealer = Sealer("global", Ed25519PrivateKey.generate())
    seal_trail(OperationsStore(house.database.pool("operations")), sealer)
    house.ask("PATCH", "/admin/tenant", {"name": "secret plans"})
    seal_trail(OperationsStore(house.database.pool("operations")), sealer)
    mine, other = house.export("mine"), house.export("other")
    for lines in (mine, other):
        verdict = verify_export(lines, sealer.verifier)
        assert verdict.rows == verdict.sealed_rows == len(house.audit())
        assert verdict.checkpoints == 2
    assert b"secret plans" in b"".join(mine)
    assert b"secret plans" not in b"".join(other)
    assert house.tenants["mine"].encode() not in b"".join(other)
    changed = [line.replace(b"secret plans", b"sacred plans") for line in mine]
    with pytest.raises(TrailBroken, match="row "):
        verify_export(changed, sealer.verifier)


def test_a_page_of_the_export_takes_its_own_checkpoints_and_the_last(house: House) -> None:
    sealer = Sealer("global", Ed25519PrivateKey.generate())
    sizes = []
    for number in range(4):
        house.ask("PATCH", "/admin/tenant", {"name": f"name {number}"})
        sizes.append(seal_trail(OperationsStore(house.database.pool("operations")), sealer).rows)
    asker = Caller(f"key:{house.people['mine', 'auditor'].key_id}", "r")
    for upto, wanted in ((sizes[1], {0, 1, 3}), (sizes[3], {0, 1, 2, 3}), (0, {3})):
        rows = house.room.store.ask("control_checkpoints", asker, list[SignedCheckpoint], from_size=1, upto=upto)
        assert [row.size for row in rows] == [sizes[place] for place in sorted(wanted)]


@pytest.mark.claim("C60")
def test_an_operators_look_is_in_the_trail_of_whoever_was_looked_at(house: House) -> None:
    house.database.query("update therouter.tenant set operator = true where name = 'mine'")
    target = house.tenants["other"]
    seen = house.ask("GET", f"/admin/tenants/{target}", headers={"x-audit-reason": "support case 12"})
    assert seen.status == 200
    rows = house.ask("GET", "/admin/audit", role="auditor", tenant="other").json["data"]
    record = msgspec.json.decode(rows[-1]["record"])
    assert (record["action"], record["reason"]) == ("tenant.inspect", "support case 12")
    assert record["actor"] == f"key:{house.people['mine', 'owner'].key_id}"
    assert house.ask("GET", f"/admin/tenants/{target}", role="viewer").status == 403
    assert house.ask("GET", f"/admin/tenants/{house.tenants['mine']}", tenant="other").status == 403


@pytest.mark.claim("C60")
def test_c60_every_look_of_staff_at_customers_is_audited(house: House) -> None:
    """All routes that show an operator another tenant's data, whatever comes to be one."""
    house.database.query("update therouter.tenant set operator = true where name = 'mine'")
    looks = [route for route in ROUTES if route.scope == "tenants:read"]
    assert {route.path for route in looks} == {"/admin/tenants", "/admin/tenants/<tenant_id>"}
    for route in looks:
        before = len(house.audit())
        path = route.path.replace("<tenant_id>", house.tenants["other"])
        assert house.ask("GET", path, headers={"x-audit-reason": "support case 12"}).status == 200
        ((actor, action, _),) = house.audit()[before:]
        assert (actor, action.partition(".")[0]) == (f"key:{house.people['mine', 'owner'].key_id}", "tenant"), route


@pytest.mark.claim("C60")
def test_c60_the_export_of_rows_says_what_they_do_not_cover(house: House) -> None:
    not_covered = house.ask("GET", "/admin/audit").json["not_covered"]
    for what in ("inference", "reads within the tenant", "health checks", "infrastructure", "database"):
        assert any(what in line for line in not_covered), what


@pytest.mark.claim("C60")
def test_c60_of_an_erased_person_the_trail_keeps_an_id_that_leads_to_nobody(house: House) -> None:
    person = house.people["mine", "auditor"]
    ((address,),) = house.database.query("select email from therouter.app_user where user_id = :u", u=person.user_id)
    assert house.ask("POST", f"/admin/users/{person.user_id}/erasure").status == 200
    trail = "".join(str(row[0]) for row in house.database.query("select record from therouter.audit_row"))
    assert person.user_id in trail
    assert str(address) not in trail
    left = house.database.query("select email, subject from therouter.app_user where user_id = :u", u=person.user_id)
    assert [(str(email).endswith("@invalid"), subject) for email, subject in left] == [(True, "")]
    assert house.database.query("select count(*) from therouter.person_session") == [[0]]


def test_money_that_moves_by_hand_is_in_the_trail(house: House) -> None:
    house.store.adjust_credit("k1", house.tenants["mine"], 5_000, "goodwill")
    assert house.audit()[-1] == ("role:founder", "money.adjustment", "adj:k1")
