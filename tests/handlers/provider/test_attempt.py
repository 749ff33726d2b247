"""Every fault of an upstream, through a real pod process: the right class, exactly one END, and nothing of it at the client."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import msgspec
import pytest

from handlers.errors import FailureClass
from handlers.transport.wire import FrameKind, WireDeadlines
from tests.handlers.provider.pod_driver import PATIENT, Answer, PodProcess, chat
from tests.upstreams.answers import WORDS
from tests.upstreams.scripted import ScriptedUpstream

SOON = WireDeadlines(
    connect_ms=2_000, headers_ms=400, first_event_ms=600, between_bytes_ms=400, between_events_ms=600, total_ms=3_000
)
F = FailureClass
BEFORE_COMMIT = {
    "slam": F.TRUNCATED,
    "hang-before-headers": F.TIMEOUT,
    "hang-after-headers": F.TIMEOUT,
    "hang-after k=2": F.TIMEOUT,
    "reset-at k=40": F.TRUNCATED,
    "reset-at k=150": F.TRUNCATED,
    "truncate-at k=40": F.TRUNCATED,
    "truncate-at k=150": F.TRUNCATED,
    "garbage": F.MALFORMED,
    "error-in-200": F.OVERLOADED,
    "error-in-200 k=1": F.OVERLOADED,
    "error-in-200 type=rate_limit_error": F.RATE_LIMITED,
    "status code=400 type=invalid_request_error": F.INVALID_REQUEST,
    "status code=400 type=context_length_exceeded": F.CONTEXT_LENGTH,
    "status code=400 type=content_policy_violation": F.CONTENT_POLICY,
    "status code=401 type=invalid_api_key": F.UNAUTHENTICATED_UPSTREAM,
    "status code=402": F.QUOTA,
    "status code=403 type=permission_error": F.UNAUTHENTICATED_UPSTREAM,
    "status code=404 type=model_not_found": F.NOT_FOUND_UPSTREAM,
    "status code=408": F.TIMEOUT,
    "status code=429": F.RATE_LIMITED,
    "status code=429 retry_after=2": F.RATE_LIMITED,
    "status code=429 type=insufficient_quota": F.QUOTA,
    "status code=500": F.SERVER_ERROR,
    "status code=502": F.SERVER_ERROR,
    "status code=503": F.OVERLOADED,
    "status code=504": F.TIMEOUT,
    "status code=529 type=overloaded_error": F.OVERLOADED,
    "drip delay_ms=30": F.TIMEOUT,
    "endless kind=empty delay_ms=10": F.TIMEOUT,
    "endless kind=comment delay_ms=10": F.TIMEOUT,
    "endless kind=comment": F.TIMEOUT,
    "sse kind=long mb=40": F.MALFORMED,
    "html": F.SERVER_ERROR,
    "empty": F.TRUNCATED,
    "redirect": F.SERVER_ERROR,
    "redirect code=307": F.SERVER_ERROR,
    "informational n=1000": F.MALFORMED,
    "compressed": F.MALFORMED,
    "compressed mb=20": F.MALFORMED,
    "headers kind=huge": F.MALFORMED,
    "headers kind=many": F.MALFORMED,
    "bent-json kind=bytes": F.MALFORMED,
    "bent-json kind=depth": F.MALFORMED,
}
AFTER_COMMIT = {
    "reset-at k=1300": F.TRUNCATED,
    "truncate-at k=1300": F.TRUNCATED,
    "hang-after k=5": F.TIMEOUT,
    "error-in-200 k=4 delay_ms=30": F.OVERLOADED,
}
HARMLESS = (
    "well",
    "well split=1",
    "well split=7",
    "well split=100000",
    "sse kind=cr",
    "sse kind=crlf",
    "sse kind=bom",
    "sse kind=comments",
    "headers kind=unsafe",
    "informational n=3",
    "usage kind=twice",
    "usage kind=changing",
)


class Pair(NamedTuple):
    """A dialect that clients speak and a provider that may speak another."""

    dialect: str
    provider: str
    endpoint: str


PAIRS = [
    Pair("openai_chat", "openai", "openai/gpt-4o-mini@openai"),
    Pair("anthropic_messages", "openai", "openai/gpt-4o-mini@openai"),
    Pair("openai_chat", "anthropic", "anthropic/claude-sonnet-4.5@anthropic"),
    Pair("anthropic_messages", "anthropic", "anthropic/claude-sonnet-4.5@anthropic"),
]
per_pair = pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair.dialect}-{pair.provider}")


@pytest.fixture(scope="module")
def pods(upstream: ScriptedUpstream, pod: PodProcess) -> Iterator[dict[str, PodProcess]]:
    with PodProcess("anthropic", f"{upstream.url}/v1") as other:
        yield {"openai": pod, "anthropic": other}


SILENT = ("hang", "drip", "endless")


def ask_all(pods: dict[str, PodProcess], pair: Pair, plays: Iterable[str], *, stream: bool) -> dict[str, Answer]:
    """One exchange per play, many at a time: they must not disturb one another either.

    Only where a deadline is what must strike is it short: a busy machine is no hostile upstream.
    """

    def ask(play: str) -> Answer:
        body = chat(play, stream=stream, max_tokens=1000)
        deadlines = SOON if play.startswith(SILENT) else PATIENT
        return pods[pair.provider].ask(
            body, stream=stream, dialect=pair.dialect, endpoint=pair.endpoint, deadlines=deadlines
        )

    with ThreadPoolExecutor(12) as workers:
        return dict(zip(plays, workers.map(ask, plays), strict=True))


def said(answer: Answer, dialect: str, *, stream: bool) -> str:
    """What the model says, read as a client of the dialect would."""
    chat_like = dialect == "openai_chat"
    if not stream:
        body = msgspec.json.decode(answer.body)
        return str(body["choices"][0]["message"]["content"] if chat_like else body["content"][0]["text"])
    deltas = []
    for line in re.split(rb"\r\n|\r|\n", answer.body):
        if line.startswith(b"data: ") and line != b"data: [DONE]":
            event = msgspec.json.decode(line[6:])
            if chat_like:
                deltas += [choice["delta"].get("content") or "" for choice in event["choices"]]
            elif event["type"] == "content_block_delta":
                deltas.append(event["delta"]["text"])
    return "".join(deltas)


@pytest.mark.claim("A52", "A53", "A56", "A59")
@pytest.mark.parametrize("stream", [False, True])
@per_pair
def test_a_fault_before_the_first_event_commits_nothing(pods: dict[str, PodProcess], pair: Pair, stream: bool) -> None:
    started = time.monotonic()
    answers = ask_all(pods, pair, BEFORE_COMMIT, stream=stream)
    assert {play: answer.end.failure for play, answer in answers.items()} == BEFORE_COMMIT
    for play, answer in answers.items():
        assert answer.kinds == [FrameKind.END], play
        assert answer.body == b"", play
    assert time.monotonic() - started < 30


@per_pair
def test_a_fault_after_the_first_event_ends_in_an_error_event(pods: dict[str, PodProcess], pair: Pair) -> None:
    answers = ask_all(pods, pair, AFTER_COMMIT, stream=True)
    assert {play: answer.end.failure for play, answer in answers.items()} == AFTER_COMMIT
    for play, answer in answers.items():
        assert answer.end.semantic, play
        assert answer.kinds.count(FrameKind.HEAD) == answer.kinds.count(FrameKind.END) == 1, play
        assert any(semantic for _, semantic in answer.data), play
        assert b"[DONE]" not in answer.body, play
        assert b"message_stop" not in answer.body, play
        assert b'"error"' in answer.ends[0][1], play
        assert answer.end.usage.completion_tokens > 0, play
        assert answer.end.usage.estimated, play


@per_pair
def test_content_and_failure_in_one_read_commit_both_or_nothing(pods: dict[str, PodProcess], pair: Pair) -> None:
    plays = [f"error-in-200 k={k}" for k in range(2, 9)]
    for play, answer in ask_all(pods, pair, plays, stream=True).items():
        assert answer.end.failure is F.OVERLOADED, play
        assert bool(answer.heads) == any(semantic for _, semantic in answer.data) == bool(answer.body), play


@per_pair
def test_a_collected_answer_that_breaks_off_is_not_committed(pods: dict[str, PodProcess], pair: Pair) -> None:
    answers = ask_all(pods, pair, AFTER_COMMIT, stream=False)
    assert {play: answer.end.failure for play, answer in answers.items()} == AFTER_COMMIT
    for play, answer in answers.items():
        assert answer.kinds == [FrameKind.END], play
        assert answer.end.usage.completion_tokens > 0, play


@pytest.mark.claim("A50", "A51", "A55")
@pytest.mark.parametrize("stream", [False, True])
@per_pair
def test_an_unusual_but_correct_answer_is_whole(pods: dict[str, PodProcess], pair: Pair, stream: bool) -> None:
    for play, answer in ask_all(pods, pair, HARMLESS, stream=stream).items():
        assert answer.end.failure is None, play
        assert said(answer, pair.dialect, stream=stream) == "".join(WORDS), play
        assert answer.kinds[0] is FrameKind.HEAD, play
        assert answer.kinds[-1] is FrameKind.END, play
        assert answer.end.finish_reason == "stop", play
        assert (answer.end.usage.input, answer.end.usage.cache_read, answer.end.usage.output) == (8, 3, 9), play


@pytest.mark.claim("A50")
@pytest.mark.parametrize("split", ["", " split=1", " split=3"])
@per_pair
def test_a50_no_character_of_the_answer_splits_a_frame(pods: dict[str, PodProcess], pair: Pair, split: str) -> None:
    nasty = "a\rb\nc\r\nd\u2028e\u2029f\u0085g\x0bh\x0ci\x1cj\x00kdata: levent: mid: nretry: o[DONE]\n\ndata: p end"
    (answer,) = ask_all(pods, pair, [f"text{split}"], stream=True).values()
    assert said(answer, pair.dialect, stream=True) == nasty


@pytest.mark.claim("A55")
@pytest.mark.parametrize("kind", ["missing", "negative", "huge", "cached-over-prompt", "nan"])
@pytest.mark.parametrize("stream", [False, True])
def test_a55_no_usage_of_an_upstream_becomes_negative_or_breaks_us(pod: PodProcess, kind: str, stream: bool) -> None:
    answer = pod.ask(chat(f"usage kind={kind}", stream=stream), stream=stream)
    usage = msgspec.structs.asdict(answer.end.usage)
    assert all(value >= 0 for value in usage.values())
    if kind == "missing":
        assert answer.end.usage.estimated
        assert answer.end.usage.output > 0


@pytest.mark.claim("A56")
def test_a56_no_header_of_an_upstream_passes(pod: PodProcess) -> None:
    for stream in (False, True):
        answer = pod.ask(chat("headers kind=unsafe", stream=stream), stream=stream)
        (head,) = answer.heads
        assert head.headers == {}
        assert head.content_type in {"application/json", "text/event-stream"}
        for forged in (b"stolen", b"forged", b"echoed"):
            assert forged not in answer.raw


@pytest.mark.claim("A57", "C32")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("code", [400, 401, 403, 422, 429, 500])
def test_a57_an_error_that_quotes_credential_and_prompt_quotes_nothing(
    pod: PodProcess, upstream: ScriptedUpstream, code: int, stream: bool
) -> None:
    secret_word = f"prompt-{code}-{stream}"
    body = chat(f"echo code={code}", stream=stream)
    body["messages"].append({"role": "user", "content": secret_word})
    answer = pod.ask(body, stream=stream)
    seen = upstream.received[-1]
    assert pod.credential in seen.header("authorization")
    assert secret_word.encode() in seen.body
    assert answer.end.failure is not None
    for hidden in (pod.credential, secret_word):
        assert hidden.encode() not in answer.raw
        assert hidden not in pod.log.read_text()


@pytest.mark.claim("A71")
@pytest.mark.parametrize("play", ["hang-before-headers", "hang-after-headers", "hang-after k=5", "endless delay_ms=5"])
@pytest.mark.parametrize("half", [False, True])
def test_a71_a_cancelled_exchange_cancels_the_upstream_at_once(
    pod: PodProcess, upstream: ScriptedUpstream, play: str, half: bool
) -> None:
    before = len(upstream.received)
    exchange = pod.open(chat(play, stream=True), stream=True)
    assert upstream.wait_until(lambda seen: len(seen.received) > before)
    if play.startswith(("hang-after k", "endless")):
        exchange.read_until(FrameKind.DATA)
    cancelled_at = time.monotonic()
    if half:
        exchange.stop_sending()
        answer = exchange.finish()
        assert answer.end.failure is F.CANCELLED
        assert bool(answer.end.usage.completion_tokens) == bool(answer.data)
    else:
        exchange.socket.close()
    call = upstream.received[before]
    assert upstream.wait_until(lambda _: call.hung_up_at is not None, 2)
    assert call.hung_up_at is not None
    assert call.hung_up_at - cancelled_at < 1


def test_usage_is_told_while_a_stream_goes_on(pod: PodProcess) -> None:
    answer = pod.ask(chat("well n=30 delay_ms=40", stream=True), stream=True)
    assert len(answer.usages) >= 3
    counts = [usage.output for usage in answer.usages if usage.estimated]
    assert len(counts) >= 3
    assert counts == sorted(counts)


def test_a_slow_gateway_slows_the_upstream_down_and_loses_nothing(pod: PodProcess) -> None:
    words, size = 400, 2000
    exchange = pod.open(chat(f"well n={words}", stream=True, padding="x" * size), stream=True)
    exchange.read_until(FrameKind.HEAD)
    time.sleep(0.5)
    answer = exchange.finish()
    assert said(answer, "openai_chat", stream=True) == "".join(f"word{i} " for i in range(words))


def test_an_answer_that_never_ends_is_cut_by_its_size(pod: PodProcess) -> None:
    answer = pod.ask(chat("endless size=60000", stream=True, max_tokens=10), stream=True)
    assert answer.end.failure is F.MALFORMED
    assert len(answer.body) < 100_000_000


def test_first_event_time_is_told(pod: PodProcess) -> None:
    started = time.monotonic()
    answer = pod.ask(chat("well delay_ms=60 n=2", stream=True), stream=True)
    assert 100 <= answer.end.first_event_ms < (time.monotonic() - started) * 1000


@pytest.mark.parametrize("kind", ["comment", "empty"])
def test_a_stream_without_meaning_ends_when_its_time_is_up(pod: PodProcess, kind: str) -> None:
    deadlines = msgspec.structs.replace(PATIENT, first_event_ms=1_000)
    started = time.monotonic()
    answer = pod.ask(chat(f"endless kind={kind} delay_ms=20", stream=True), stream=True, deadlines=deadlines)
    assert answer.end.failure is F.TIMEOUT
    assert 0.9 < time.monotonic() - started < 3


@per_pair
@pytest.mark.parametrize("stream", [False, True])
def test_a_stream_that_loses_its_meaning_ends_when_its_time_is_up(
    pods: dict[str, PodProcess], pair: Pair, stream: bool
) -> None:
    started = time.monotonic()
    events = 4 if pair.provider == "anthropic" else 2  # as many as it takes until the first word
    answer = pods[pair.provider].ask(
        chat(f"endless kind=comment k={events} delay_ms=20", stream=stream, max_tokens=1000),
        stream=stream,
        dialect=pair.dialect,
        endpoint=pair.endpoint,
        deadlines=msgspec.structs.replace(PATIENT, between_events_ms=1_000),
    )
    assert answer.end.failure is F.TIMEOUT
    assert answer.end.semantic
    assert bool(answer.heads) == stream
    assert 0.9 < time.monotonic() - started < 3


def test_an_answer_that_is_no_stream_may_take_its_whole_time(pod: PodProcess) -> None:
    deadlines = msgspec.structs.replace(PATIENT, headers_ms=300, first_event_ms=300, between_events_ms=300)
    answer = pod.ask(chat("well delay_ms=900"), upstream_stream=False, deadlines=deadlines)
    assert answer.end.failure is None
    deadlines = msgspec.structs.replace(deadlines, total_ms=800)
    answer = pod.ask(chat("hang-before-headers"), upstream_stream=False, deadlines=deadlines)
    assert answer.end.failure is F.TIMEOUT


@pytest.mark.claim("A22")
def test_dropped_parameters_are_named_and_no_name_forges_a_header(pods: dict[str, PodProcess]) -> None:
    pair = PAIRS[2]
    unknown: dict[str, Any] = {"x\r\nset-cookie: a=b": 1, "caf\u00e9": 1, "plain_name": 1, "y" * 500: 1, "seed": 7}
    answer = pods[pair.provider].ask({**chat(), **unknown}, dialect=pair.dialect, endpoint=pair.endpoint)
    assert answer.end.failure is None
    named = set(answer.heads[0].headers["x-therouter-warnings"].split(","))
    assert {"dropped:plain_name", "dropped:seed", "dropped:other"} <= named
    assert all(re.fullmatch(r"[a-z]+:[\w.\[\]-]+", name, re.ASCII) for name in named)
