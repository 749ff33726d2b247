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
CHUNKS = [
    b'data: {"id":"c","model":"model-1","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n',
    b'data: {"id":"c","model":"model-1","choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n',
    b'data: {"id":"c","model":"model-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b'data: {"id":"c","model":"model-1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n',
    b"data: [DONE]\n\n",
]
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


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("body", BODIES)
def test_the_same_request_is_built(body: str, streams: bool) -> None:
    written = body.replace("HELLO", HELLO).encode()
    request = asked(written, stream=streams, upstream_stream=streams)
    found = way(stream=streams, upstream_stream=streams)
    try:
        translation = begin(request)
    except InvalidRequest:
        assert found.build(written) is None
        return
    known = found.build(written)
    assert (known is None) == ('"user":' in body or "image" in body)
    if known is not None:
        upstream, settings, _ = known
        assert (upstream, settings.warnings) == (translation.upstream, translation.warnings)


STREAMS = [
    pytest.param(b"".join(CHUNKS), 200, id="a whole stream"),
    pytest.param(b"\n\n" + b"".join(CHUNKS), 200, id="blank lines before it"),
    pytest.param(b"".join(CHUNKS[:-1]), 200, id="no end marker"),
    pytest.param(CHUNKS[0], 200, id="cut"),
    pytest.param(b"", 200, id="nothing"),
    pytest.param(ANSWERS[0], 200, id="one body where a stream was asked for"),
    pytest.param(b'{"error":{"code":"rate_limit_exceeded"}}', 429, id="an error"),
]


@pytest.mark.parametrize("settings", ["", ',"stream_options":{"include_usage":true}', ',"max_tokens":9'])
@pytest.mark.parametrize("headers", [{}, {"x-therouter-padding": "on"}])
@pytest.mark.parametrize(("answer", "status"), STREAMS)
def test_a_stream_is_read_as_on_the_long_way(
    settings: str, headers: dict[str, str], answer: bytes, status: int
) -> None:
    body = f'{{"model":"m","messages":{HELLO},"stream":true{settings}}}'.encode()
    request = asked(body, stream=True, client_headers=headers)
    long = begin(request)
    found = way(stream=True, client_headers=headers)
    known = found.build(body)
    assert known is not None
    short = found.join(request, known)
    assert short.upstream == long.upstream
    outputs = [play(translation, *cut(answer), status=status) for translation in (short, long)]
    assert outputs[0] == outputs[1]
    assert short.outcome == long.outcome
    assert (short.content_type, short.warnings, short.usage) == (long.content_type, long.warnings, long.usage)


def cut(answer: bytes) -> list[bytes]:
    """In three reads, none of them empty."""
    third = len(answer) // 3 + 1
    return [piece for start in (0, third, 2 * third) if (piece := answer[start : start + third])]


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
        {"upstream_stream": True},
        {"stream": True, "target": UpstreamTarget("openai_chat", "m", "maker", quirks=frozenset({"no_streaming"}))},
        {"dialect": "anthropic_messages"},
        {"operation": "embeddings"},
        {"target": UpstreamTarget("anthropic_messages", "m", "maker")},
        {"target": UpstreamTarget("openai_chat", "m", "maker", quirks=frozenset({"normalise_answers"}))},
    ],
)
def test_there_is_a_short_way_only_where_bodies_pass_through(changes: dict[str, Any]) -> None:
    assert short_way(asked("", **changes)) is None
