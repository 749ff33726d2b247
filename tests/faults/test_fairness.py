"""One tenant asks for far more than a provider's pod can carry; the others notice nothing."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import msgspec
import pytest

from tests.gateways import Haste, extra_gateway
from tests.http_client import Answer, Client
from tests.system import running_system
from tests.upstreams.scripted import ScriptedUpstream
from tests.waiting import eventually

PLACES = 16
NOISY = 100
"""Requests at once, of an account whose share of sixteen places beside another is eight."""
ASKED = 30
MODEL = "meta-llama/llama-3.3-70b-instruct"
PATH = "/v1/chat/completions"


def body(marker: str) -> bytes:
    said = [{"role": "user", "content": f"{{{{play {marker}}}}}"}]
    return msgspec.json.encode({"model": MODEL, "max_tokens": 64, "stream": True, "messages": said})


async def keep_asking(port: int, key: str, over: asyncio.Event, seen: Counter[int]) -> None:
    client = Client(port, key)
    while not over.is_set():
        seen[(await client.post(PATH, body("well n=5 delay_ms=200"), 30.0)).status] += 1
        await asyncio.sleep(0.2)  # not faster than two processors refuse: only the places are to be scarce
    client.close()


async def ask(port: int, key: str) -> list[tuple[Answer, float]]:
    client, answers = Client(port, key), []
    for _ in range(ASKED):
        started = time.monotonic()
        answers.append((await client.post(PATH, body("well")), time.monotonic() - started))
        await asyncio.sleep(0.02)
    client.close()
    return answers


async def beside_noise(port: int, noisy: str, quiet: str) -> tuple[list[tuple[Answer, float]], Counter[int]]:
    over, seen = asyncio.Event(), Counter[int]()
    noise = [asyncio.create_task(keep_asking(port, noisy, over, seen)) for _ in range(NOISY)]
    await eventually(lambda: seen[503])  # it has filled what it may
    answers = await ask(port, quiet)
    over.set()
    await asyncio.gather(*noise)
    return answers, seen


@pytest.mark.claim("A75")
def test_a75_a_noisy_neighbour_takes_no_place_from_others() -> None:
    with ScriptedUpstream() as upstream, running_system({"groq": f"{upstream.url}/openai/v1"}) as system:
        noisy, quiet = system.new_account("noisy"), system.new_account("quiet")
        with extra_gateway(system, Haste(places=PLACES), "fair") as gateway:
            answers, seen = asyncio.run(beside_noise(gateway.port, noisy, quiet))
    assert [answer.status for answer, _ in answers] == [200] * ASKED
    assert seen[503] > NOISY, "the noisy one was over the limit all the while"
    assert seen[200] > PLACES, "and was served what there was"
    # A place in line would have cost up to 100 ms each time; a noisy request holds its place for a second.
    times = sorted(seconds for _, seconds in answers)
    assert times[ASKED // 2] < 0.5, times
