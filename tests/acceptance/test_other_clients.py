"""Other dialects and operations with the official libraries, against the whole system."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest
from anthropic import Anthropic
from google import genai
from openai import OpenAI

from tests.acceptance.cast import CAST, global_alone
from tests.acceptance.test_openai_client import eventually
from tests.system import RunningSystem
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
CLAUDE = CAST.second_model
GPT = CAST.first_model


@pytest.fixture
def claude(system: RunningSystem, key: str) -> Iterator[Anthropic]:
    with Anthropic(base_url=system.url, api_key=key, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", [CLAUDE, GPT])
def test_messages_whole_and_streamed_say_the_same(claude: Anthropic, model: str) -> None:
    asked = [{"role": "user", "content": "{{play well n=4}}"}]
    whole = claude.messages.create(model=model, max_tokens=64, messages=asked)  # type: ignore[arg-type]
    text = "".join(block.text for block in whole.content if block.type == "text")
    with claude.messages.stream(model=model, max_tokens=64, messages=asked) as stream:  # type: ignore[arg-type]
        assert stream.get_final_text() == text
        assert stream.get_final_message().usage.output_tokens == whole.usage.output_tokens


@global_alone
@pytest.mark.parametrize("model", [CLAUDE, GPT])
def test_tokens_can_be_counted(claude: Anthropic, model: str) -> None:
    counted = claude.messages.count_tokens(model=model, messages=[{"role": "user", "content": "hello there"}])
    assert counted.input_tokens > 0


def test_an_anthropic_client_gets_anthropic_errors(claude: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        claude.messages.create(model="nobody/nothing", max_tokens=1, messages=[{"role": "user", "content": "hi"}])
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["type"] == "not_found_error"


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_responses_whole_and_streamed(system: RunningSystem, key: str, model: str) -> None:
    with OpenAI(base_url=f"{system.url}/v1", api_key=key, max_retries=0) as client:
        whole = client.responses.create(model=model, input="{{play well n=3}}")
        assert whole.output_text
        assert whole.usage is not None
        events = list(client.responses.create(model=model, input="{{play well n=3}}", stream=True))
        assert events[-1].type == "response.completed"
        assert events[-1].response.output_text == whole.output_text


def test_gemini_clients_reach_any_model(system: RunningSystem, key: str) -> None:
    client = genai.Client(api_key=key, http_options={"base_url": system.url})
    answer = client.models.generate_content(model=GPT, contents="{{play well n=3}}")
    assert answer.text
    streamed = "".join(
        part.text or "" for part in client.models.generate_content_stream(model=GPT, contents="{{play well n=3}}")
    )
    assert streamed == answer.text


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_google_interactions_reach_any_model(system: RunningSystem, key: str) -> None:
    client = genai.Client(api_key=key, http_options={"base_url": system.url})
    whole: Any = client.interactions.create(model=GPT, input="{{play well n=3}}", store=False)
    assert whole.status == "completed"
    text = whole.output_text
    assert text
    said = ""
    kinds = []
    stream: Any = client.interactions.create(model=CLAUDE, input="{{play well n=3}}", store=False, stream=True)
    with stream as events:
        for event in events:
            kinds.append(event.event_type)
            if event.event_type == "step.delta" and event.delta.type == "text":
                said += event.delta.text
    assert said == text
    assert kinds[0] == "interaction.created"
    assert kinds[-1] == "interaction.completed"


@pytest.mark.parametrize(
    "extra",
    [{"previous_interaction_id": "v1_x"}, {"background": True}, {"agent": "deep-research"}, {"environment": "e"}],
)
def test_interactions_that_google_would_keep_are_refused_in_its_shape(
    system: RunningSystem, key: str, extra: dict[str, object]
) -> None:
    body = {"model": GPT, "input": "hi"} | extra
    answer = httpx.post(
        f"{system.url}/v1beta/interactions", headers={"x-goog-api-key": key}, json=body, timeout=PATIENCE_S
    )
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == next(iter(extra))
    assert "nothing is" in error["message"]


def test_a_stream_is_neither_buffered_nor_compressed_on_its_way(system: RunningSystem, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}", "Accept-Encoding": "gzip, br"}
    body = {"model": GPT, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    with httpx.stream(
        "POST", f"{system.url}/v1/chat/completions", headers=headers, json=body, timeout=PATIENCE_S
    ) as answer:
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["cache-control"] == "no-store"
        assert "content-encoding" not in answer.headers
        assert b"[DONE]" in answer.read()


@global_alone
def test_embeddings(system: RunningSystem, key: str) -> None:
    with OpenAI(base_url=f"{system.url}/v1", api_key=key, max_retries=0) as client:
        raw = client.embeddings.with_raw_response.create(model="openai/text-embedding-3-small", input=["a", "b"])
        assert len(raw.parse().data[0].embedding) > 0
        row = eventually(system, key, raw.headers["x-request-id"])
        assert row["prompt_tokens"] > 0
        assert row["completion_tokens"] == 0


@pytest.mark.claim("C4", "C5")
@pytest.mark.parametrize(
    "path",
    [
        "/v1/files",
        "/v1/batches",
        "/v1/responses/resp_1",
        "/v1/messages/batches",
        "/v1/vector_stores",
        "/v1beta/interactions/v1_x",
        "/v1beta/cachedContents",
    ],
)
def test_c5_routes_that_would_store_bodies_say_why_they_do_not_exist(
    system: RunningSystem, key: str, path: str
) -> None:
    answer = httpx.get(f"{system.url}{path}", headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE_S)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "content_not_stored"
