"""A walk over the admin API: random requests made from its OpenAPI document, by every role, at its own and foreign things.

Nouns
    *Walker*: a principal of one role; the six of the tenant `mine`, and nobody at the doors that need no key.
    *Thing*: a user, key, provider key or tenant that a path names: the walker's tenant's, another tenant's, or nobody's.

Rules
    What the roles may do is written here once more, from the issue and not from the code.
    Nothing is left out because it breaks things: after every change that happened, the rows are put back.
"""

from __future__ import annotations

import base64
import random
import re
from collections import Counter
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from handlers.admin.calls import ANYBODY
from tests.handlers.admin.rooms import ROLES, House, Reply

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


KEPT = """
select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
where c.relnamespace = 'therouter'::regnamespace and c.relkind = 'r' and not c.relispartition
  and c.relname not in ('audit_row', 'entry')
"""
"""The tables that are put back: what is of tenants and may be changed."""
OPEN_DOORS = {"begin_sign_in": {302}, "sign_out": {200}}
"""What somebody without any proof may cause."""


def document(house: House) -> dict[str, Any]:
    answer = house.ask("GET", "/admin/openapi.json", token="")
    assert answer.status == 200
    found: dict[str, Any] = answer.json
    return found


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


class Walk:
    """One walk.

    Args:
        house: with an issuer and a scanner, so that all doors are there.
        seed: of every choice.
        scanner: signs what the scanner signs.
    """

    def __init__(self, house: House, seed: int, scanner: tuple[str, ec.EllipticCurvePrivateKey]) -> None:
        self.house, self.chance, self._scanner = house, random.Random(seed), scanner
        described = document(house)
        self._components = described["components"]["schemas"]
        self._operations = [
            (method.upper(), path, operation)
            for path, methods in described["paths"].items()
            for method, operation in methods.items()
        ]
        self._leaked = house.ask("POST", "/admin/keys", {"name": "leaked"}).json["key"]
        self.ids = {"mine": owned(house, "mine"), "other": owned(house, "other")}
        self.statuses: Counter[int] = Counter()
        self.operations: Counter[str] = Counter()
        self.restored = 0
        house.database.altered = True
        house.database.query("create schema walk")
        self._kept = [str(name) for (name,) in house.database.query(KEPT)]
        for table in self._kept:
            house.database.query(f"create table walk.{table} as table therouter.{table}")

    def step(self) -> None:
        """One request, judged."""
        method, path, operation = self.chance.choice(self._operations)
        role = self.chance.choice(ROLES)
        whose = self.chance.choice(["mine", "other", "other", "nobody"])

        def place(match: re.Match[str]) -> str:
            return self.ids[whose][match[1]] if whose in self.ids else self.chance.choice(["x", "0", "..", "%2e", "*"])

        raw, signed = self._body(operation)
        query = {
            parameter["name"]: str(make(parameter["schema"], self.chance, self._components))
            for parameter in operation["parameters"]
            if parameter["in"] == "query" and self.chance.random() < 0.5
        }
        door = operation["x-scope"] == ANYBODY
        answer = self.house.ask(
            method,
            re.sub(r"\{([a-z_]+)\}", place, path),
            token="" if door else None,
            role=role,
            query=query,
            raw=raw,
            headers=signed,
        )
        self.statuses[answer.status] += 1
        self.operations[operation["operationId"]] += 1
        judge(answer, role, operation, foreign="{" in path and whose != "mine", signed=bool(signed))
        if answer.status < 300 and method != "GET":
            self._put_back()

    def _body(self, operation: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
        """Content and, for what a scanner says, sometimes its genuine signature."""
        if operation["operationId"] == "take_leaks":
            return self._leak()
        body = operation.get("requestBody")
        content = make(body["content"]["application/json"]["schema"], self.chance, self._components) if body else None
        if operation["operationId"] == "close_account" and self.chance.random() < 0.5:
            content = {"confirm": self.chance.choice(["mine", "other"])}
        raw = msgspec.json.encode(content) if body else b""
        if self.chance.random() < 0.1:
            broken = [b"{", b"\xff\xfe", b"[" * 2_000, b'{"a": 1e999}', b'{"name": "\\ud800"}', raw[:-1]]
            raw = self.chance.choice(broken)
        return raw, {}

    def _leak(self) -> tuple[bytes, dict[str, str]]:
        found: Any = [{"token": self._leaked, "type": "t", "url": "u", "source": "s"}]
        raw = msgspec.json.encode(self.chance.choice([found, [], {}, [{}], [{"token": 1}], found * 3]))
        identifier, key = self._scanner
        if self.chance.random() < 0.5:
            key, signed = ec.generate_private_key(ec.SECP256R1()), {}
        else:
            signed = {"x-walk": "genuine"}
        signature = base64.b64encode(key.sign(raw, ec.ECDSA(SHA256()))).decode()
        return raw, {
            **signed,
            "github-public-key-identifier": identifier,
            "github-public-key-signature": signature,
        } if signed or self.chance.random() < 0.5 else {}

    def _put_back(self) -> None:
        self.restored += 1
        statements = "".join(
            f"delete from therouter.{table}; insert into therouter.{table} select * from walk.{table};"
            for table in self._kept
        )
        self.house.database.query(f"do $$ begin set local session_replication_role = replica; {statements} end $$")


def judge(answer: Reply, role: str, operation: dict[str, Any], *, foreign: bool, signed: bool) -> None:
    """No 5xx; no success for whom it was not promised, or with what is another's."""
    name, scope = operation["operationId"], operation["x-scope"]
    what = (name, role, answer.status, answer.text[:300])
    assert answer.status < 500, what
    if scope == ANYBODY:
        allowed = {200} if name == "take_leaks" and signed else OPEN_DOORS.get(name, set())
        assert answer.status in allowed or answer.status >= 400, what
    elif answer.status < 400:
        assert may(role, scope), what
        assert not foreign, what
    if scope != ANYBODY and not may(role, scope):
        assert answer.status == 403, what
