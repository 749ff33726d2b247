"""Every fault of an upstream, through a real pod process: the right class, exactly one END, and nothing of it at the client."""

from __future__ import annotations

import re
import time

import msgspec
import pytest

from handlers.errors import FailureClass
from handlers.transport.wire import FrameKind, WireDeadlines
from tests.handlers.provider.pod_driver import Answer, PodProcess, chat
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
    "sse kind=long mb=100": F.MALFORMED,
    "html": F.SERVER_ERROR,
    "empty": F.TRUNCATED,
    "redirect": F.SERVER_ERROR,
    "redirect code=307": F.SERVER_ERROR,
    "informational n=1000": F.MALFORMED,
    "compressed": F.MALFORMED,
    "compressed mb=50": F.MALFORMED,
    "headers kind=huge": F.MALFORMED,
    "headers kind=many": F.MALFORMED,
    "bent-json kind=bytes": F.MALFORMED,
    "bent-json kind=depth": F.MALFORMED,
}
AFTER_COMMIT = {
    "reset-at k=1300": F.TRUNCATED,
    "truncate-at k=1300": F.TRUNCATED,
    "hang-after k=5": F.TIMEOUT,
    "error-in-200 k=4": F.OVERLOADED,
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


def said(answer: Answer, *, stream: bool) -> str:
    """What the model says in an OpenAI-shaped answer."""
    if not stream:
        content = msgspec.json.decode(answer.body)["choices"][0]["message"]["content"]
        return str(content)
    deltas = []
    for line in re.split(rb"\r\n|\r|\n", answer.body):
        if line.startswith(b"data: ") and line != b"data: [DONE]":
            chunk = msgspec.json.decode(line[6:])
            deltas += [choice["delta"].get("content") or "" for choice in chunk["choices"]]
    return "".join(deltas)


def ended_within(seconds: float, started: float) -> bool:
    return time.monotonic() - started < seconds


@pytest.mark.claim("A52", "A53", "A56", "A59")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("play", BEFORE_COMMIT)
def test_a_fault_before_the_first_event_commits_nothing(pod: PodProcess, play: str, stream: bool) -> None:
    started = time.monotonic()
    answer = pod.ask(chat(play, stream=stream), stream=stream, deadlines=SOON)
    assert answer.kinds == [FrameKind.END]
    assert answer.end.failure is BEFORE_COMMIT[play]
    assert answer.body == b""
    assert ended_within(5, started)


@pytest.mark.parametrize("play", AFTER_COMMIT)
def test_a_fault_after_the_first_event_ends_in_an_error_event(pod: PodProcess, play: str) -> None:
    answer = pod.ask(chat(play, stream=True), stream=True, deadlines=SOON)
    assert answer.end.failure is AFTER_COMMIT[play]
    assert answer.end.semantic
    assert answer.kinds.count(FrameKind.HEAD) == answer.kinds.count(FrameKind.END) == 1
    assert any(semantic for _, semantic in answer.data)
    assert b"[DONE]" not in answer.body
    assert b'"error"' in answer.ends[0][1]
    assert answer.end.usage.completion_tokens > 0
    assert answer.end.usage.estimated


@pytest.mark.parametrize("play", AFTER_COMMIT)
def test_a_collected_answer_that_breaks_off_is_not_committed(pod: PodProcess, play: str) -> None:
    answer = pod.ask(chat(play), deadlines=SOON)
    assert answer.kinds == [FrameKind.END]
    assert answer.end.failure is AFTER_COMMIT[play]
    assert answer.end.usage.completion_tokens > 0


@pytest.mark.claim("A50", "A51", "A55")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("play", HARMLESS)
def test_an_unusual_but_correct_answer_is_whole(pod: PodProcess, play: str, stream: bool) -> None:
    answer = pod.ask(chat(play, stream=stream), stream=stream)
    assert answer.end.failure is None
    assert said(answer, stream=stream) == "".join(WORDS)
    assert answer.kinds[0] is FrameKind.HEAD
    assert answer.kinds[-1] is FrameKind.END
    assert answer.end.finish_reason == "stop"
    assert (answer.end.usage.input, answer.end.usage.cache_read, answer.end.usage.output) == (8, 3, 9)


@pytest.mark.claim("A50")
@pytest.mark.parametrize("split", ["", " split=1", " split=3"])
def test_a50_no_character_of_the_answer_splits_a_frame(pod: PodProcess, split: str) -> None:
    nasty = "a\rb\nc\r\nd\u2028e\u2029f\u0085g\x0bh\x0ci\x1cj\x00kdata: levent: mid: nretry: o[DONE]\n\ndata: p end"
    answer = pod.ask(chat(f"text{split}", stream=True), stream=True)
    assert said(answer, stream=True) == nasty


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
    counts = [usage.output for usage in answer.usages]
    assert counts == sorted(counts)
    assert all(usage.estimated for usage in answer.usages)


def test_a_slow_gateway_slows_the_upstream_down_and_loses_nothing(pod: PodProcess) -> None:
    words, size = 400, 2000
    exchange = pod.open(chat(f"well n={words}", stream=True, padding="x" * size), stream=True)
    exchange.read_until(FrameKind.HEAD)
    time.sleep(0.5)
    answer = exchange.finish()
    assert said(answer, stream=True) == "".join(f"word{i} " for i in range(words))


def test_an_answer_that_never_ends_is_cut_by_its_size(pod: PodProcess) -> None:
    answer = pod.ask(chat("endless size=60000", stream=True, max_tokens=10), stream=True)
    assert answer.end.failure is F.MALFORMED
    assert len(answer.body) < 100_000_000


def test_first_event_time_is_told(pod: PodProcess) -> None:
    answer = pod.ask(chat("well delay_ms=60 n=2", stream=True), stream=True)
    assert 100 <= answer.end.first_event_ms < 1000
