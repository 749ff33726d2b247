"""A real application with the official OpenAI library, against the whole system."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from tests.acceptance.cast import CAST, global_alone
from tests.system import RunningSystem
from tests.upstreams.scripted import ScriptedUpstream
from tests.waiting import PATIENCE_S

MODEL = CAST.first_model


@pytest.fixture
def client(system: RunningSystem, key: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{system.url}/v1", api_key=key, max_retries=0) as made:
        yield made


def ask(client: OpenAI, text: str = "hello", model: str = MODEL) -> openai.types.chat.ChatCompletion:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])


def test_an_answer_and_its_usage(client: OpenAI) -> None:
    answer = ask(client)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_has_the_same_text(client: OpenAI) -> None:
    whole = ask(client, "{{play well n=5}}").choices[0].message.content
    stream = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "{{play well n=5}}"}], stream=True
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole
    assert all(chunk.usage is None for chunk in chunks), "usage was not asked for"


def test_usage_in_a_stream_when_asked_for(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "hi"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    last = list(stream)[-1]
    assert last.usage is not None
    assert last.usage.completion_tokens > 0


@global_alone
def test_an_openai_client_reaches_an_anthropic_model(client: OpenAI, upstream: ScriptedUpstream) -> None:
    answer = ask(client, model=CAST.second_model)
    assert answer.choices[0].message.content
    assert upstream.received[-1].target == "/v1/messages"


def test_the_metadata_of_a_generation_can_be_read_back(client: OpenAI, system: RunningSystem, key: str) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=[{"role": "user", "content": "hi"}])
    usage = raw.parse().usage
    assert usage is not None
    row = eventually(system, key, raw.headers["x-request-id"])
    assert row["model"] == MODEL
    assert row["prompt_tokens"] == usage.prompt_tokens
    assert row["completion_tokens"] == usage.completion_tokens
    assert row["total_cost"] > 0
    assert row["http_status"] == 200
    assert row["content"] is None


def eventually(system: RunningSystem, key: str, request_id: str) -> dict[str, Any]:
    """The row of a request, once it is settled."""
    headers = {"Authorization": f"Bearer {key}"}
    deadline = time.monotonic() + PATIENCE_S
    with httpx.Client(base_url=system.url, headers=headers, timeout=PATIENCE_S) as client:
        while (answer := client.get("/v1/generation", params={"id": request_id})).status_code != 200:
            assert time.monotonic() < deadline, f"no row for {request_id}: {answer.text}"
            time.sleep(0.05)
    data: dict[str, Any] = answer.json()["data"]
    return data


def test_responses_say_who_served_them(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=[{"role": "user", "content": "hi"}])
    assert raw.headers["x-therouter-provider"] == CAST.first
    assert raw.headers["x-therouter-model"] == MODEL
    assert raw.headers["x-therouter-attempts"] == "1"
    assert raw.headers["x-therouter-credential"] == "shared"
    assert raw.headers["cache-control"] == "no-store"


def test_an_unknown_model_is_a_404_with_the_nearest_names(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, model=CAST.misspelt)
    assert CAST.first_model in str(caught.value)


def test_a_wrong_key_is_refused_in_the_clients_shape(system: RunningSystem, key: str) -> None:
    with (
        OpenAI(
            base_url=f"{system.url}/v1", api_key=key[:-1] + ("0" if key[-1] != "0" else "1"), max_retries=0
        ) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        ask(client)


def test_a_provider_that_fails_is_told_as_its_failure(client: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client, "{{play status code=500}}")
    assert caught.value.status_code == 502


def test_fallback_to_another_model_is_invisible(client: OpenAI) -> None:
    answer = client.chat.completions.with_raw_response.create(
        model=CAST.first_model,
        messages=[{"role": "user", "content": "hi"}],
        extra_body={"models": [CAST.second_model], "provider": {"ignore": [CAST.first]}},
    )
    assert answer.headers["x-therouter-provider"] == CAST.second


def test_models_have_prices_and_abilities(client: OpenAI, system: RunningSystem) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert MODEL in listed
    described = httpx.get(f"{system.url}/v1/models/{MODEL}", timeout=PATIENCE_S).json()
    assert float(described["pricing"]["prompt"]) > 0
    assert described["pricing_version"]
    endpoints = httpx.get(f"{system.url}/v1/models/{MODEL}/endpoints", timeout=PATIENCE_S).json()["data"]["endpoints"]
    assert [endpoint["tag"] for endpoint in endpoints] == [CAST.first]


def test_the_key_tells_its_spending(system: RunningSystem, key: str) -> None:
    told = httpx.get(f"{system.url}/v1/key", headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE_S).json()[
        "data"
    ]
    assert told["label"].startswith("acceptance")
    assert told["balance"] > 0


def said(text: str, **fields: object) -> dict[str, object]:
    return {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": text}], **fields}


@global_alone
def test_route_explains_every_dialect(system: RunningSystem, key: str, upstream: ScriptedUpstream) -> None:
    before = len(upstream.received)
    parts: dict[str, object] = {"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 100}}
    asked: dict[str, dict[str, object]] = {
        "": said("hi"),
        "/chat/completions": said("hi"),
        "/messages": said("hi"),
        "/messages/count_tokens": said("hi"),
        "/responses": {"model": MODEL, "max_output_tokens": 100, "input": "hi"},
        "/completions": {"model": MODEL, "max_tokens": 100, "prompt": "hi"},
        "/embeddings": {"model": "openai/text-embedding-3-small", "input": "hi"},
        f"/models/{MODEL}:generateContent": parts,
        f"/models/{MODEL}:streamGenerateContent": parts,
    }
    for path, body in asked.items():
        told = httpx.post(
            f"{system.url}/v1/route{path}", headers={"Authorization": f"Bearer {key}"}, json=body, timeout=PATIENCE_S
        )
        assert told.status_code == 200, (path, told.text)
        assert [attempt["provider"] for attempt in told.json()["attempts"]] == [CAST.first], path
        assert told.json()["worst_case_cost"] > 0, path
    wrong = httpx.post(
        f"{system.url}/v1/route/messages",
        headers={"Authorization": f"Bearer {key}"},
        json=said("x", model="a/nothing"),
        timeout=PATIENCE_S,
    )
    assert (wrong.status_code, wrong.json()["type"]) == (404, "error"), "errors are told in the explained dialect"
    for nowhere in ("/nothing", "/models", "/key", "/route"):
        assert httpx.post(f"{system.url}/v1/route{nowhere}", json={}, timeout=PATIENCE_S).status_code == 404
    assert len(upstream.received) == before


def test_route_explains_without_doing(system: RunningSystem, key: str, upstream: ScriptedUpstream) -> None:
    before = len(upstream.received)
    answer = httpx.post(
        f"{system.url}/v1/route",
        headers={"Authorization": f"Bearer {key}"},
        json={"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]},
        timeout=PATIENCE_S,
    ).json()
    assert [attempt["provider"] for attempt in answer["attempts"]] == [CAST.first]
    assert answer["worst_case_cost"] > 0
    assert len(upstream.received) == before
