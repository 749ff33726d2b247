"""Attackers at the gate of the running system: raw bytes in, and a clear refusal in the client's shape out."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import msgspec
import pytest

from handlers.gateway.routes import ROUTES
from handlers.keys.grammar import MintKeys, generate_key
from handlers.keys.principal import KeyLimits
from handlers.local.access import LOCAL_TENANT
from handlers.local.aws import read_secret
from tests.acceptance.cast import CAST, OTHER
from tests.system import CREDENTIAL, RunningSystem
from tests.upstreams.scripted import ScriptedUpstream
from tests.waiting import PATIENCE_S

CHAT = "/v1/chat/completions"
BODY = {"model": CAST.first_model, "messages": [{"role": "user", "content": "hi"}]}


def raw(system: RunningSystem, request: bytes) -> bytes:
    """Everything that the gateway answers to these bytes before it closes."""
    with socket.create_connection(("127.0.0.1", system.port), timeout=PATIENCE_S) as connection:
        connection.sendall(request)
        answer = b""
        while data := connection.recv(65_536):
            answer += data
        return answer


def head(target: str, key: str = "", *extra: str, method: str = "GET", host: str = "Host: test") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", host, *extra, "Connection: close"]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    return ("\r\n".join(line for line in lines if line) + "\r\n\r\n").encode("latin-1")


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def post(system: RunningSystem, headers: dict[str, str], body: object = BODY) -> httpx.Response:
    return httpx.post(f"{system.url}{CHAT}", headers=headers, json=body, timeout=PATIENCE_S)


@pytest.mark.claim("C1")
@pytest.mark.parametrize("path", sorted(route.decode() for route in ROUTES))
def test_c1_every_route_but_the_public_ones_wants_a_key(system: RunningSystem, path: str) -> None:
    route = ROUTES[path.encode()]
    answer = httpx.request(
        route.method.decode(), f"{system.url}{path}", json=BODY if route.method == b"POST" else None, timeout=PATIENCE_S
    )
    if route.public:
        assert answer.status_code == 200
    else:
        assert answer.status_code in {401, 415}, answer.text


@pytest.mark.claim("A01")
@pytest.mark.parametrize(
    "host",
    ["Host: a/b", "Host: a?b", "Host: a#b", "Host: a@b", "Host: a b", "Host: " + "x" * 9_000, "Host: a\r\nHost: b", ""],
)
def test_a01_a_strange_host_never_changes_the_route(system: RunningSystem, key: str, host: str) -> None:
    answer = raw(system, head("/v1/key", key, host=host))
    assert status(answer) in {200, 400, 431}
    assert status(raw(system, head("/v1/key", host=host))) in {400, 401, 431}


@pytest.mark.claim("A03")
@pytest.mark.parametrize(
    "target",
    ["//v1/key", "/./v1/key", "/v1/../v1/key", "/v1/%6bey", "/v1%2fkey", "/v1/key;x", "/v1/key/", "/V1/KEY", "/v1/key%00",
     "/v1\\key", "/v1/key%c0%af", "/v1//key", "*", "v1/key"],
)  # fmt: skip
def test_a03_no_other_spelling_reaches_a_route(system: RunningSystem, key: str, target: str) -> None:
    assert status(raw(system, head(target, key))) in {400, 404}


@pytest.mark.claim("A04")
def test_a04_forwarding_headers_are_ignored(system: RunningSystem) -> None:
    extra = ("X-Original-URL: /healthz", "X-Rewrite-URL: /healthz", "X-HTTP-Method-Override: GET", "X-Forwarded-For: 127.0.0.1",
             "Forwarded: for=127.0.0.1", "CloudFront-Viewer-Country: CN")  # fmt: skip
    assert status(raw(system, head("/v1/key", "", *extra))) == 401


@pytest.mark.claim("A05")
@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "get", "PATCH", "DELETE", "OPTIONS", "X" * 1_000])
def test_a05_other_methods_are_refused(system: RunningSystem, key: str, method: str) -> None:
    assert status(raw(system, head("/v1/key", key, method=method))) in {400, 405, 414}


@pytest.mark.claim("A06")
@pytest.mark.parametrize(
    "lines",
    [
        ("Authorization: Bearer KEY", "Authorization: Bearer other"),
        ("Authorization: Bearer KEY", "x-api-key: other"),
        ("Authorization: Bearer KEY, Bearer other",),
        ("Authorization: Bearer  KEY",),
        ("Authorization: Bearer\tKEY",),
        ("Authorization: Basic KEY",),
        ("Authorization: ",),
        ("Authorization: Bearer ",),
        ("Authorization: Bearer " + "x" * 20_000,),
    ],
)
def test_a06_a_key_is_presented_once_and_plainly(system: RunningSystem, key: str, lines: tuple[str, ...]) -> None:
    filled = tuple(line.replace("KEY", key) for line in lines)
    assert status(raw(system, head("/v1/key", "", *filled))) in {400, 401}


@pytest.mark.claim("A07")
def test_a07_a_key_anywhere_else_does_not_count_and_is_not_logged(system: RunningSystem, key: str) -> None:
    assert httpx.get(f"{system.url}/v1/key", params={"key": key, "api_key": key}, timeout=PATIENCE_S).status_code == 401
    assert httpx.get(f"{system.url}/v1/key", headers={"Cookie": f"key={key}"}, timeout=PATIENCE_S).status_code == 401
    assert httpx.get(f"{system.url}/v1/{key}", timeout=PATIENCE_S).status_code == 404
    assert post(system, {}, {**BODY, "api_key": key}).status_code == 400
    assert key not in system.logs()


@pytest.mark.claim("A08", "C45")
def test_a08_a_key_of_the_other_region_is_refused_here(system: RunningSystem) -> None:
    mint_keys = MintKeys.parse(read_secret(system.local.home.secrets, "keys/mint"))
    foreign = generate_key(OTHER.region, "local", mint_keys).token
    answer = post(system, {"Authorization": f"Bearer {foreign}"})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "region_restricted"


@pytest.mark.claim("A18")
def test_a18_unknown_and_wrong_and_revoked_look_the_same(system: RunningSystem) -> None:
    mint_keys = MintKeys.parse(read_secret(system.local.home.secrets, "keys/mint"))
    unknown = generate_key(CAST.region, "local", mint_keys).token
    revoked = system.new_key("to be revoked")
    assert post(system, {"Authorization": f"Bearer {revoked}"}).status_code == 200
    system.access.store.revoke_key(str(LOCAL_TENANT), revoked.split("_")[1])
    revoked_at = asked_at = time.monotonic()
    while (said := post(system, {"Authorization": f"Bearer {revoked}"}).status_code) != 401:
        assert said in {200, 503}
        assert said != 200 or asked_at - revoked_at < 5, "revocation takes effect within five seconds"
        time.sleep(0.1)
        asked_at = time.monotonic()
    bodies = []
    for token in (unknown, revoked, "sk-tr-nonsense", "x"):
        answer = post(system, {"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401
        told = answer.json()
        del told["request_id"]
        bodies.append(msgspec.json.encode(told))
    assert len(set(bodies)) == 1, bodies


@pytest.mark.claim("A24")
def test_a24_what_follows_a_refused_request_is_not_read(system: RunningSystem, key: str) -> None:
    answer = raw(system, b"GET /v1/key HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n" + head("/v1/key", key))
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.claim("A30")
def test_a30_a_body_over_the_limit_is_refused_at_its_head(system: RunningSystem, key: str) -> None:
    lines = ("Content-Type: application/json", f"Content-Length: {10**9}")
    assert status(raw(system, head(CHAT, key, *lines, method="POST"))) == 413


@pytest.mark.claim("A31")
@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "gzip, gzip"])
def test_a31_compressed_requests_are_not_accepted(system: RunningSystem, key: str, encoding: str) -> None:
    headers = {"Authorization": f"Bearer {key}", "Content-Encoding": encoding, "Content-Type": "application/json"}
    assert httpx.post(f"{system.url}{CHAT}", headers=headers, content=b"x", timeout=PATIENCE_S).status_code == 415


@pytest.mark.claim("C30", "A57")
def test_c30_the_clients_key_and_headers_never_go_upstream(
    system: RunningSystem, key: str, upstream: ScriptedUpstream
) -> None:
    headers = {
        "Authorization": f"Bearer {key}",
        "Cookie": "c=1",
        "X-Forwarded-For": "192.0.2.1",
        "User-Agent": "secret-app/1",
    }
    assert post(system, headers).status_code == 200
    seen = upstream.received[-1]
    sent = b"\n".join(f"{name}: {value}".encode() for name, value in seen.headers) + seen.body
    for private in (key, "192.0.2.1", "c=1", "secret-app", str(LOCAL_TENANT)):
        assert private.encode() not in sent
    assert seen.header("authorization") == f"Bearer {CREDENTIAL}"


@pytest.mark.claim("A57", "C32")
def test_a57_an_upstream_error_that_echoes_credential_and_prompt_is_replaced(system: RunningSystem, key: str) -> None:
    prompt = "a prompt nobody else may see {{play echo}}"
    answer = post(
        system, {"Authorization": f"Bearer {key}"}, {**BODY, "messages": [{"role": "user", "content": prompt}]}
    )
    assert answer.status_code >= 400
    for private in (CREDENTIAL, "nobody else may see"):
        assert private not in answer.text
        assert private not in system.logs()


@pytest.mark.claim("A60")
def test_a60_a_limit_per_minute_admits_exactly_its_number(system: RunningSystem) -> None:
    limited = system.new_key("limited", KeyLimits(requests_per_minute=5))
    assert post(system, {"Authorization": f"Bearer {limited}"}).status_code == 200
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: post(system, {"Authorization": f"Bearer {limited}"}), range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [429] * 16
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 61


def test_a_models_allow_list_is_kept(system: RunningSystem) -> None:
    limited = system.new_key("one model", KeyLimits(models=frozenset({"openai/gpt-4o"})))
    answer = post(system, {"Authorization": f"Bearer {limited}"})
    assert answer.status_code in {400, 403}
    assert "allowed_models" in answer.text


def test_metrics_count_and_name_nobody(system: RunningSystem, key: str) -> None:
    assert post(system, {"Authorization": f"Bearer {key}"}).status_code == 200
    text = httpx.get(f"{system.url}/metrics", timeout=PATIENCE_S).text
    assert f'therouter_requests_total{{provider="{CAST.first}",outcome="ok",stream="false"}}' in text
    assert key not in text
    assert CAST.first_model.partition("/")[2] not in text
