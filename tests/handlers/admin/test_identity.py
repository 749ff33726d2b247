"""Sign-in over the development issuer, which speaks the real protocol, and every way in which its answer can be wrong."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from handlers.admin.doors import SESSION_S
from handlers.admin.identity import Issuer, Vouched
from handlers.admin.routing import ROUTES
from handlers.errors import InvalidRequest, PermissionDenied, Unauthenticated, Unavailable
from handlers.local import issuer as development
from handlers.settings import SettingError
from tests.database import Database
from tests.handlers.admin.rooms import House, open_house

CALLBACK = "http://127.0.0.1/admin/sign-in/callback"


@pytest.fixture
def provider() -> Iterator[development.Issuer]:
    server, issuer = development.make_issuer()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield issuer
    server.shutdown()
    server.server_close()


def client_of(provider: development.Issuer, **more: Any) -> Issuer:
    fields: dict[str, Any] = {"callback": CALLBACK, "keys": (secrets.token_bytes(32),), "groups": {}, **more}
    return Issuer(provider.address, "therouter", **fields)


def approve(location: str, email: str, groups: str = "") -> dict[str, str]:
    """What the person's browser brings back."""
    query = urlsplit(location).query
    base = location.partition("/authorize")[0]
    assert httpx.get(location, trust_env=False).status_code == 200
    answer = httpx.get(f"{base}/approve", params={"query": query, "email": email, "groups": groups}, trust_env=False)
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


def sign_in(client: Issuer, email: str, groups: str = "") -> Vouched:
    location, kept = client.begin("", "/console", afresh=False)
    back = approve(location, email, groups)
    return client.finish(kept, back["state"], back["code"])[1]


def test_a_person_comes_in_with_address_and_role(provider: development.Issuer) -> None:
    vouched = sign_in(client_of(provider), "a@example.com")
    assert (vouched.email, vouched.role) == ("a@example.com", None)
    assert abs(vouched.proved_at - time.time()) < 30
    mapped = client_of(provider, groups={"eng": "member", "ops": "admin"})
    assert sign_in(mapped, "a@example.com", "eng,ops,else").role == "admin"
    with pytest.raises(PermissionDenied):
        sign_in(mapped, "a@example.com", "else")


def test_state_and_what_the_browser_keeps_must_be_ours_and_fresh(provider: development.Issuer) -> None:
    clock = [time.time()]
    client = client_of(provider, clock=lambda: clock[0])
    location, kept = client.begin("", "/console", afresh=False)
    back = approve(location, "a@example.com")
    for other, state in (
        ("", back["state"]), (kept[:-1], back["state"]), (kept, "x"), (kept, ""),
        (client_of(provider).begin("", "/console", afresh=False)[1], back["state"]),
    ):  # fmt: skip
        with pytest.raises(InvalidRequest):
            client.finish(other, state, back["code"])
    clock[0] += 601
    with pytest.raises(InvalidRequest):
        client.finish(kept, back["state"], back["code"])


@pytest.mark.claim("C63")
def test_a_sign_in_that_began_before_a_rotation_ends_after_it(provider: development.Issuer) -> None:
    before, after = secrets.token_bytes(32), secrets.token_bytes(32)
    client = client_of(provider, keys=(before,))
    location, kept = client.begin("", "/console", afresh=False)
    client.renew((after, before))
    back = approve(location, "a@example.com")
    assert client.finish(kept, back["state"], back["code"])[1].email == "a@example.com"
    location, kept = client.begin("", "/console", afresh=False)
    client.renew((after,))
    back = approve(location, "a@example.com")
    assert client.finish(kept, back["state"], back["code"])[1].email == "a@example.com"


def test_a_code_works_once_and_with_its_verifier_alone(provider: development.Issuer) -> None:
    client = client_of(provider)
    first, second = (client.begin("", "/console", afresh=False) for _ in range(2))
    stolen = approve(first[0], "victim@example.com")["code"]
    state = dict(parse_qsl(urlsplit(second[0]).query))["state"]
    with pytest.raises(Unauthenticated):
        client.finish(second[1], state, stolen)
    location, kept = client.begin("", "/console", afresh=False)
    back = approve(location, "a@example.com")
    client.finish(kept, back["state"], back["code"])
    with pytest.raises(Unauthenticated):
        client.finish(kept, back["state"], back["code"])


