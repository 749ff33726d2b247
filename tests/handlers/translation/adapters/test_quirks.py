from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

import handlers.translation
from handlers.catalog.loading import load_catalog
from handlers.errors import Unprocessable
from handlers.translation.adapters.quirks import QUIRKS
from tests.handlers.translation.driving import attempt, sent, told
from tests.handlers.translation.operations.test_operations import ask
from tests.judges.google_discovery import google_complaints

SOURCE = Path(handlers.translation.__file__).parent
USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
CALLED = {
    "role": "assistant", "content": None,
    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
}  # fmt: skip
HISTORY = [USER, CALLED, {"role": "tool", "tool_call_id": "call_1", "content": "seen"}]
EFFORT = {"reasoning": {"effort": "high"}}
SHAPED = {"response_format": {"type": "json_object"}, "tools": [TOOL]}
PICTURE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://pictures.example/a.png"}}]}


class Case(NamedTuple):
    """What a client asks in OpenAI's chat, and the path to what the provider then gets, with the quirk and without it."""

    body: dict[str, Any]
    wire_format: str
    path: tuple[str | int, ...]
    with_it: Any
    without_it: Any


REFUSED = "refused"
GONE = None
CASES: dict[str, Case] = {
    "adaptive_thinking": Case(
        EFFORT, "bedrock_converse", ("additionalModelRequestFields", "thinking", "type"), "adaptive", "enabled"
    ),
    "developer_role": Case(
        {"messages": [{"role": "developer", "content": "Be brief."}, USER]}, "openai_chat", ("messages", 0, "role"), "developer", "system"
    ),
    "enable_thinking": Case(EFFORT, "openai_chat", ("enable_thinking",), True, GONE),
    "json_excludes_tools": Case(SHAPED, "gemini", ("generationConfig", "responseMimeType"), REFUSED, "application/json"),
    "max_completion_tokens": Case({"max_tokens": 9}, "openai_chat", ("max_completion_tokens",), 9, GONE),
    "nine_character_tool_ids": Case({"messages": HISTORY}, "openai_chat", ("messages", 2, "tool_call_id"), re.compile("[0-9a-z]{9}"), "call_1"),
    "no_media_urls": Case({"messages": [PICTURE]}, "gemini", ("contents", 0, "parts", 0, "fileData", "mimeType"), REFUSED, "image/png"),
    "no_prefill": Case(
        {"messages": [USER, {"role": "assistant", "content": "It is"}]}, "bedrock_converse", ("messages", 1, "role"), REFUSED, "assistant"
    ),
    "no_sampling": Case({"temperature": 0.5}, "openai_chat", ("temperature",), GONE, 0.5),
    "no_streaming": Case({"stream": True}, "openai_chat", ("stream",), False, True),
    "no_thinking_budget": Case(EFFORT, "bedrock_converse", ("additionalModelRequestFields", "thinking", "type"), GONE, "enabled"),
    "open_parameters": Case({"top_k": 5}, "openai_chat", ("top_k",), 5, GONE),
    "reasoning_object": Case(EFFORT, "openai_chat", ("reasoning", "effort"), "high", GONE),
    "thinking_level": Case(EFFORT, "gemini", ("generationConfig", "thinkingConfig", "thinkingLevel"), "HIGH", GONE),
    "thinking_type": Case(EFFORT, "openai_chat", ("thinking", "type"), "enabled", GONE),
    "thought_signatures": Case(
        {"messages": HISTORY, "tools": [TOOL]}, "gemini", ("contents", 1, "parts", 0, "thoughtSignature"), re.compile("skip_.+"), GONE
    ),
}  # fmt: skip
"""Hand-made cases; each says what the provider would wrongly get, or not get, without the quirk."""
ELSEWHERE = {
    "cache_control": "test_a_cache_breakpoint_goes_where_it_is_understood",
    "counts_unwrapped": "test_vertex_counts_the_request_itself",
    "normalise_answers": "test_answers_that_break_the_format_are_written_anew",
    "provider_routing": "test_preferences_reach_a_provider_that_routes_itself",
    "reasoning_content_back": "test_reasoning_goes_back_where_it_must",
    "voyage_rerank": "test_rerank_at_voyage_has_its_own_words",
}
"""Quirks of other operations and of answers: the test of this file that needs them."""


def test_every_quirk_in_the_code_is_listed_and_every_listed_one_is_used() -> None:
    texts = [path.read_text() for path in SOURCE.rglob("*.py") if path.name != "quirks.py"]
    used = {
        name
        for text in texts
        for name in re.findall(r'"([a-z_]+)" (?:not )?in (?:asked\.upstream|target|self\.upstream)\.quirks', text)
    }
    used |= {
        name
        for text in texts
        for name in re.findall(r'^[A-Z]+(?:: Final)? = "([a-z_]+)"\n"""Quirk', text, re.MULTILINE)
    }
    assert used == set(QUIRKS)


