"""Routes as rows: who may use them, what they refuse, and what belongs to whom. The walk over all of them is in test_walk.py."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from handlers.admin.calls import ANYBODY, Text
from handlers.admin.routing import ROUTES
from tests.handlers.admin.rooms import House
from tests.handlers.admin.walks import OPERATORS, document, owned

READS = {"GET"}


@pytest.mark.claim("A14")
def test_a14_the_document_and_the_routes_are_the_same(house: House) -> None:
    described = {
        (method.upper(), path) for path, operations in document(house)["paths"].items() for method in operations
    }
    assert described == {(route.method, re.sub(r"<([a-z_]+)>", r"{\1}", route.path)) for route in ROUTES}
    doors = {(route.method, route.path) for route in ROUTES if route.scope == ANYBODY}
    assert doors == {
        ("GET", "/admin/sign-in"), ("GET", "/admin/sign-in/callback"), ("POST", "/admin/sign-out"),
        ("POST", "/admin/integrations/secret-scanning"),
    }  # fmt: skip
    for method, path in sorted(described - doors):
        assert house.ask(method, path.replace("{", "").replace("}", ""), token="").status == 401, path
    names = [route.operation for route in ROUTES]
    assert len(set(names)) == len(names)


@pytest.mark.claim("A10")
def test_a10_without_a_management_key_nothing_opens(house: House) -> None:
    inference = house.ask("POST", "/admin/keys", {"name": "app"}).json["key"]
    person = house.people["mine", "admin"]
    house.ask("DELETE", f"/admin/keys/{person.key_id}")
    changed = house.token()[:-1] + ("0" if house.token()[-1] != "0" else "1")
    for route in ROUTES:
        if route.scope == ANYBODY:
            continue
        path = re.sub(r"<[a-z_]+>", "x", route.path)
        assert house.ask(route.method, path, token="").status == 401
        assert house.ask(route.method, path, token=changed).status == 401
        assert house.ask(route.method, path, token=inference).status == 403
        assert house.ask(route.method, path, token=person.token).status == 401


@pytest.mark.claim("A13")
def test_a13_no_get_changes_anything(house: House) -> None:
    before = len(house.audit())
    for route in ROUTES:
        if route.method in READS:
            house.ask(route.method, re.sub(r"<[a-z_]+>", house.people["mine", "owner"].user_id, route.path))
    assert len(house.audit()) == before


def test_a_member_sees_its_own_budget_and_no_other(house: House) -> None:
    me = house.people["mine", "member"].user_id
    for user, limit in ((None, 100), (me, 5), (house.people["mine", "viewer"].user_id, 7)):
        house.ask("PUT", "/admin/budgets", {"limit": limit, "period": "monthly", "user_id": user})
    seen = house.ask("GET", "/admin/budgets", role="member").json
    assert [(row["user_id"], row["limit_nano"]) for row in seen] == [(me, 5_000_000_000)]
    assert len(house.ask("GET", "/admin/budgets", role="viewer").json) == 3
    assert house.ask("PUT", "/admin/budgets", {"limit": 1}, role="member").status == 403


@pytest.mark.parametrize("region", ["global", "china"])
def test_a_management_key_works_from_its_own_addresses_alone(house: House, region: str) -> None:
    made = house.ask(
        "POST", "/admin/keys", {"name": "ci", "management": True, "ip_ranges": ["203.0.113.0/24", "2001:db8::/32"]}
    )
    assert made.status == 201, made.text
    token = made.json["key"]
    header, addresses = {
        "global": ("cloudfront-viewer-address", ("203.0.113.9:4711", "2001:db8::1:4711", "198.51.100.1:4711")),
        "china": ("x-therouter-client", ("203.0.113.9", "2001:db8::1", "198.51.100.1")),
    }[region]
    house.room = replace(house.room, region=region, behind_edge=True)
    house.reopen()
    for address, status in (*zip(addresses, (200, 200, 403), strict=True), ("", 403), ("203.0.113.9, 1", 403)):
        forged = {header: address, "x-forwarded-for": "203.0.113.9"}
        assert house.ask("GET", "/admin/me", token=token, headers=forged).status == status, address
    assert house.ask("GET", "/admin/me", token=token).json["error"]["code"] == "ip_not_allowed"
    house.room = replace(house.room, region=region, behind_edge=False)
    house.reopen()
    # On one machine the last hop is the server's own word, whatever the client wrote before it.
    told = {"x-forwarded-for": "203.0.113.9, 198.51.100.1"}
    assert house.ask("GET", "/admin/me", token=token, headers=told).status == 403


@pytest.mark.claim("A12")
@pytest.mark.parametrize("extra", ["balance", "tenant_id", "account_id", "state", "operator", "hash", "retention_days"])
def test_a12_a_field_that_nobody_asked_for_is_refused(house: House, extra: str) -> None:
    before = len(house.audit())
    for route in ROUTES:
        if route.body is None or extra in route.body.__struct_fields__:  # type: ignore[attr-defined]
            continue
        path = re.sub(r"<[a-z_]+>", house.people["mine", "member"].user_id, route.path)
        answer = house.ask(route.method, path, {extra: 1})
        assert answer.status in {400, 403}, route
        assert answer.status == 400 or route.scope in OPERATORS
    assert len(house.audit()) == before


@pytest.mark.claim("A11")
def test_a11_ids_of_another_tenant_are_as_unknown_as_ids_of_nobody(house: House) -> None:
    theirs = owned(house, "other")
    nobody = {"user_id": "0" * 8 + "-0000-4000-8000-" + "0" * 12, "key_id": "u" + "0" * 15}
    nobody |= {"record_id": nobody["user_id"], "tenant_id": nobody["user_id"]}
    untouched = house.database.query(
        "select t::text from therouter.byok_key t union all select t::text from therouter.api_key t"
    )
    for route in ROUTES:
        names = re.findall(r"<([a-z_]+)>", route.path)
        if not names or route.scope in OPERATORS:
            continue
        bodies = {"ByokChange": {"label": "x"}, "UserChange": {"role": "viewer"}}
        body = bodies.get(getattr(route.body, "__name__", ""), {} if route.body else None)
        answers = [
            house.ask(route.method, re.sub(r"<([a-z_]+)>", lambda m, ids=ids: ids[m[1]], route.path), body)  # type: ignore[misc]
            for ids in (theirs, nobody)
        ]
        assert [answer.status for answer in answers] == [404, 404], route
        assert answers[0].text == answers[1].text
        for odd in ("..", "*", "-1", "0", "null", "[]", "%00", "'", theirs[names[0]].upper() + "x", "a" * 300):
            assert house.ask(route.method, route.path.replace(f"<{names[0]}>", odd), body).status in {400, 404}
    assert untouched == house.database.query(
        "select t::text from therouter.byok_key t union all select t::text from therouter.api_key t"
    )


@pytest.mark.claim("A11")
def test_a11_what_a_tenant_lists_is_its_own(house: House) -> None:
    theirs = owned(house, "other")
    for route in ROUTES:
        if (
            route.method == "GET"
            and "<" not in route.path
            and route.scope not in OPERATORS
            and route.answer is not Text
        ):
            seen = house.ask("GET", route.path).text
            assert all(identifier not in seen for identifier in theirs.values()), route.path
