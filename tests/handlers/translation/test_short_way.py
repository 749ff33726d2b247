"""The short way says what the long way says, or nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from handlers.errors import InvalidRequest
from handlers.translation.canonical.attempt import Asked, Outcome, UpstreamTarget
from handlers.translation.exchange import begin
from handlers.translation.short_way import ShortWay, short_way
from tests.handlers.translation.driving import JSON_HEAD, play
from tests.handlers.translation.passthrough.test_openai_chat import HELLO, asked
from tests.handlers.translation.test_raw_whole import ANSWER, not_plain, plain
from tests.laws.recordings import recorded

BODIES = (
    '{"model":"m","messages":HELLO,"temperature":0.5}',
    '{"model":"m","messages":HELLO,"top_k":3,"temperature":1}',
    '{"messages":HELLO}',
    '{"messages":HELLO,"user":"u"}',
    '{"messages":HELLO,"temperature":9}',
    '{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}]}',
    '{"messages":[{"role":"developer","content":"x"},{"role":"user","content":"y"}]}',
)
ANSWERS = [msgspec.json.encode(answer) for answer in (*plain(), *not_plain())]
ODD_ANSWERS = [
    b"",
    b"{",
    b"[]",
    b" " + ANSWERS[0],
    ANSWERS[0] + b" ",
    ANSWERS[0] + b"{}",
    b"\xff" + ANSWERS[0],
    b"data: [DONE]\n\n",
]


def way(**changes: Any) -> ShortWay:
    found = short_way(asked("", **changes))
    assert found is not None
    return found


@pytest.mark.parametrize("body", BODIES)
def test_the_same_request_is_built(body: str) -> None:
    written = body.replace("HELLO", HELLO).encode()
    request = asked(written)
    try:
        translation = begin(request)
    except InvalidRequest:
        assert way().build(written) is None
        return
    built = way().build(written)
    assert built in (None, (translation.upstream, translation.warnings))
    assert (built is None) == ('"user":' in body or "image" in body)


def long_answer(request: Asked, body: bytes) -> tuple[Outcome, bytes]:
    translation = begin(request)
    outputs = play(translation, body, head=JSON_HEAD)
    return translation.outcome, b"".join(output.data + output.final for output in outputs)


def test_recorded_answers_are_read_the_same_way() -> None:
    answers = [one.body for one in recorded("openai_chat", streams=False)]
    assert answers
    for answer in answers:
        test_the_same_answer_is_read(answer)


@pytest.mark.parametrize("answer", [*ANSWERS, *ODD_ANSWERS])
def test_the_same_answer_is_read(answer: bytes) -> None:
    request = asked(BODIES[0].replace("HELLO", HELLO))
    read = way().read(answer)
    outcome, told = long_answer(request, answer)
    if read is None:
        assert answer not in ANSWERS[: len(list(plain()))]
        return
    said, final = read
    assert final == told
    assert outcome == Outcome(
        usage=said.usage,
        upstream_status=200,
        finish_reason=said.finish_reason,
        semantic=True,
        upstream_model=said.model,
        response_id=said.response_id,
    )


def test_an_answer_that_could_break_a_limit_takes_the_long_way() -> None:
    message = {"role": "assistant", "content": "x" * 1_100_000}
    long = {**ANSWER, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    assert way().read(msgspec.json.encode(long)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"stream": True},
        {"upstream_stream": True},
        {"dialect": "anthropic_messages"},
        {"operation": "embeddings"},
        {"target": UpstreamTarget("anthropic_messages", "m", "maker")},
        {"target": UpstreamTarget("openai_chat", "m", "maker", quirks=frozenset({"normalise_answers"}))},
    ],
)
def test_there_is_a_short_way_only_where_bodies_pass_through(changes: dict[str, Any]) -> None:
    assert short_way(asked("", **changes)) is None
