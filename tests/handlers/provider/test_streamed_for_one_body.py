"""A client that wants one JSON answer, a provider that is asked for a stream: clocks, refusals and metering, by a real pod."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from handlers.errors import FailureClass
from tests.handlers.provider.pod_driver import PATIENT, Answer, PodProcess, chat
from tests.upstreams.answers import WORDS
from tests.upstreams.scripted import ScriptedUpstream

CLAUDE = "anthropic/claude-sonnet-4.5@anthropic"


@pytest.fixture
def fresh(upstream: ScriptedUpstream) -> Iterator[PodProcess]:
    """A pod that has not yet been refused anything."""
    with PodProcess("openai", f"{upstream.url}/v1") as process:
        yield process


def text_of(answer: Answer) -> str:
    body: dict[str, Any] = msgspec.json.decode(answer.body)
    return str(body["choices"][0]["message"]["content"])


def streamed(upstream: ScriptedUpstream, before: int) -> list[bool]:
    """Of each request since: whether it asked for a stream."""
    return [bool(one.json().get("stream")) for one in upstream.received[before:]]


PHASES = {
    "hang-before-headers": {"headers_ms": 400},
    "hang-after-headers": {"between_bytes_ms": 400},
    "endless kind=comment delay_ms=10": {"first_event_ms": 600},
    "endless kind=empty delay_ms=10": {"first_event_ms": 600},
    "endless kind=comment k=2 delay_ms=10": {"between_events_ms": 600},
    "hang-after k=5": {"between_bytes_ms": 400},
    "endless kind=text delay_ms=10": {"total_ms": 900},
    "drip delay_ms=30": {"total_ms": 900},
}
"""What a provider does, and the one clock that ends it."""


@pytest.mark.parametrize("play", PHASES)
def test_each_phase_has_its_clock_though_the_client_reads_one_body(pod: PodProcess, play: str) -> None:
    started = time.monotonic()
    deadlines = msgspec.structs.replace(PATIENT, **PHASES[play])
    answer = pod.ask(chat(play), deadlines=deadlines)
    assert answer.end.failure is FailureClass.TIMEOUT
    assert time.monotonic() - started < 4
    assert not answer.heads
    assert not answer.body  # nothing is committed: another endpoint may answer


def test_what_was_produced_before_a_timeout_is_metered(pod: PodProcess) -> None:
    deadlines = msgspec.structs.replace(PATIENT, between_bytes_ms=400)
    end = pod.ask(chat("hang-after k=5"), deadlines=deadlines).end
    assert end.semantic
    assert end.usage.estimated
    assert end.usage.completion_tokens > 0
    assert end.first_event_ms >= 0


@pytest.mark.claim("A71")
def test_a_client_that_leaves_in_the_middle_stops_the_provider_and_is_metered(
    pod: PodProcess, upstream: ScriptedUpstream
) -> None:
    before = len(upstream.received)
    exchange = pod.open(chat("well n=400 delay_ms=20"))
    assert upstream.wait_until(lambda up: len(up.received) > before)
    time.sleep(0.6)
    exchange.stop_sending()
    end = exchange.finish().end
    assert end.failure is FailureClass.CANCELLED
    assert 0 < end.usage.completion_tokens < 400
    assert upstream.wait_until(lambda up: up.received[before].hung_up_at is not None, timeout_s=1.5)


def test_usage_is_asked_for_and_told_and_the_stream_s_own_option_is_not(
    pod: PodProcess, upstream: ScriptedUpstream
) -> None:
    before = len(upstream.received)
    answer = pod.ask(chat("well"))
    sent = upstream.received[before].json()
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})
    told = msgspec.json.decode(answer.body)
    assert told["usage"]["total_tokens"] == 20
    assert not answer.end.usage.estimated
    assert told["object"] == "chat.completion"
    assert b"chunk" not in answer.body


@pytest.mark.parametrize("option", ["", " words=1"])
def test_a_provider_that_refuses_to_stream_is_asked_again_whole_and_not_asked_twice(
    fresh: PodProcess, upstream: ScriptedUpstream, option: str
) -> None:
    before = len(upstream.received)
    first = fresh.ask(chat(f"no-streams{option}"))
    assert first.end.failure is None
    assert text_of(first) == "".join(WORDS)
    assert streamed(upstream, before) == [True, False]
    second = fresh.ask(chat(f"no-streams{option}"))
    assert second.end.failure is None
    assert streamed(upstream, before) == [True, False, False]
    other = fresh.ask(chat("well"), endpoint="openai/gpt-4o@openai", public_model="openai/gpt-4o")
    assert other.end.failure is None
    assert streamed(upstream, before)[-1]  # of another model it is not known


def test_a_client_that_reads_a_stream_gets_one_from_a_provider_that_refuses_to_stream(
    fresh: PodProcess, upstream: ScriptedUpstream
) -> None:
    before = len(upstream.received)
    answer = fresh.ask(chat("no-streams", stream=True), stream=True)
    assert answer.end.failure is None
    assert WORDS[0].encode() in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert streamed(upstream, before) == [True, False]
    again = fresh.ask(chat("no-streams", stream=True), stream=True)
    assert again.end.failure is None
    assert streamed(upstream, before) == [True, False, False]  # though what its body says beside the messages is known


def test_a_stream_that_is_refused_for_another_reason_is_refused(pod: PodProcess, upstream: ScriptedUpstream) -> None:
    before = len(upstream.received)
    answer = pod.ask(chat("status code=400 type=invalid_request_error"))
    assert answer.end.failure is FailureClass.INVALID_REQUEST
    assert len(upstream.received) == before + 1


def test_one_json_document_in_answer_to_the_wish_for_a_stream_is_the_answer(
    pod: PodProcess, upstream: ScriptedUpstream
) -> None:
    whole = pod.ask(chat("well"), upstream_stream=False)
    before = len(upstream.received)
    told = pod.ask(chat("json-for-stream"))
    assert streamed(upstream, before) == [True]
    assert told.body == whole.body
