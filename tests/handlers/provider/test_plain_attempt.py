"""The short way of a pod ends as the long way ends, whatever an upstream does."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from handlers.errors import FailureClass
from handlers.transport.frames import FrameReader, decode_end
from handlers.transport.wire import PLAIN_HEAD, FrameKind, WireEnd
from tests.bench.stages import Chain, first_answer
from tests.bench.traffic import chat_body, completion
from tests.handlers.provider.pod_driver import PATIENT, Answer, PodProcess, chat
from tests.handlers.provider.test_attempt import AFTER_COMMIT, BEFORE_COMMIT, HARMLESS, SILENT, SOON
from tests.upstreams.scripted import ScriptedUpstream
from tests.waiting import until

ALL = (
    *BEFORE_COMMIT, *AFTER_COMMIT, *HARMLESS, "well tool=1", "well n=200000", "no-content", "wrong-length", "large-call",
    "echo code=400", "usage kind=missing", "usage kind=negative", "usage kind=huge", "usage kind=cached-over-prompt",
    "usage kind=nan", "text",
)  # fmt: skip
PLAYS = [play for play in ALL if not play.startswith("endless")]
"""What strikes first in an endless answer, a limit or a deadline, is chance."""
LONG = {"metadata": None}
"""A field that changes nothing, and is none of those whose values are kept."""


def ask(pod: PodProcess, play: str, **fields: Any) -> Answer:
    deadlines = SOON if play.startswith(SILENT) else PATIENT
    return pod.ask(chat(play, max_tokens=1000, **fields), upstream_stream=False, deadlines=deadlines)


def told(answer: Answer) -> tuple[list[FrameKind], WireEnd, Any]:
    """Everything but the answer's own id and time, and a HEAD that says what its absence says."""
    kinds = answer.kinds[answer.heads == [PLAIN_HEAD] :]
    body = msgspec.json.decode(answer.body) if answer.body else None
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if name not in {"id", "created"}}
    if answer.end.failure is FailureClass.TIMEOUT:  # what had come by then is chance
        return kinds, WireEnd(failure=FailureClass.TIMEOUT), body
    return kinds, answer.end, body


def test_every_play_ends_the_same_both_ways(pod: PodProcess) -> None:
    ask(pod, "well")  # from now on the settings are known
    with ThreadPoolExecutor(12) as workers:
        short = dict(zip(PLAYS, workers.map(lambda play: told(ask(pod, play)), PLAYS), strict=True))
        long = dict(zip(PLAYS, workers.map(lambda play: told(ask(pod, play, **LONG)), PLAYS), strict=True))
    for play in PLAYS:
        assert short[play] == long[play], play
    harmless = [play for play in HARMLESS if not play.startswith("sse")]
    assert {play: short[play][1].failure for play in harmless} == dict.fromkeys(harmless)
    failures = {short[play][1].failure for play in PLAYS}
    assert {FailureClass.TRUNCATED, FailureClass.TIMEOUT, FailureClass.MALFORMED, FailureClass.RATE_LIMITED} <= failures


@pytest.mark.claim("A71")
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("play", ["hang-before-headers", "hang-after-headers"])
def test_a71_a_cancelled_exchange_cancels_the_upstream_at_once(
    pod: PodProcess, upstream: ScriptedUpstream, play: str, *, half: bool
) -> None:
    ask(pod, "well")
    before = len(upstream.received)
    exchange = pod.open(chat(play, max_tokens=1000), upstream_stream=False)
    assert upstream.wait_until(lambda seen: len(seen.received) > before)
    cancelled_at = time.monotonic()
    if half:
        exchange.stop_sending()
        assert exchange.finish().end.failure is FailureClass.CANCELLED
    else:
        exchange.socket.close()
    call = upstream.received[before]
    assert upstream.wait_until(lambda _: call.hung_up_at is not None, 2)
    assert call.hung_up_at is not None
    assert call.hung_up_at - cancelled_at < 1


def test_a_credential_that_was_renewed_is_used_at_once(upstream: ScriptedUpstream) -> None:
    with PodProcess("openai", f"{upstream.url}/v1") as pod:
        for _ in range(2):
            ask(pod, "well")
            assert pod.credential in upstream.received[-1].header("authorization")
        pod.rotate()

        def takes_the_new_one() -> bool:
            ask(pod, "well")
            return pod.credential in upstream.received[-1].header("authorization")

        until(takes_the_new_one)


def test_a_head_travels_only_if_it_says_something(pod: PodProcess) -> None:
    for _ in range(2):
        answer = ask(pod, "well")
        warned = ask(pod, "well", top_k=3)
    assert answer.kinds == [FrameKind.END]
    assert answer.end.failure is None
    assert warned.kinds == [FrameKind.HEAD, FrameKind.END]
    assert warned.heads[0].headers == {"x-therouter-warnings": "dropped:top_k"}


def test_an_answer_that_comes_in_twos_costs_no_more_memory_than_its_bytes(tmp_path: Path) -> None:
    async def scene() -> None:
        path = Chain(tmp_path)
        request = path.request(chat_body(stream=False))
        await first_answer(path, request)
        path.send(request, [completion()], [0] * 4)
        path.client_end.data_received(request)
        path.pod_end.data_received(path.to_pod.take())
        path.upstream_end.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 200001\r\n\r\n{")
        tracemalloc.start()
        for _ in range(100_000):
            path.upstream_end.data_received(bytes([0x20, 0x0A]))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 8 * 200_000, "joined and handed over to the long way at its end"
        ((kind, _, end),) = FrameReader().feed(path.to_gateway.take())
        assert (kind, decode_end(end)[0].failure) == (FrameKind.END, FailureClass.MALFORMED)
        await path.gateway.recorder.stop(1.0)

    asyncio.run(scene())
