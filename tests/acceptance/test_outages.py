"""What clients see while something is broken: an outage is told as ours, and what can be served is served."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import msgspec
import pytest

from handlers.keys.grammar import MintKeys, generate_key
from handlers.local.access import LOCAL_TENANT
from handlers.local.aws import read_secret
from tests.acceptance.cast import CAST
from tests.acceptance.test_openai_client import eventually
from tests.system import RunningSystem
from tests.upstreams.scripted import ScriptedUpstream
from tests.waiting import PATIENCE_S, until

MODEL = CAST.first_model


def ask(system: RunningSystem, key: str, text: str = "hi", **more: object) -> httpx.Response:
    body = {"model": MODEL, "max_tokens": 32, "messages": [{"role": "user", "content": text}], **more}
    return httpx.post(
        f"{system.url}/v1/chat/completions", headers={"Authorization": f"Bearer {key}"}, json=body, timeout=30
    )


@contextmanager
def database_down(system: RunningSystem) -> Iterator[None]:
    system.local.postgres.crash()
    try:
        yield
    finally:
        system.local.postgres.start()


@pytest.mark.claim("C66", "A09")
def test_c66_without_the_database_known_keys_are_served_and_unknown_ones_are_never_told_401(
    system: RunningSystem,
) -> None:
    key, later = system.new_key("outage"), system.new_key("made after it")
    assert [ask(system, name).status_code for name in (key, later)] == [200, 200]
    # The news that a key was made makes the gateway look it up once more; news come in their order.
    system.access.store.revoke_key(str(LOCAL_TENANT), later.split("_")[1])
    until(lambda: ask(system, later).status_code == 401)
    assert ask(system, key).status_code == 200
    stranger = generate_key(
        CAST.region, "local", MintKeys.parse(read_secret(system.local.home.secrets, "keys/mint"))
    ).token
    with database_down(system):
        known = [ask(system, key) for _ in range(5)]
        assert [answer.status_code for answer in known] == [200] * 5, known[0].text
        unknown = ask(system, stranger)
        assert unknown.status_code == 503, unknown.text
        assert "retry-after" in unknown.headers
        assert ask(system, "sk-tr-nonsense").status_code == 401, "this needs no database to decide"
    for answer in known:
        row = eventually(system, key, answer.headers["x-request-id"])
        assert row["http_status"] == 200
        assert row["cost_nano"] == known_cost(answer, system)
    assert all(rule.difference == 0 for rule in system.access.store.check_ledger())


def known_cost(answer: httpx.Response, system: RunningSystem) -> int:
    from tests.faults.crashes import price_again  # noqa: PLC0415 - the one independent price computation

    return price_again(system, answer.json()["usage"], MODEL, CAST.first)


def test_a_pod_that_is_gone_is_told_with_what_was_tried(system: RunningSystem, key: str) -> None:
    pod = system.local.pods[CAST.first]
    pod.kill()
    try:
        answer = ask(system, key)
        assert answer.status_code == 503, answer.text
        error = answer.json()["error"]
        tried = {"provider": CAST.first, "code": "provider_unavailable", "status": 503}
        assert error["previous_errors"] == [tried, tried], "what cannot be reached is tried once more"
    finally:
        system.local.start_pod(CAST.first)
    until(lambda: ask(system, key).status_code == 200)


def open_stream(system: RunningSystem, key: str, text: str) -> tuple[socket.socket, str]:
    body = msgspec.json.encode({"model": MODEL, "stream": True, "messages": [{"role": "user", "content": text}]})
    connection = socket.create_connection(("127.0.0.1", system.port), timeout=PATIENCE_S)
    connection.sendall(
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    seen = b""
    while b"\r\n\r\n" not in seen or b"data: " not in seen:
        seen += connection.recv(65_536)
    head = seen.partition(b"\r\n\r\n")[0].decode()
    return connection, next(line[14:] for line in head.split("\r\n") if line.startswith("x-request-id: "))


@pytest.mark.claim("A71")
def test_a71_a_client_that_leaves_cancels_the_provider_within_a_second_and_pays_what_was_produced(
    system: RunningSystem, key: str, upstream: ScriptedUpstream
) -> None:
    connection, request_id = open_stream(system, key, "{{play well n=2000 delay_ms=20}}")
    seen = upstream.received[-1]
    left_at = time.monotonic()
    connection.close()
    assert upstream.wait_until(lambda _: seen.hung_up_at is not None, 2)
    assert seen.hung_up_at is not None
    assert seen.hung_up_at - left_at < 1.0
    row = eventually(system, key, request_id)
    assert (row["http_status"], row["error_type"], row["estimated"]) == (499, "cancelled", True)
    assert 0 < row["completion_tokens"] < 2000
    assert row["cost_nano"] > 0


def test_a_stream_that_breaks_ends_with_an_error_and_never_with_done(system: RunningSystem, key: str) -> None:
    answer = ask(system, key, "{{play reset-at k=900}}", stream=True)
    assert answer.status_code == 200
    assert "[DONE]" not in answer.text
    last = [line for line in answer.text.split("\n") if line.startswith("data: ")][-1]
    told = msgspec.json.decode(last[6:])
    assert told["error"]["code"]
    assert told["choices"][0]["finish_reason"] == "error"


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_before_the_first_event_tries_the_next_and_tells_what_was_tried(
    system: RunningSystem, key: str, stream: bool
) -> None:
    answer = ask(system, key, "{{play reset-at k=0}}", stream=stream, models=[MODEL, CAST.second_model])
    # Both providers read the same marker, so the second fails too: what was tried is told, and nothing was spliced.
    assert answer.status_code == 502, answer.text
    assert [tried["provider"] for tried in answer.json()["error"]["previous_errors"]] == [CAST.first, CAST.second]
