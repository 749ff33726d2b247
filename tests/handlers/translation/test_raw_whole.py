"""What a plain answer says is what the decoder says; what is not plain takes the decoder."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from handlers.errors import FailureClass
from handlers.translation.adapters.openai_chat_decoder import OpenaiChatDecoder
from handlers.translation.adapters.openai_plain import read_plain
from handlers.translation.canonical.events import ChoiceFinished, ResponseCompleted
from handlers.translation.deliveries import is_semantic
from tests.handlers.translation.driving import JSON_HEAD, attempt, play

MESSAGE: dict[str, Any] = {"role": "assistant", "content": "four", "refusal": None, "annotations": []}
CHOICE: dict[str, Any] = {"index": 0, "message": MESSAGE, "finish_reason": "stop", "logprobs": None}
USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "m-1",
    "choices": [CHOICE],
    "usage": USAGE,
}


def plain() -> Iterator[dict[str, Any]]:
    yield ANSWER
    for reason in ("length", "content_filter", "eos", "max_tokens"):
        yield {**ANSWER, "choices": [{**CHOICE, "finish_reason": reason}]}
    yield {**ANSWER, "id": 7, "model": None}
    yield {**ANSWER, "choices": [{**CHOICE, "index": None, "logprobs": {"content": []}}]}
    yield {**ANSWER, "usage": {**USAGE, "prompt_tokens_details": {"cached_tokens": 5}}}
    yield {**ANSWER, "usage": {**USAGE, "completion_tokens_details": {"reasoning_tokens": 2}}}
    yield {**ANSWER, "usage": {**USAGE, "prompt_tokens": -1}}
    yield {**ANSWER, "usage": {**USAGE, "completion_tokens": 10**12}}


def not_plain() -> Iterator[dict[str, Any]]:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    for change in (
        {"content": ""},
        {"content": None},
        {"content": [{"type": "text", "text": "four"}]},
        {"tool_calls": [call]},
        {"refusal": "no"},
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"audio": {"id": "a"}},
        {"images": [{"image_url": {"url": "data:image/png;base64,AA=="}}]},
        {"annotations": [{"type": "url_citation", "url_citation": {"url": "https://example.com"}}]},
    ):
        yield {**ANSWER, "choices": [{**CHOICE, "message": {**MESSAGE, **change}}]}
    for reason in (None, "", "error", "insufficient_system_resource", "something new"):
        yield {**ANSWER, "choices": [{**CHOICE, "finish_reason": reason}]}
    yield {**ANSWER, "choices": []}
    yield {**ANSWER, "choices": [CHOICE, {**CHOICE, "index": 1}]}
    yield {**ANSWER, "choices": [{**CHOICE, "index": 5}]}
    yield {**ANSWER, "choices": [{"index": 0, "text": "four", "finish_reason": "stop"}]}
    yield {**ANSWER, "usage": None}
    yield {**ANSWER, "usage": {"prompt_tokens": 0, "completion_tokens": 0}}
    yield {**ANSWER, "usage": "many"}
    yield {**ANSWER, "error": {"message": "no"}}
    yield {**ANSWER, "base_resp": {"status_code": 1004}}


@pytest.mark.parametrize("answer", list(plain()))
def test_a_plain_answer_says_what_the_decoder_says(answer: dict[str, Any]) -> None:
    body = msgspec.json.encode(answer)
    read = read_plain(body)
    decoder = OpenaiChatDecoder(streams=False, prompt_tokens=99)
    decoder.receive_data(body)
    events = decoder.receive_eof()
    finished = [event.reason.value for event in events if isinstance(event, ChoiceFinished)]
    assert read is not None
    assert isinstance(events[-1], ResponseCompleted)
    assert any(is_semantic(event) for event in events)
    assert (read.usage, [read.finish_reason]) == (decoder.writer.usage, finished)
    assert (read.model, read.response_id) == (decoder.model, decoder.response_id)


@pytest.mark.parametrize("answer", list(not_plain()))
def test_whatever_is_more_or_less_or_broken_takes_the_decoder(answer: dict[str, Any]) -> None:
    assert read_plain(msgspec.json.encode(answer)) is None


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"choices":[{}]}', b"\xff", b'{"choices":' + b"[" * 5000]
)
def test_what_is_no_answer_at_all_takes_the_decoder(body: bytes) -> None:
    assert read_plain(body) is None


@pytest.mark.claim("A59")
@pytest.mark.parametrize(
    "doubtful",
    [
        msgspec.json.encode(ANSWER)[:-1] + b',"choices":[]}',
        msgspec.json.encode({**ANSWER, "system_fingerprint": "?"}).replace(b'"?"', b'"\xff"'),
    ],
)
def test_a59_an_answer_with_a_key_twice_or_no_text_within_is_malformed(doubtful: bytes) -> None:
    assert read_plain(doubtful) is None
    translation = attempt(stream=False)
    output = play(translation, doubtful, head=JSON_HEAD)[-1]
    assert output.ended
    assert not output.final
    assert translation.outcome.failure is FailureClass.MALFORMED


def test_an_answer_that_comes_in_twos_costs_no_more_memory_than_its_bytes() -> None:
    translation = attempt(stream=False)
    translation.start(200, JSON_HEAD)
    translation.receive_data(b"{ ")
    tracemalloc.start()
    for _ in range(100_000):
        translation.receive_data(bytes([0x20, 0x0A]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 200_000
