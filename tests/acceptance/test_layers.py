"""What a client can see of the layers behind the address: nothing is kept on its side, and it knows and decides who is asked."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.acceptance.cast import CAST
from tests.system import RunningSystem
from tests.upstreams.scripted import ScriptedUpstream

MODEL = CAST.first_model
OTHER = CAST.second_model


@pytest.fixture
def client(system: RunningSystem, key: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=system.url, headers=headers, trust_env=False, timeout=30) as client:
        yield client


def ask(client: httpx.Client, text: str = "hi", **more: object) -> httpx.Response:
    body = {"model": MODEL, "max_tokens": 32, "messages": [{"role": "user", "content": text}], **more}
    return client.post("/v1/chat/completions", json=body)


@pytest.mark.claim("C24")
def test_c24_no_answer_leaves_anything_with_the_client(client: httpx.Client) -> None:
    stranger = {"Authorization": "Bearer sk-tr-nonsense"}
    answers = {
        "chat": ask(client),
        "stream": ask(client, stream=True),
        "messages": client.post(
            "/v1/messages", json={"model": OTHER, "max_tokens": 8, "messages": [{"role": "user", "content": "hi"}]}
        ),
        "embeddings": client.post("/v1/embeddings", json={"model": "openai/text-embedding-3-small", "input": "hi"}),
        "with a provider's cookie": ask(client, "{{play headers}}"),
        "failed upstream": ask(client, "{{play status code=500}}"),
        "bad input": client.post("/v1/chat/completions", content=b"{"),
        "no key": client.get("/v1/key", headers=stranger),
        "no such route": client.get("/v1/nothing"),
        "no such method": client.delete("/v1/models"),
        "not kept": client.get("/v1/files"),
        "models": client.get("/v1/models"),
        "model": client.get(f"/v1/models/{MODEL}"),
        "key": client.get("/v1/key"),
        "generation": client.get("/v1/generation", params={"id": "nothing"}),
    }
    assert {answer.status_code for answer in answers.values()} >= {200, 400, 401, 404, 405, 502}
    assert {name: answer.headers.get("cache-control") for name, answer in answers.items()} == dict.fromkeys(
        answers, "no-store"
    )
    assert [name for name, answer in answers.items() if "set-cookie" in answer.headers] == []
    assert list(client.cookies.jar) == []


@pytest.mark.claim("C33")
def test_c33_the_answer_says_who_served_and_the_catalogue_says_where_and_how_long_they_keep_it(
    client: httpx.Client,
) -> None:
    assert ask(client).headers["x-therouter-provider"] == CAST.first
    endpoints = client.get(f"/v1/models/{MODEL}/endpoints").json()["data"]["endpoints"]
    assert endpoints
    for endpoint in endpoints:
        assert len(endpoint["country"]) == 2
        assert set(endpoint["data_policy"]) == {"retention_days", "trains"}


@pytest.mark.claim("C33")
@pytest.mark.parametrize(
    ("wish", "reason"), [({"zdr": True}, "data_policy:zdr"), ({"only": [CAST.third]}, "allowed_providers")]
)
def test_c33_what_a_restriction_excludes_is_named_and_nothing_is_sent(
    client: httpx.Client, upstream: ScriptedUpstream, wish: dict[str, object], reason: str
) -> None:
    before = len(upstream.received)
    answer = ask(client, models=[OTHER], provider=wish)
    assert answer.status_code == 400
    assert answer.json()["error"]["availability"]["excluded_by"] == {reason: 2}
    assert len(upstream.received) == before


@pytest.mark.claim("C33")
def test_c33_fallback_does_not_relax_it(client: httpx.Client, upstream: ScriptedUpstream) -> None:
    before = len(upstream.received)
    answer = ask(client, "{{play status code=500}}", models=[OTHER], provider={"only": [CAST.first]})
    assert answer.status_code == 502
    asked = [received.target for received in upstream.received[before:]]
    assert asked
    assert set(asked) == {"/v1/chat/completions"}


@pytest.mark.claim("C71")
@pytest.mark.parametrize("code", ["500", "503", "429"])
def test_c71_a_provider_that_fails_is_replaced_by_another(
    client: httpx.Client, upstream: ScriptedUpstream, code: str
) -> None:
    upstream.play("status", code=code)
    answer = ask(client, models=[OTHER])
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-therouter-provider"] in {CAST.first, CAST.second}
    assert int(answer.headers["x-therouter-attempts"]) == 2