FORGERIES: dict[str, Callable[[dict[str, Any], Any], tuple[dict[str, Any], dict[str, Any], Any]]] = {
    "another key": lambda claims, key: (
        {"alg": "ES256", "kid": key.kid}, claims, ECKey.generate_key("P-256", {"kid": key.kid}),
    ),
    "symmetric": lambda claims, _: ({"alg": "HS256"}, claims, OctKey.import_key("a" * 64)),
    "audience": lambda claims, key: ({"alg": "ES256"}, {**claims, "aud": "another"}, key),
    "several audiences": lambda claims, key: ({"alg": "ES256"}, {**claims, "aud": ["therouter", "another"]}, key),
    "issuer": lambda claims, key: ({"alg": "ES256"}, {**claims, "iss": "https://evil.example"}, key),
    "expired": lambda claims, key: ({"alg": "ES256"}, {**claims, "exp": int(time.time()) - 120}, key),
    "old": lambda claims, key: ({"alg": "ES256"}, {**claims, "iat": int(time.time()) - 7_200}, key),
    "nonce": lambda claims, key: ({"alg": "ES256"}, {**claims, "nonce": "another"}, key),
    "no subject": lambda claims, key: ({"alg": "ES256"}, {**claims, "sub": ""}, key),
    "shape": lambda claims, key: ({"alg": "ES256"}, {**claims, "groups": "admin"}, key),
}  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES)
def test_an_id_token_that_does_not_fit_lets_nobody_in(
    provider: development.Issuer, monkeypatch: pytest.MonkeyPatch, forgery: str
) -> None:
    genuine = jwt.encode

    def forged(header: dict[str, Any], claims: dict[str, Any], key: Any, **_: Any) -> str:
        header, claims, key = FORGERIES[forgery](claims, key)
        return genuine(header, claims, key, algorithms=["ES256", "HS256"])

    monkeypatch.setattr(jwt, "encode", forged)
    with pytest.raises(Unauthenticated):
        sign_in(client_of(provider), "a@example.com")


def test_an_issuer_that_is_away_is_an_outage(provider: development.Issuer) -> None:
    del provider
    client = Issuer("http://127.0.0.1:9", "therouter", callback=CALLBACK, keys=(b"k" * 32,), groups={})
    with pytest.raises(Unavailable):
        client.begin("", "/console", afresh=False)


def test_plain_http_and_clouds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError):
        Issuer("http://id.example.com", "c", callback=CALLBACK, keys=(b"k" * 32,), groups={})
    with pytest.raises(SettingError):
        Issuer("https://id.example.com", "c", callback=CALLBACK, keys=(b"k" * 32,), groups={"g": "root"})
    monkeypatch.setenv("THEROUTER_CLOUD", "aws")
    with pytest.raises(SettingError):
        development.make_issuer()
    assert development.main(["--port", "0"]) == 1


def enter(house: House, email: str, *, groups: str = "", **query: str) -> tuple[int, str]:
    """(status of the callback, the session cookie)."""
    begun = house.ask("GET", "/admin/sign-in", token="", query=query)
    assert begun.status == 302, begun.text
    back = approve(begun.headers["location"], email, groups)
    kept = begun.headers["set-cookie"].partition(";")[0]
    done = house.ask("GET", "/admin/sign-in/callback", token="", query=back, headers={"cookie": kept})
    cookie = done.headers.get("set-cookie", "")
    assert not cookie or ("HttpOnly" in cookie and "SameSite=Lax" in cookie)
    return done.status, cookie.partition(";")[0]


def test_a_session_acts_with_its_persons_role_and_ends(database: Database, provider: development.Issuer) -> None:
    with open_house(database, client_of(provider)) as house:
        tenant = house.tenants["mine"]
        status, cookie = enter(house, f"viewer@{tenant}.example")
        assert status == 302
        me = house.ask("GET", "/admin/me", token="", headers={"cookie": cookie})
        assert (me.status, me.json["role"]) == (200, "viewer")
        csrf = {"cookie": cookie, "x-therouter-csrf": "1"}
        assert house.ask("PATCH", "/admin/tenant", {"name": "x"}, token="", headers={"cookie": cookie}).status == 403
        assert house.ask("PATCH", "/admin/tenant", {"name": "x"}, token="", headers=csrf).status == 403
        assert house.ask("POST", "/admin/sign-out", token="", headers=csrf).json == {"ended": True}
        assert house.ask("GET", "/admin/me", token="", headers={"cookie": cookie}).status == 401
        assert enter(house, "stranger@example.com") == (403, "")
        assert house.audit()[-1][1] == "session.create"


