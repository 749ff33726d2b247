"""What a tenant's administrator does, one thing after the other, as a client of the running system: signs in as a person at the
development issuer, makes keys and limits them, uses them at the gateway, reads what was used, and takes everything away again.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

from handlers.local.access import LOCAL_EMAIL, LOCAL_USER
from tests.acceptance.cast import CAST
from tests.system import RunningSystem, running_system
from tests.upstreams.scripted import ScriptedUpstream
from tests.waiting import PATIENCE_S

MODEL = CAST.first_model
OTHERS = f"{CAST.second_model.partition('/')[0]}/*"
EVERYWHERE_S = 20.0
"""Changes are promised within five seconds; the rest is for a busy machine."""
T = TypeVar("T")


def until(look: Callable[[], T], good: Callable[[T], bool]) -> T:
    """What a look shows as soon as it is good, or at the end of our patience."""
    end = time.monotonic() + EVERYWHERE_S
    while not good(found := look()) and time.monotonic() < end:
        time.sleep(0.2)
    return found


class Person:
    """A browser whose person is signed in at the admin room."""

    def __init__(self, system: RunningSystem, client: httpx.Client) -> None:
        self.system, self.client = system, client

    def sign_in(self, email: str = LOCAL_EMAIL) -> httpx.Response:
        """As a person does it: our page, the issuer's page, their address, back to us."""
        begun = self.client.get(f"{self.system.local.admin_url}/sign-in", params={"goal": "/admin/me"})
        page = begun.headers["location"]
        assert "Development sign-in" in self.client.get(page).text
        issuer, query = page.partition("/authorize")[0], urlsplit(page).query
        approved = self.client.get(f"{issuer}/approve", params={"query": query, "email": email})
        return self.client.get(approved.headers["location"])

    def ask(self, method: str, path: str, body: object = None, *, status: int = 200, **query: str) -> Any:
        """One request with the session; the decoded answer, which must have this status."""
        answer = self.send(method, path, body, **query)
        assert answer.status_code == status, (method, path, answer.status_code, answer.text)
        return answer.json()

    def send(self, method: str, path: str, body: object = None, **query: str) -> httpx.Response:
        """One request with the session."""
        return self.client.request(
            method,
            f"{self.system.local.admin_url}{path}",
            content=b"" if body is None else msgspec.json.encode(body),
            headers={"x-therouter-csrf": "1"},
            params=query,
        )

    def new_key(self, **fields: object) -> tuple[str, str]:
        """(the key, its id)."""
        made = self.ask("POST", "/keys", {"name": "app", **fields}, status=201)
        return made["key"], made["data"]["key_id"]

    def infer(self, key: str, model: str = MODEL, text: str = "hello") -> httpx.Response:
        """One request at the gateway."""
        body = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": text}]}
        headers = {"authorization": f"Bearer {key}"}
        return self.client.post(f"{self.system.url}/v1/chat/completions", json=body, headers=headers)


@pytest.fixture(scope="module")
def person() -> Iterator[Person]:
    with ScriptedUpstream() as upstream:
        addresses = dict.fromkeys((CAST.first, CAST.second), f"{upstream.url}/v1")
        with running_system(addresses, sign_in=True) as system, httpx.Client(trust_env=False, timeout=30) as client:
            person = Person(system, client)
            arrival = person.sign_in()
            assert (arrival.status_code, arrival.headers["location"]) == (302, "/admin/me")
            yield person


def test_a_person_signs_in_at_the_issuer_of_this_machine(person: Person) -> None:
    me = person.ask("GET", "/me")
    assert (me["role"], me["user_id"]) == ("owner", str(LOCAL_USER))
    with httpx.Client(trust_env=False, timeout=30) as client:
        stranger = Person(person.system, client)
        assert stranger.sign_in("stranger@example.com").status_code == 403
        assert client.get(f"{person.system.local.admin_url}/me").status_code == 401