def test_every_quirk_is_on_a_row_and_the_rows_say_nothing_else() -> None:
    said = set()
    for region in ("global", "china"):
        catalog = load_catalog(region)
        said |= {quirk for provider in catalog.providers.values() for quirk in provider.quirks}
        said |= {q for model in catalog.models.values() for endpoint in model.endpoints for q in endpoint.quirks}
    assert said == set(QUIRKS)


def test_every_quirk_has_a_case_that_needs_it() -> None:
    assert set(CASES) | set(ELSEWHERE) == set(QUIRKS)
    assert set(ELSEWHERE.values()) <= set(globals())


def _at(body: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        if isinstance(step, str) and step not in body:
            return GONE
        body = body[step]
    return body


def _told_upstream(case: Case, quirks: frozenset[str]) -> Any:
    able = {"tools": True, "vision": True, "reasoning": True, "json_schema": True, "output_tokens_max": 32_000}
    try:
        return _at(sent(attempt(case.body, wire_format=case.wire_format, quirks=quirks, able=able)), case.path)
    except Unprocessable:
        return REFUSED


@pytest.mark.parametrize("quirk", sorted(CASES))
def test_without_its_quirk_a_provider_would_get_something_else(quirk: str) -> None:
    case = CASES[quirk]
    told_with = _told_upstream(case, frozenset({quirk}))
    expected = case.with_it
    assert expected.fullmatch(told_with) if isinstance(expected, re.Pattern) else told_with == expected
    assert _told_upstream(case, frozenset()) == case.without_it
    assert told_with != case.without_it


@pytest.mark.parametrize("understood", [True, False])
def test_a_cache_breakpoint_goes_where_it_is_understood(understood: bool) -> None:
    part = {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}
    body = {"messages": [{"role": "user", "content": [part]}], "max_tokens": 9}
    quirks = frozenset({"cache_control"} if understood else ())
    content = sent(attempt(body, dialect="anthropic_messages", quirks=quirks))["messages"][0]["content"]
    assert (isinstance(content, list) and content[0].get("cache_control") == {"type": "ephemeral"}) is understood


@pytest.mark.parametrize("back", [True, False])
def test_reasoning_goes_back_where_it_must(back: bool) -> None:
    thought = [{"type": "thinking", "thinking": "I look.", "signature": ""}, {"type": "text", "text": "Hi."}]
    messages = [USER, {"role": "assistant", "content": thought}, USER]
    quirks = frozenset({"reasoning_content_back"} if back else ())
    told_upstream = sent(attempt({"messages": messages}, dialect="anthropic_messages", quirks=quirks))["messages"][1]
    assert (told_upstream.get("reasoning_content") == "I look.") is back


@pytest.mark.parametrize("vertex", [True, False])
def test_vertex_counts_the_request_itself(vertex: bool) -> None:
    contents = [{"role": "user", "parts": [{"text": "hi"}]}]
    whole: dict[str, dict[str, Any]] = {
        "generateContentRequest": {"model": "models/x", "contents": contents, "safetySettings": []}
    }
    quirks = ("counts_unwrapped",) if vertex else ()
    counted = sent(ask("count_tokens", whole, "gemini", *quirks, dialect="google_generate"))
    wrapped = {"generateContentRequest": whole["generateContentRequest"] | {"model": "models/model-1"}}
    assert counted == ({"contents": contents} if vertex else wrapped)
    assert google_complaints("vertex" if vertex else "gemini", "CountTokensRequest", counted) == []


@pytest.mark.parametrize("normalised", [True, False])
def test_answers_that_break_the_format_are_written_anew(normalised: bool) -> None:
    """Mistral's content may be a list of parts, which no client of OpenAI's format expects."""
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "hello"}]
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": parts}}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    body = msgspec.json.encode({"id": "a", "model": "m", "choices": [choice], "usage": usage})
    quirks = frozenset({"normalise_answers"} if normalised else ())
    answered = msgspec.json.decode(told(attempt(stream=False, quirks=quirks), body))
    assert (answered["choices"][0]["message"]["content"] == "hello") is normalised


@pytest.mark.parametrize("routes_itself", [True, False])
def test_preferences_reach_a_provider_that_routes_itself(routes_itself: bool) -> None:
    quirks = frozenset({"provider_routing"} if routes_itself else ())
    body = sent(attempt({"provider": {"data_collection": "deny"}}, quirks=quirks))
    assert (body.get("provider") == {"data_collection": "deny"}) is routes_itself


@pytest.mark.parametrize("voyage", [True, False])
def test_rerank_at_voyage_has_its_own_words(voyage: bool) -> None:
    asked = {"query": "q", "documents": ["a", "b"], "top_n": 1}
    body = sent(ask("rerank", asked, "openai_chat", *(("voyage_rerank",) if voyage else ())))
    assert ("top_k" in body, "top_n" in body) == (voyage, not voyage)