def test_dangerous_acts_ask_for_a_fresh_proof(database: Database, provider: development.Issuer) -> None:
    with open_house(database, client_of(provider)) as house:
        owner = f"owner@{house.tenants['mine']}.example"
        _, cookie = enter(house, owner)
        headers = {"cookie": cookie, "x-therouter-csrf": "1"}
        assert house.ask("PUT", "/admin/retention", {"days": 60}, token="", headers=headers).status == 200
        database.query("update therouter.person_session set proved_at = now() - interval '16 minutes'")
        refused = house.ask("PUT", "/admin/retention", {"days": 50}, token="", headers=headers)
        assert (refused.status, refused.json["error"]["code"]) == (403, "step_up_required")
        assert house.ask("PATCH", "/admin/tenant", {"name": "x"}, token="", headers=headers).status == 200
        _, fresh = enter(house, owner, afresh="1")
        headers["cookie"] = fresh
        assert house.ask("PUT", "/admin/retention", {"days": 50}, token="", headers=headers).status == 200


@pytest.mark.parametrize("name", ["jwks_uri", "token_endpoint"])
def test_an_issuer_sends_this_room_nowhere_but_to_hosts_that_the_deployment_names(
    provider: development.Issuer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    genuine = provider.configuration()
    for address in (
        "http://localhost:1/keys",
        "https://127.0.0.1/keys",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
    ):
        monkeypatch.setattr(provider, "configuration", lambda address=address: {**genuine, name: address})
        with pytest.raises(Unavailable):
            client_of(provider).begin("", "/console", afresh=False)
    elsewhere = genuine[name].replace("127.0.0.1", "localhost")
    monkeypatch.setattr(provider, "configuration", lambda: {**genuine, name: elsewhere})
    client_of(provider, hosts=["localhost"]).begin("", "/console", afresh=False)


def test_a_session_ends_after_an_hour(database: Database, provider: development.Issuer) -> None:
    with open_house(database, client_of(provider)) as house:
        _, cookie = enter(house, f"owner@{house.tenants['mine']}.example")
        ((lasts,),) = database.query("select expires_at - created_at from therouter.person_session")
        assert lasts == timedelta(seconds=SESSION_S) == timedelta(hours=1)
        assert house.ask("GET", "/admin/me", token="", headers={"cookie": cookie}).status == 200
        database.query("update therouter.person_session set expires_at = now()")
        assert house.ask("GET", "/admin/me", token="", headers={"cookie": cookie}).status == 401


def test_groups_decide_the_role_at_every_sign_in(database: Database, provider: development.Issuer) -> None:
    mapped = client_of(provider, groups={"eng": "member", "ops": "admin"})
    with open_house(database, mapped) as house:
        address = f"viewer@{house.tenants['mine']}.example"
        for groups, role in (("eng", "member"), ("eng,ops", "admin"), ("eng,other", "member")):
            status, cookie = enter(house, address, groups=groups)
            me = house.ask("GET", "/admin/me", token="", headers={"cookie": cookie}).json
            assert (status, me["role"]) == (302, role)
        assert enter(house, address, groups="other") == (403, "")


def test_every_route_that_is_dangerous_asks_for_a_fresh_proof(database: Database, provider: development.Issuer) -> None:
    with open_house(database, client_of(provider)) as house:
        database.query("update therouter.tenant set operator = true where name = 'mine'")
        _, cookie = enter(house, f"owner@{house.tenants['mine']}.example")
        database.query("update therouter.person_session set proved_at = now() - interval '16 minutes'")
        headers = {"cookie": cookie, "x-therouter-csrf": "1"}
        dangerous = [route for route in ROUTES if route.dangerous]
        assert len(dangerous) > 10
        bodies = {
            "UserChange": {"role": "viewer"}, "ByokNew": {"provider": "openai", "key": "a-provider-key"},
            "RetentionChange": {"days": 30}, "CloseRequest": {"confirm": "mine"},
            "TenantNew": {"name": "n", "owner_email": "o@example.com"}, "TenantState": {"state": "frozen"},
        }  # fmt: skip
        ids = {"tenant_id": house.tenants["other"], "key_id": house.people["mine", "member"].key_id}
        for route in dangerous:
            path = re.sub(r"<([a-z_]+)>", lambda m: ids.get(m[1], house.people["mine", "member"].user_id), route.path)
            body = bodies.get(route.body.__name__, {}) if route.body else None
            answer = house.ask(route.method, path, body, token="", headers=headers)
            assert (answer.status, answer.json["error"]["code"]) == (403, "step_up_required"), route


def test_sign_in_without_an_issuer_says_so(house: House) -> None:
    answer = house.ask("GET", "/admin/sign-in", token="")
    assert (answer.status, answer.json["error"]["code"]) == (404, "sign_in_not_configured")


@pytest.mark.parametrize("goal", ["//evil.example", "https://evil.example", "/console/../x", "/v1", "/console?x=1"])
def test_nobody_is_sent_to_another_place_afterwards(house: House, goal: str) -> None:
    assert house.ask("GET", "/admin/sign-in", token="", query={"goal": goal}).status == 400