def test_a_key_is_shown_once_listed_changed_and_revoked(person: Person) -> None:
    key, key_id = person.new_key(name="once")
    assert person.infer(key).status_code == 200
    for path in ("/keys", f"/keys/{key_id}", "/audit", "/account/export"):
        assert key not in person.send("GET", path).text, path
    assert key_id in {row["hash"] for row in person.ask("GET", "/keys")["data"]}
    changed = person.ask("PATCH", f"/keys/{key_id}", {"name": "renamed", "models": [OTHERS]})["data"]
    assert (changed["name"], changed["models"]) == ("renamed", [OTHERS])
    assert until(lambda: person.infer(key).status_code, lambda status: status == 400) == 400
    person.ask("PATCH", f"/keys/{key_id}", {"models": []})
    assert until(lambda: person.infer(key).status_code, lambda status: status == 200) == 200
    assert person.ask("DELETE", f"/keys/{key_id}")["data"]["disabled"] is True
    assert until(lambda: person.infer(key).status_code, lambda status: status == 401) == 401


def test_rotation_overlaps_and_ends(person: Person) -> None:
    old, old_id = person.new_key(name="service", requests_per_minute=1_000)
    made = person.ask("POST", f"/keys/{old_id}/rotation", {"overlap_s": 60}, status=201)
    assert (made["data"]["replaces"], made["data"]["requests_per_minute"]) == (old_id, 1_000)
    assert [person.infer(key).status_code for key in (old, made["key"])] == [200, 200]
    last = person.ask("POST", f"/keys/{made['data']['key_id']}/rotation", {"overlap_s": 0}, status=201)
    assert until(lambda: person.infer(made["key"]).status_code, lambda status: status == 401) == 401
    assert person.infer(last["key"]).status_code == 200


def test_a_key_expires_by_itself(person: Person) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=3)
    key, _ = person.new_key(expires_at=ends.isoformat())
    assert until(lambda: person.infer(key).status_code, lambda status: status == 401) == 401


LIMITS: list[tuple[dict[str, object], int, str]] = [
    ({"models": [OTHERS]}, 400, "constraint_filtered"),
    ({"ip_ranges": ["203.0.113.0/24"]}, 403, "ip_not_allowed"),
    ({"ip_ranges": ["203.0.113.0/24", "127.0.0.0/8"]}, 200, ""),
    ({"requests_per_minute": 0}, 429, ""),
    ({"tokens_per_minute": 5}, 429, ""),
    ({"limit": 0}, 402, ""),
    ({"limit": 0, "limit_reset": "daily"}, 402, ""),
    ({"limit": 5, "limit_reset": "weekly"}, 200, ""),
    ({"limit": 5, "limit_reset": "monthly"}, 200, ""),
    ({"byok_only": True}, 400, "constraint_filtered"),
    ({"data_policy": "any"}, 200, ""),
    ({"data_policy": "zero_retention"}, 400, "constraint_filtered"),
]


@pytest.mark.parametrize(("limits", "status", "code"), LIMITS, ids=[str(limits) for limits, _, _ in LIMITS])
def test_each_limit_of_a_key_is_kept_at_the_gateway(
    person: Person, limits: dict[str, object], status: int, code: str
) -> None:
    key, key_id = person.new_key(**limits)
    told = person.ask("GET", f"/keys/{key_id}")["data"]
    assert {name: told[name] for name in limits} == limits
    answer = person.infer(key)
    assert answer.status_code == status, answer.text
    if code:
        assert answer.json()["error"]["code"] == code


def test_requests_per_minute_are_counted(person: Person) -> None:
    key, _ = person.new_key(requests_per_minute=2)
    assert sorted(person.infer(key).status_code for _ in range(3)) == [200, 200, 429]


