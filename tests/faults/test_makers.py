"""Encrypted reasoning over two gateway processes: back to the credential that made it, and to no other."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from handlers.local.system import DATABASE
from handlers.store.connection import open_connection
from tests.gateways import Haste, extra_gateway
from tests.system import RunningSystem, running_system
from tests.upstreams.scripted import ScriptedUpstream
from tests.waiting import until

MODEL = "meta-llama/llama-3.3-70b-instruct"


@dataclass
class Pair:
    system: RunningSystem
    urls: tuple[str, str]
    key: str
    maker: ScriptedUpstream
    other: ScriptedUpstream

    def pieces_known(self) -> int:
        """Of how many pieces the database knows who made them."""
        with closing(open_connection(self.system.local.postgres.superuser(DATABASE), timeout_s=30)) as connection:
            ((count,),) = connection.run("select count(*)::int from therouter.bound_maker") or []
            return int(count)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with ScriptedUpstream() as maker, ScriptedUpstream(obedient=False) as other:
        addresses = {"groq": f"{maker.url}/openai/v1", "together": f"{other.url}/v1"}
        with running_system(addresses) as system, extra_gateway(system, Haste(), "second") as second:
            yield Pair(system, (system.url, second.url), system.new_key("makers"), maker, other)


def ask(pair: Pair, gateway: int, said: list[dict[str, Any]], **fields: Any) -> httpx.Response:
    body = {"model": MODEL, "max_tokens": 64, "messages": said, **fields}
    headers = {"Authorization": f"Bearer {pair.key}"}
    return httpx.post(f"{pair.urls[gateway]}/v1/chat/completions", headers=headers, json=body, timeout=30)


def begin(pair: Pair, *, stream: bool) -> list[dict[str, Any]]:
    """A conversation whose first answer, made at `groq` through the first gateway, carries a new piece."""
    piece = secrets.token_hex(12)
    said: list[dict[str, Any]] = [{"role": "user", "content": f"{{{{play well thought={piece}}}}}"}]
    before = pair.pieces_known()
    answer = ask(pair, 0, said, stream=stream, provider={"only": ["groq"]})
    assert answer.status_code == 200, answer.text
    assert piece in answer.text
    until(lambda: pair.pieces_known() > before)  # other gateways look into the database, and not again for a while
    details = [{"type": "reasoning.encrypted", "data": piece, "id": "r1", "index": 0}]
    return [
        *said,
        {"role": "assistant", "content": "a", "reasoning_details": details},
        {"role": "user", "content": "?"},
    ]


def warnings_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.headers.get("x-therouter-warnings", ""))


@pytest.mark.parametrize("stream", [False, True])
def test_another_gateway_sends_it_to_who_made_it(pair: Pair, stream: bool) -> None:
    talk = begin(pair, stream=stream)
    for gateway in (1, 0, 1):
        answer = ask(pair, gateway, talk, provider={"sort": "price"})
        assert answer.headers["x-therouter-provider"] == "groq", "whatever the order would have been"
        assert "provider_bound" not in warnings_of(answer)
        assert pair.maker.received[-1].json()["messages"][1] == talk[1]


@pytest.mark.parametrize("stream", [False, True])
def test_whoever_else_serves_gets_the_conversation_without_it(pair: Pair, stream: bool) -> None:
    talk = begin(pair, stream=stream)
    answer = ask(pair, 1, talk, stream=stream, provider={"only": ["together"]})
    assert "dropped:provider_bound_reasoning" in warnings_of(answer)
    assert pair.other.received[-1].json()["messages"][1] == {"role": "assistant", "content": "a"}


def test_a_fallback_leaves_it_out_and_says_so(pair: Pair) -> None:
    talk = begin(pair, stream=False)
    talk[0] = {"role": "user", "content": "{{play status code=500}}"}
    answer = ask(pair, 1, talk)
    assert answer.headers["x-therouter-provider"] == "together"
    assert answer.headers["x-therouter-attempts"] == "2"
    assert "dropped:provider_bound_reasoning" in warnings_of(answer)
    assert pair.maker.received[-1].json()["messages"][1] == talk[1]
    piece = talk[1]["reasoning_details"][0]["data"]
    assert piece.encode() not in pair.other.received[-1].body


def test_what_nobody_of_us_made_goes_to_nobody(pair: Pair) -> None:
    details = [{"type": "reasoning.encrypted", "data": "bWFkZSBlbHNld2hlcmU=", "id": "r1", "index": 0}]
    talk: list[dict[str, Any]] = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "a", "reasoning_details": details},
        {"role": "user", "content": "?"},
    ]
    answer = ask(pair, 1, talk, provider={"only": ["groq"], "require_parameters": True})
    assert "dropped:provider_bound_reasoning" in warnings_of(answer)
    assert b"bWFkZSBlbHNld2hlcmU" not in pair.maker.received[-1].body
    told = httpx.post(
        f"{pair.urls[0]}/v1/route",
        headers={"Authorization": f"Bearer {pair.key}"},
        json={"model": MODEL, "max_tokens": 64, "messages": [*begin(pair, stream=False), *talk]},
        timeout=30,
    ).json()
    assert told["provider_bound"] == [
        {"provider": "groq", "credential": "shared", "pieces": 1},
        {"provider": None, "credential": None, "pieces": 1},
    ]
