"""Requests of one session go to one provider, whichever gateway they come to and however the session is named."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.acceptance.cast import global_alone
from tests.gateways import Haste, extra_gateway
from tests.system import running_system
from tests.upstreams.scripted import ScriptedUpstream

pytestmark = global_alone
MODEL = "moonshotai/kimi-k3.1-pro"
"""Two of its providers ask the same price, and less for what their caches hold."""
SESSIONS = 12
SESSIONS_MAX = 100
"""By then chance has sent some to each provider."""


@pytest.fixture(scope="module")
def gateways() -> Iterator[tuple[tuple[str, str], str]]:
    with ScriptedUpstream() as upstream:
        addresses = {"together": f"{upstream.url}/v1", "fireworks": f"{upstream.url}/inference/v1"}
        with running_system(addresses) as system, extra_gateway(system, Haste(), "second") as second:
            yield (system.url, second.url), system.new_key("sessions")


def provider_of(url: str, key: str, text: str, header: str = "", **fields: Any) -> str:
    headers = {"Authorization": f"Bearer {key}"} | ({"X-Session-Id": header} if header else {})
    body = {"model": MODEL, "max_tokens": 16, "messages": [{"role": "user", "content": text}], **fields}
    answer = httpx.post(f"{url}/v1/chat/completions", headers=headers, json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    return str(answer.headers["x-therouter-provider"])


@pytest.mark.parametrize("named_by", ["header", "session_id", "prompt_cache_key", "beginning"])
def test_a_session_stays_with_its_provider_over_all_gateways(
    gateways: tuple[tuple[str, str], str], named_by: str
) -> None:
    (first, second), key = gateways
    seen: set[str] = set()
    sessions = 0
    while sessions < SESSIONS or (len(seen) < 2 and sessions < SESSIONS_MAX):
        sessions += 1
        name, texts = secrets.token_hex(8), [secrets.token_hex(8) for _ in range(3)]
        named: dict[str, Any] = {} if named_by == "beginning" else {named_by: name}
        asked = texts if named else [texts[0]] * 3
        served = {provider_of(url, key, text, **named) for url, text in zip((first, second, first), asked, strict=True)}
        assert len(served) == 1, "three different prompts, two gateways that have never heard of each other"
        seen |= served
    assert seen == {"together", "fireworks"}, "and sessions spread over all providers"
