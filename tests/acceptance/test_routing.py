"""Routing as a client sees it: who served, who might have, and why nobody could."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from handlers.gateway.health import Condition
from tests.acceptance.cast import CAST, global_alone
from tests.system import RunningSystem
from tests.upstreams.scripted import ScriptedUpstream
from tests.waiting import PATIENCE_S

CLAUDE, GPT = CAST.second_model, CAST.first_model


def ask(system: RunningSystem, key: str, path: str = "/v1/chat/completions", **fields: Any) -> httpx.Response:
    said = [{"role": "user", "content": fields.pop("text", "hi")}]
    body = {"model": GPT, "max_tokens": 32, "messages": said, **fields}
    return httpx.post(f"{system.url}{path}", headers={"Authorization": f"Bearer {key}"}, json=body, timeout=30)


@global_alone
def test_a_parameter_that_would_be_dropped_is_named_or_refused_as_the_client_wishes(
    system: RunningSystem, key: str, upstream: ScriptedUpstream
) -> None:
    dropped = ask(system, key, model=CLAUDE, seed=7)
    assert dropped.status_code == 200
    assert "dropped:seed" in dropped.headers["x-therouter-warnings"]
    before = len(upstream.received)
    refused = ask(system, key, model=CLAUDE, seed=7, provider={"require_parameters": True})
    assert refused.status_code == 400, refused.text
    availability = refused.json()["error"]["availability"]
    assert (availability["code"], availability["excluded_by"]) == ("constraint_filtered", {"require_parameters": 1})
    assert availability["constraint"] == {"field": "provider.require_parameters", "detail": "seed"}
    assert len(upstream.received) == before, "nothing is sent that would be answered otherwise than asked"
    other = ask(system, key, model=CLAUDE, models=[GPT], seed=7, provider={"require_parameters": True})
    assert (other.status_code, other.headers["x-therouter-provider"]) == (200, CAST.first)
    assert other.headers["x-therouter-attempts"] == "1", "decided before anything was tried"
    messages = ask(system, key, "/v1/messages", model=GPT, context_management={}, provider={"require_parameters": True})
    assert messages.json()["error"]["availability"]["constraint"]["detail"] == "context_management"


def test_a_failure_tells_who_was_tried_and_when_to_come_back(system: RunningSystem, key: str) -> None:
    answer = ask(system, key, text="{{play status code=429 retry_after=3}}", models=[GPT, CLAUDE])
    assert answer.status_code == 429, answer.text
    assert answer.headers["retry-after"] == "3"
    error = answer.json()["error"]
    assert [row["provider"] for row in error["previous_errors"]] == [CAST.first, CAST.second]
    assert error["availability"] == {
        "code": "capacity_exhausted",
        "retryable": True,
        "retry_after": 3,
        "requested_models": [GPT, CLAUDE],
        "affected_providers": sorted([CAST.first, CAST.second]),
        "excluded_by": error["availability"]["excluded_by"],
    }
    for model in (GPT, CLAUDE):
        assert ask(system, key, model=model).status_code == 200


def test_what_excludes_every_endpoint_is_counted(system: RunningSystem, key: str) -> None:
    answer = ask(system, key, provider={"max_price": {"prompt": 0.000001}})
    assert answer.status_code == 400
    availability = answer.json()["error"]["availability"]
    assert availability["code"] == "constraint_filtered"
    assert availability["excluded_by"] == {"max_price": 1}
    assert availability["not_chosen"] == [{"endpoint": f"{GPT}@{CAST.first}", "reason": "max_price"}]


def test_a_plan_is_told_with_the_condition_of_each_endpoint(system: RunningSystem, key: str) -> None:
    answer = ask(system, key, "/v1/route", models=[CLAUDE], provider={"sort": {"by": "price", "partition": "none"}})
    told = answer.json()["attempts"]
    assert {row["provider"] for row in told} == {CAST.first, CAST.second}
    words = {condition.name.lower() for condition in Condition}
    assert {row["condition"] for row in told} <= words, "which one depends on what other tests did to the providers"


def test_endpoints_have_live_figures(system: RunningSystem, key: str) -> None:
    assert ask(system, key, text="{{play well n=20 delay_ms=10}}", stream=True).status_code == 200
    deadline = time.monotonic() + 10
    while True:
        row = httpx.get(f"{system.url}/v1/models/{GPT}/endpoints", timeout=PATIENCE_S).json()["data"]["endpoints"][0]
        if row["throughput_last_5m"] is not None or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert 0 < row["uptime_last_5m"] <= 100
    assert row["uptime_last_30m"] is not None
    assert row["uptime_last_1d"] is not None
    assert set(row["throughput_last_30m"]) == {"p50", "p75", "p90", "p99"}
    assert 0 < row["latency_last_5m"]["p50"] < 10, "seconds"


def test_metrics_tell_of_strain_and_of_what_is_broken(system: RunningSystem, key: str) -> None:
    assert ask(system, key, text="{{play status code=500}}").status_code == 502
    assert ask(system, key, text="{{play well n=20 delay_ms=10}}", stream=True).status_code == 200
    text = httpx.get(f"{system.url}/metrics", timeout=PATIENCE_S).text
    for name in ("therouter_output_tokens_per_second_count{", "therouter_failed_attempts_total{"):
        assert f"\n{name}provider=" in text
    for name in ("therouter_overload_level", "therouter_loop_lag_seconds", "therouter_broken_endpoints"):
        assert f"\n{name} " in text


FACTS = {"provider": CAST.first, "model": GPT, "attempts": 1, "credential": "shared"}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_the_body_says_who_served_it_where_the_client_asks(system: RunningSystem, key: str, path: str) -> None:
    body = {"model": GPT, "max_tokens": 32, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"Authorization": f"Bearer {key}", "X-OpenRouter-Metadata": "enabled"}
    whole = httpx.post(f"{system.url}{path}", headers=headers, json=body, timeout=30)
    assert whole.json()["openrouter_metadata"] == FACTS
    told = {name: whole.headers[f"x-therouter-{name}"] for name in FACTS}
    assert told == {name: str(value) for name, value in FACTS.items()}, "as the headers say"
    stream = httpx.post(f"{system.url}{path}", headers=headers, json={**body, "stream": True}, timeout=30)
    assert stream.text.startswith(f": served by provider={CAST.first} model={GPT} attempts=1 credential=shared\n\n")
    del headers["X-OpenRouter-Metadata"]
    plain = httpx.post(f"{system.url}{path}", headers=headers, json=body, timeout=30)
    assert "openrouter_metadata" not in plain.json()