def test_use_is_told_by_key_user_model_and_day_and_exported(person: Person) -> None:
    key, key_id = person.new_key(name="metered", limit=5, limit_reset="daily")
    asked = [person.infer(key) for _ in range(3)]
    assert [answer.status_code for answer in asked] == [200] * 3
    today = datetime.now(UTC).date().isoformat()

    def look() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = person.ask("GET", "/activity", by="key_id,user_id,model", key_id=key_id)["data"]
        return found

    (row,) = until(look, lambda rows: bool(rows) and rows[0]["requests"] == 3)
    assert (row["day"], row["requests"], row["user_id"], row["model"]) == (today, 3, str(LOCAL_USER), MODEL)
    assert row["cost_nano"] > 0
    table = person.send("GET", "/activity", by="key_id", key_id=key_id, format="csv")
    assert table.headers["content-type"].startswith("text/csv")
    assert [line["requests"] for line in csv.DictReader(io.StringIO(table.text))] == ["3"]
    lines = person.send("GET", "/activity", by="key_id", key_id=key_id, format="jsonl").text.splitlines()
    assert [msgspec.json.decode(line)["requests"] for line in lines] == [3]
    mine = [r for r in person.ask("GET", "/usage", limit="1000")["data"] if r["key_id"] == key_id]
    assert len(mine) == 3
    assert sum(r["cost_nano"] for r in mine) == row["cost_nano"]
    for form, count in (("csv", 1), ("jsonl", 0)):
        text = person.send("GET", "/usage", limit="1000", format=form).text
        assert sum(key_id in line for line in text.splitlines()) == 3
        assert len(text.splitlines()) >= 3 + count
    generation = person.ask("GET", "/generation", id=mine[0]["request_id"])["data"]
    assert (generation["model"], generation["cost_nano"]) == (MODEL, mine[0]["cost_nano"])
    assert (
        person.send("GET", "/generation/content", id=mine[0]["request_id"]).json()["error"]["code"]
        == "content_not_stored"
    )
    credit = person.ask("GET", "/credits")["data"]
    assert credit["total_credits"] - credit["total_usage"] == pytest.approx(credit["balance_nano"] / 1e9)
    told = person.ask("GET", f"/keys/{key_id}")["data"]
    assert told["usage_nano"] == row["cost_nano"]
    assert told["limit_remaining"] == pytest.approx(5 - row["cost_nano"] / 1e9)


def test_a_machine_asks_about_itself_with_a_management_key(person: Person) -> None:
    made = person.ask("POST", "/keys", {"name": "ci", "management": True, "ip_ranges": ["127.0.0.0/8"]}, status=201)
    headers = {"authorization": f"Bearer {made['key']}"}
    admin = person.system.local.admin_url
    me = httpx.get(f"{admin}/key", headers=headers, trust_env=False, timeout=PATIENCE_S).json()["data"]
    assert (me["hash"], me["is_management_key"], me["ip_ranges"]) == (made["data"]["hash"], True, ["127.0.0.0/8"])
    assert person.infer(made["key"]).status_code == 403, "management keys infer nothing"
    elsewhere = person.ask(
        "POST", "/keys", {"name": "x", "management": True, "ip_ranges": ["203.0.113.0/24"]}, status=201
    )
    for forged in ({}, {"x-forwarded-for": "203.0.113.5"}, {"cloudfront-viewer-address": "203.0.113.5:1"}):
        headers = {"authorization": f"Bearer {elsewhere['key']}", **forged}
        answer = httpx.get(f"{admin}/key", headers=headers, trust_env=False, timeout=PATIENCE_S)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "ip_not_allowed")


def test_budgets_retention_and_the_trail(person: Person) -> None:
    assert person.ask("PUT", "/budgets", {"limit": 50, "period": "monthly"})[0]["limit_nano"] == 50 * 10**9
    assert person.ask("PUT", "/retention", {"days": 30})["retention_days"] == 30
    assert person.ask("GET", "/retention", days="1")["days"] == 1
    _, key_id = person.new_key()
    person.ask("PATCH", f"/keys/{key_id}", {"limit": 1})
    trail = person.ask("GET", "/audit", limit="500")["data"]
    actions = {msgspec.json.decode(row["record"])["action"] for row in trail}
    assert {"key.create", "key.update", "budget.create", "tenant.update", "session.create"} <= actions
    assert {field["name"] for field in person.ask("GET", "/inventory")["fields"]} >= {"ts", "model", "cost_nano"}


def test_a_user_is_erased_and_at_last_the_account_is_closed(person: Person) -> None:
    user = person.ask("POST", "/users", {"email": "gone@example.com"}, status=201)["user_id"]
    key, _ = person.new_key(user_id=user)
    assert person.infer(key).status_code == 200
    assert person.ask("POST", f"/users/{user}/erasure")["erased"] is True
    assert until(lambda: person.infer(key).status_code, lambda status: status == 401) == 401
    assert "gone@example.com" not in person.send("GET", "/account/export").text
    exported = person.ask("GET", "/account/export")
    assert {"tenant", "users", "keys", "byok", "budgets", "entries"} <= exported.keys()
    mine, _ = person.new_key()
    person.ask("POST", "/account/closing", {"confirm": "another name"}, status=409)
    assert person.ask("POST", "/account/closing", {"confirm": exported["tenant"]["name"]})["state"] == "closed"
    assert until(lambda: person.infer(mine).status_code, lambda status: status in {401, 403}) in {401, 403}
    assert person.send("GET", "/me").status_code == 401
