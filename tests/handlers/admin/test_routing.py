"""Every route, by every role, upon what is theirs and what is not, with every kind of malformed input.

The walk is made from the OpenAPI document that clients get, and from what the roles may do according to the issue's own table;
the normal run takes a sample, the slow one 100,000 requests.
"""

from __future__ import annotations

import os
import random
import re
from typing import Any

import msgspec
import pytest

from handlers.admin.calls import ANYBODY, Text
from handlers.admin.routing import ROUTES
from tests.handlers.admin.rooms import ROLES, House, Reply

SAMPLE = 1_200
READS = {"GET"}
MAY: dict[str, set[str]] = {
    "owner": {"*"},
    "admin": {"*"},
    "billing": {"tenant:read", "credits:read", "budgets:read", "budgets:write", "usage:read", "usage:export"},
    "member": {"tenant:read", "keys:read", "keys:write", "usage:read"},
    "viewer": {
        "tenant:read", "users:read", "keys:read", "byok:read", "budgets:read", "credits:read", "usage:read",
    },
    "auditor": {
        "tenant:read", "users:read", "keys:read", "byok:read", "budgets:read", "credits:read", "usage:read",
        "usage:export", "audit:read",
    },
}  # fmt: skip
OWNER_ALONE = {"tenant:close", "owners:write", "account:export"}
OPERATORS = {"tenants:read", "tenants:write"}


def may(role: str, scope: str) -> bool:
    """What the roles are promised to be able to do."""
    if scope in {"*", ANYBODY}:
        return True
    if scope in OPERATORS or (scope in OWNER_ALONE and role != "owner"):
        return False
    return "*" in MAY[role] or scope in MAY[role]


def document(house: House) -> dict[str, Any]:
    answer = house.ask("GET", "/admin/openapi.json", token="")
    assert answer.status == 200
    found: dict[str, Any] = answer.json
    return found


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


def owned(house: House, tenant: str) -> dict[str, str]:
    """An id of each kind that the tenant has."""
    record = house.ask("POST", "/admin/byok", {"provider": "openai", "key": "a-provider-key"}, tenant=tenant).json
    key = house.ask("POST", "/admin/keys", {"name": "app"}, tenant=tenant).json
    return {
        "user_id": house.ask("POST", "/admin/users", {"email": "spare@example.com"}, tenant=tenant).json["user_id"],
        "key_id": key["data"]["key_id"],
        "record_id": record["record_id"],
        "tenant_id": house.tenants[tenant],
    }


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


def make(schema: dict[str, Any], chance: random.Random, components: dict[str, Any]) -> Any:
    """A value of a schema, or now and then of none."""
    if chance.random() < 0.25:
        return chance.choice(
            [None, True, -1, 2**70, 1.5, "", "\x00", "\ud7ff", "x" * 5_000, [], {}, [None], {"x": {}}, "'; --", "../"]
        )
    if "$ref" in schema:
        return make(components[schema["$ref"].rpartition("/")[2]], chance, components)
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return make(chance.choice(schema[several]), chance, components)
    if "enum" in schema:
        return chance.choice(schema["enum"])
    kind = schema.get("type")
    if kind == "object":
        fields = schema.get("properties", {})
        required = schema.get("required", [])
        return {n: make(s, chance, components) for n, s in fields.items() if n in required or chance.random() < 0.5}
    if kind == "array":
        return [make(schema.get("items", {}), chance, components) for _ in range(chance.randrange(3))]
    if kind in {"integer", "number"}:
        return chance.choice([schema.get("minimum", 0), 1, 7, schema.get("maximum", 100)])
    if kind == "boolean":
        return chance.random() < 0.5
    return chance.choice(
        [
            "name",
            "a@example.com",
            "openai",
            "2027-01-01T00:00:00Z",
            "2026-11-01",
            "00000000-0000-4000-8000-000000000000",
        ]
    )


def walk(house: House, requests: int, seed: int) -> dict[int, int]:
    """Random requests from the document; returns how often which status came."""
    chance = random.Random(seed)
    described = document(house)
    components = described["components"]["schemas"]
    operations = [
        (method.upper(), path, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
        if operation["operationId"] not in {"close_account", "create_key", "rotate_key"}  # bcrypt, and the end of all
    ]
    ids = {"mine": owned(house, "mine"), "other": owned(house, "other")}
    counts: dict[int, int] = {}
    for _ in range(requests):
        method, path, operation = chance.choice(operations)
        role = chance.choice([role for role in ROLES if role != "owner"])
        whose = chance.choice(["mine", "other", "other", "nobody"])

        def place(match: re.Match[str], whose: str = whose) -> str:
            return ids[whose][match[1]] if whose in ids else chance.choice(["x", "0", "..", "%2e", "*"])

        target = re.sub(r"\{([a-z_]+)\}", place, path)
        body = operation.get("requestBody")
        content = make(body["content"]["application/json"]["schema"], chance, components) if body else None
        raw = msgspec.json.encode(content) if body else b""
        if chance.random() < 0.1:
            raw = chance.choice([b"{", b"\xff\xfe", b"[" * 2_000, b'{"a": 1e999}', b'{"name": "\\ud800"}', raw[:-1]])
        query = {
            parameter["name"]: str(make(parameter["schema"], chance, components))
            for parameter in operation["parameters"]
            if parameter["in"] == "query" and chance.random() < 0.5
        }
        answer = house.ask(method, target, role=role, query=query, raw=raw)
        counts[answer.status] = counts.get(answer.status, 0) + 1
        judge(answer, role, operation, foreign="{" in path and whose != "mine")
    return counts


def judge(answer: Reply, role: str, operation: dict[str, Any], *, foreign: bool) -> None:
    """No 5xx; no success for whom it was not promised, or with what is another's."""
    what = (operation["operationId"], role, answer.status, answer.text[:300])
    assert answer.status < 500, what
    if answer.status < 300:
        assert may(role, operation["x-scope"]), what
        assert not foreign, what
    if not may(role, operation["x-scope"]):
        assert answer.status == 403, what


@pytest.mark.claim("A10", "A11")
def test_a10_a_walk_over_all_routes_roles_tenants_and_malformed_inputs(house: House) -> None:
    counts = walk(house, SAMPLE, seed=11)
    assert counts[403] > 100
    assert counts[200] > 50
    assert counts[400] > 50


@pytest.mark.slow
@pytest.mark.timeout(7_200)
@pytest.mark.claim("A10", "A11")
def test_a10_the_long_walk(house: House) -> None:
    requests = int(os.environ.get("THEROUTER_WALK", "100000"))
    counts = walk(house, requests, seed=random.SystemRandom().randrange(2**32))
    print(f"{requests} requests: {dict(sorted(counts.items()))}")
    assert sum(counts.values()) == requests
