"""The declaration of parameters against what adapters and relays really do with each of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from handlers.errors import InvalidRequest, Unprocessable
from handlers.translation.adapters.quirks import QUIRKS
from handlers.translation.canonical.attempt import Asked, Translation, UpstreamTarget
from handlers.translation.canonical.parameters import (
    NO_PARAMETERS,
    OPTIONAL_PARAMETERS,
    RELAYED,
    SAMPLING,
    TAKEN,
    lacking,
    sent_parameters,
    taken,
)
from handlers.translation.canonical.request import Sampling
from handlers.translation.dialects.openai_chat_fields import ChatFields
from handlers.translation.exchange import begin
from handlers.translation.registry import ADAPTERS, RELAYS

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CHAT: dict[str, Any] = {
    "temperature": 0.5, "top_p": 0.5, "top_k": 5, "min_p": 0.1, "top_a": 0.1, "frequency_penalty": 0.1,
    "presence_penalty": 0.1, "repetition_penalty": 1.1, "seed": 7, "logprobs": True, "top_logprobs": 2,
    "logit_bias": {"1": 1}, "stop": ["x"], "reasoning": {"effort": "high"}, "reasoning_effort": "high",
    "parallel_tool_calls": False, "service_tier": "flex", "verbosity": "low", "modalities": ["text", "audio"],
    "audio": {"voice": "a"}, "prediction": {"type": "content", "content": "x"}, "web_search_options": {},
    "safety_identifier": "x", "image_config": {}, "prompt_cache_retention": "24h", "cache_control": {"type": "ephemeral"},
    "n": 2, "nobody_knows_this": 1,
}  # fmt: skip
MESSAGES: dict[str, Any] = {
    "temperature": 0.5, "top_p": 0.5, "top_k": 5, "stop_sequences": ["x"],
    "thinking": {"type": "enabled", "budget_tokens": 2000}, "output_config": {"effort": "high"},
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}, "service_tier": "standard_only",
    "cache_control": {"type": "ephemeral"}, "context_management": {"edits": []}, "mcp_servers": [{"url": "x"}],
    "nobody_knows_this": 1,
}  # fmt: skip
RESPONSES: dict[str, Any] = {
    "temperature": 0.5, "top_p": 0.5, "top_logprobs": 2, "reasoning": {"effort": "high"}, "parallel_tool_calls": False,
    "text": {"verbosity": "low"}, "service_tier": "flex", "truncation": "auto", "max_tool_calls": 3,
    "safety_identifier": "x", "include": ["web_search_call.action.sources"], "context_management": [],
    "nobody_knows_this": 1,
}  # fmt: skip
GOOGLE: dict[str, Any] = {
    "temperature": 0.5, "topP": 0.5, "topK": 5, "candidateCount": 2, "stopSequences": ["x"], "seed": 7,
    "presencePenalty": 0.1, "frequencyPenalty": 0.1, "responseLogprobs": True, "logprobs": 2,
    "thinkingConfig": {"thinkingBudget": 2000}, "responseModalities": ["TEXT", "IMAGE"], "speechConfig": {},
}  # fmt: skip
QUIRK_SETS: tuple[tuple[str, ...], ...] = (
    (), ("open_parameters",), ("no_sampling",), ("open_parameters", "no_sampling"),
)  # fmt: skip


def google(name: str, value: Any) -> dict[str, Any]:
    return {"generationConfig": {name: value}}


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    *(("openai_chat", {name: value}) for name, value in CHAT.items()),
    *(("anthropic_messages", {name: value}) for name, value in MESSAGES.items()),
    *(("openai_responses", {name: value}) for name, value in RESPONSES.items()),
    *(("google_generate", google(name, value)) for name, value in GOOGLE.items()),
    ("openai_responses", {"tools": [{"type": "web_search"}]}),
    ("google_generate", {"tools": [{"googleSearch": {}}]}),
    ("google_generate", {"safetySettings": [{}]}),
]
BODIES: dict[str, dict[str, Any]] = {
    "openai_chat": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9000, "tools": [TOOL]},
    "anthropic_messages": {
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 9000,
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    },
    "openai_responses": {
        "input": "hi",
        "max_output_tokens": 9000,
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
    },
    "google_generate": {
        "contents": [{"parts": [{"text": "hi"}]}],
        "tools": [{"functionDeclarations": [{"name": "f"}]}],
    },
}


def body_of(dialect: str, fields: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"model": "m", **BODIES[dialect], **fields})


def drops(dialect: str, wire_format: str, quirks: tuple[str, ...], fields: dict[str, Any]) -> bool:
    """Whether the pod leaves something out, and says so, or refuses; leaving out in silence is a failure of its own."""
    try:
        translation = attempt(dialect, wire_format, quirks, fields)
    except (Unprocessable, InvalidRequest):
        return True
    if any(warning.startswith("dropped:") for warning in translation.warnings):
        return True
    assert translation.upstream.body != attempt(dialect, wire_format, quirks, {}).upstream.body, "dropped in silence"
    return False


def attempt(dialect: str, wire_format: str, quirks: tuple[str, ...], fields: dict[str, Any]) -> Translation:
    relayed = (dialect, wire_format) in RELAYED
    upstream = UpstreamTarget(
        wire_format, "m", "p", quirks=frozenset(quirks), parameters=taken(wire_format, quirks, relayed=relayed)
    )
    return begin(Asked(
        dialect=dialect, operation="chat", upstream=upstream, body=body_of(dialect, fields),
        content_type="application/json", target="/v1beta/models/m:generateContent", client_headers={},
        public_model="m", stream=False, stateless=False, output_tokens_max=0, upstream_stream=False, now_s=1,
        response_id="r",
    ))  # fmt: skip


def named(value: object) -> str:
    return str(value) if not isinstance(value, dict) else ".".join(str(name) for name in value)


@pytest.mark.parametrize("wire_format", sorted(TAKEN))
@pytest.mark.parametrize(("dialect", "fields"), REQUESTS, ids=named)
def test_what_is_declared_as_lacking_is_what_the_pod_drops(
    dialect: str, fields: dict[str, Any], wire_format: str
) -> None:
    sent = sent_parameters(dialect, body_of(dialect, fields))
    for quirks in QUIRK_SETS:
        missing = lacking(dialect, wire_format, sent, taken(wire_format, quirks))
        assert bool(missing) == drops(dialect, wire_format, quirks, fields), (wire_format, quirks, sent, missing)


@pytest.mark.parametrize("dialect", sorted(BODIES))
def test_a_plain_request_sends_no_parameters(dialect: str) -> None:
    assert sent_parameters(dialect, body_of(dialect, {})) == frozenset()
    assert sent_parameters(dialect, body_of(dialect, {"temperature": None, "user": "u", "model": "m"})) == frozenset()


def test_default_values_are_not_sent() -> None:
    for dialect, fields in (
        ("openai_chat", {"n": 1, "modalities": ["text"], "service_tier": "auto"}),
        ("openai_responses", {"truncation": "disabled", "include": ["reasoning.encrypted_content"]}),
        ("google_generate", google("candidate_count", 1)),
    ):
        assert sent_parameters(dialect, body_of(dialect, fields)) == frozenset(), dialect


def test_what_a_provider_is_known_to_refuse_it_does_not_take() -> None:
    assert "seed" not in taken("openai_chat", lacks=frozenset({"seed"}))
    assert "metadata" not in taken("openai_responses", lacks=frozenset({"metadata"}), relayed=True)


def test_the_tables_name_what_there_is() -> None:
    assert set(TAKEN) == set(ADAPTERS)
    assert set(RELAYS) == RELAYED
    assert set(SAMPLING) == set(Sampling.__struct_fields__)
    assert {"open_parameters", "no_sampling"} <= QUIRKS.keys()
    known = set(ChatFields.__struct_fields__) - NO_PARAMETERS - {"functions", "function_call"}
    assert known <= set(CHAT), "every field of the chat dialect is tried"
    assert all(CHAT.keys() | NO_PARAMETERS >= takes for takes in TAKEN.values())
    assert CHAT.keys() | NO_PARAMETERS >= OPTIONAL_PARAMETERS
