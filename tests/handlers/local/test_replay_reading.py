"""The independent readers and judges of `therouter replay`: they must be able to say no."""

from __future__ import annotations

import msgspec
import pytest

from handlers.local.replay_judges import load_judges
from handlers.local.replay_reading import carries_error, read_answer
from tests.laws.made import HOSTILE_TEXT
from tests.laws.test_anthropic_messages import TestAnthropicMessages as Anthropic
from tests.laws.test_bedrock_converse import TestBedrockConverse as Bedrock
from tests.laws.test_cohere import TestCohere as Cohere
from tests.laws.test_gemini import TestGemini as Gemini
from tests.laws.test_openai_chat import TestOpenaiChat as Chat
from tests.laws.test_openai_responses import TestOpenaiResponses as Responses

ENDS = {"openai_chat": " end", "cohere": ""}


@pytest.mark.parametrize(
    ("laws", "prompt", "completion"),
    [(Chat, 20, 9), (Anthropic, 20, 9), (Responses, 20, 9), (Gemini, 20, 9), (Bedrock, 20, 9), (Cohere, 12, 9)],
)
def test_streams_and_whole_answers_read_the_same(laws: type[Chat], prompt: int, completion: int) -> None:
    name = laws.adapter.name
    for body in (laws.made["text"], laws.whole["text"]):
        reading = read_answer(name, body)
        assert reading.text == HOSTILE_TEXT + ENDS.get(name, ".")
        assert (reading.prompt_tokens, reading.completion_tokens) == (prompt, completion)
        assert not carries_error(name, body)


def test_errors_inside_answers_are_seen() -> None:
    assert carries_error("openai_chat", Chat.made["failed"])
    assert carries_error("anthropic_messages", Anthropic.made["failed"])
    assert carries_error("bedrock_converse", Bedrock.made["throttled"])
    assert carries_error("gemini", Gemini.made["broken call"])
    assert carries_error("openai_chat", b"<html>")


@pytest.mark.parametrize(
    "dialect", ["openai_chat", "openai_responses", "anthropic_messages", "google_generate", "google_interactions"]
)
def test_every_judge_can_say_no(dialect: str) -> None:
    judge = load_judges()[dialect]
    for body in (b"", b"{", b'{"choices":5,"candidates":5,"content":5,"output":5}'):
        assert judge(body, False)
    assert judge(b"", True)
    assert judge(b"data: {}\n\n" if dialect != "google_generate" else b'data: {"candidates":5}\n\n', True)


def test_a_stream_without_its_end_marker_is_not_valid() -> None:
    judge = load_judges()["openai_chat"]
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}
    frame = b"data: " + msgspec.json.encode(chunk) + b"\n\n"
    assert judge(frame + b"data: [DONE]\n\n", True) == ""
    assert judge(frame, True) == "the stream has no end marker"
