"""What a stream cannot carry is asked for whole; everything else of any length comes as a stream."""

from __future__ import annotations

from typing import Any

import pytest

from handlers.errors import InvalidRequest
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.kept_whole import WHOLE_SETTINGS, lost_field, whole_setting
from handlers.translation.registry import DIALECTS
from tests.handlers.translation.driving import attempt

KEPT: list[tuple[str, str, dict[str, Any]]] = [
    ("openai_chat", "openai", {"modalities": ["text", "audio"], "audio": {"voice": "ash", "format": "wav"}}),
    ("openai_chat", "openai", {"audio": {"voice": "ash", "format": "wav"}}),
    ("openai_chat", "deepinfra", {"prompt_logprobs": 1}),
    ("openai_chat", "deepinfra", {"prompt_logprobs": 0.5}),
    ("openai_chat", "deepinfra", {"use_beam_search": True}),
    ("openai_chat", "deepinfra", {"echo": True}),
    ("openai_chat", "together", {"logprobs": True}),
    ("google_generate", "gemini", {"generationConfig": {"responseLogprobs": True}}),
    ("google_generate", "gemini", {"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}),
    ("google_generate", "gemini", {"generationConfig": {"speechConfig": {"voiceConfig": {}}}}),
]
STREAMED: list[tuple[str, str, dict[str, Any]]] = [
    ("openai_chat", "openai", {}),
    ("openai_chat", "openai", {"modalities": ["text"], "audio": None}),
    ("openai_chat", "openai", {"logprobs": True, "top_logprobs": 3, "n": 2}),
    ("openai_chat", "together", {"logprobs": False}),
    ("openai_chat", "deepinfra", {"echo": False}),
    ("openai_completions", "deepinfra", {}),
    ("anthropic_messages", "anthropic", {}),
    ("openai_responses", "openai", {"include": ["message.output_text.logprobs"]}),
    ("google_generate", "gemini", {"generationConfig": {"responseModalities": ["TEXT"], "responseLogprobs": False}}),
]
FORMATS = {
    "google_generate": "gemini",
    "openai_responses": "openai_responses",
    "anthropic_messages": "anthropic_messages",
}


def streams(dialect: str, provider: str, fields: dict[str, Any], model: str = "model-1", stream: bool = False) -> bool:
    upstream = UpstreamTarget(FORMATS.get(dialect, "openai_chat"), model, provider)
    return attempt(
        fields, dialect=dialect, upstream=upstream, stream=stream, upstream_stream=True, target="/v1beta/models/m:generateContent"
    ).upstream.streams  # fmt: skip


@pytest.mark.parametrize(("dialect", "provider", "fields"), KEPT)
def test_a_setting_whose_answer_only_comes_whole_is_asked_for_whole(
    dialect: str, provider: str, fields: dict[str, Any]
) -> None:
    assert not streams(dialect, provider, fields)


@pytest.mark.parametrize(("dialect", "provider", "fields"), STREAMED)
def test_every_other_answer_comes_as_a_stream(dialect: str, provider: str, fields: dict[str, Any]) -> None:
    assert streams(dialect, provider, fields)


def test_a_client_that_asked_for_a_stream_gets_one_whatever_it_lacks() -> None:
    assert streams("openai_chat", "deepinfra", {"stream": True, "prompt_logprobs": 1}, stream=True)


@pytest.mark.parametrize(
    ("provider", "model", "lost"),
    [
        ("vertex", "gemini-2.5-flash", "candidates.avgLogprobs"),
        ("gemini", "gemini-2.0-flash", "candidates.avgLogprobs"),
        ("gemini", "gemini-2.5-flash", ""),
        ("gemini", "gemini-3-pro-preview", ""),
    ],
)
def test_an_answer_with_a_field_that_no_stream_has_is_asked_for_whole(provider: str, model: str, lost: str) -> None:
    assert lost_field("google_generate", "gemini", provider, model) == lost
    assert streams("google_generate", provider, {}, model) is (lost == "")
    assert lost_field("openai_chat", "gemini", provider, model) == ""  # a dialect without a word for it


def test_rows_are_of_dialects_that_there_are() -> None:
    assert WHOLE_SETTINGS.keys() <= DIALECTS.keys()


@pytest.mark.parametrize("body", [b'{"audio":', b'"audio"', b'{"audio":\xff}', b"[" * 100_000 + b'"audio"'])
def test_a_body_that_is_no_json_object_is_left_to_whoever_parses_it(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        attempt(body_bytes=body, stream=False, upstream_stream=True)


def test_the_path_of_the_setting_is_told() -> None:
    body = b'{"generationConfig":{"responseLogprobs":true}}'
    assert whole_setting("google_generate", "gemini", body) == "generationConfig.responseLogprobs"
    assert whole_setting("google_generate", "gemini", b'{"generationConfig":[]}') == ""
    assert whole_setting("google_generate", "gemini", b'{"generationConfig":[{"responseLogprobs":true}]}') == ""
