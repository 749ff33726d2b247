"""Broken requests get a clear refusal, broken answers a failure; neither gets an exception of another kind.

A seeded sample runs always; THEROUTER_LAWS_FULL=1 runs a hundred times as many.
"""

from __future__ import annotations

import random
import re
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from handlers.errors import ClientError
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.events import ResponseCompleted, ResponseFailed
from handlers.translation.registry import ADAPTERS, DIALECTS
from tests.handlers.translation.driving import PROMPTS, attempt
from tests.handlers.translation.test_checklist_gemini_bedrock import SCHEMA
from tests.laws.dialect_laws import CONTEXT
from tests.laws.observing import check_order, decode
from tests.laws.recordings import FULL
from tests.laws.test_anthropic_messages import TestAnthropicMessages as Anthropic
from tests.laws.test_bedrock_converse import TestBedrockConverse as Bedrock
from tests.laws.test_cohere import TestCohere as Cohere
from tests.laws.test_gemini import TestGemini as Gemini
from tests.laws.test_openai_chat import TestOpenaiChat as Chat
from tests.laws.test_openai_responses import TestOpenaiResponses as Responses

ROUNDS = 40_000 if FULL else 400
TOKENS = (
    b"null", b"true", b"-1", b"1e9", b'"x"', b"[]", b"{}", b'""', b"[null]", b'{"type":"text"}', b"5.5", b"[{}]", b"[[]]",
    b'{"$ref":"#"}',
)  # fmt: skip
VALUE = re.compile(rb'("[^"\\]*"|-?\d+|null|true|false|\{\}|\[\])(?=[,}\]])')
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}
RICH: dict[str, dict[str, Any]] = {
    "openai_chat": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi"}, IMAGE]},
            {"role": "assistant", "tool_calls": [{"id": "k", "function": {"name": "look", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "k", "content": "seen"},
        ],
        "tools": TOOLS,
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}},
        "reasoning": {"effort": "low"},
    },
    "anthropic_messages": {
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}],
            },
            {"role": "assistant", "content": [{"type": "tool_use", "id": "k", "name": "look", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "k", "content": "seen"}]},
        ],
        "tools": [{"name": "look", "input_schema": SCHEMA}],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
    },
    "openai_responses": {
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "function_call", "call_id": "k", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "k", "output": "seen"},
        ],
        "tools": [{"type": "function", "name": "look", "parameters": SCHEMA}],
        "text": {"format": {"type": "json_schema", "name": "s", "schema": SCHEMA}},
    },
    "google_generate": {
        "contents": [
            {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]},
            {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {}}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "look", "parameters": SCHEMA}]}],
        "generationConfig": {"temperature": 1, "thinkingConfig": {"thinkingBudget": 5}},
    },
    "google_interactions": {
        "input": [
            {"type": "user_input", "content": [{"type": "image", "mime_type": "image/png", "data": "AAAA"}]},
            {"type": "thought", "signature": "AAAA", "summary": [{"type": "text", "text": "hm"}]},
            {"type": "function_call", "id": "k", "name": "look", "arguments": {}},
            {"type": "function_result", "call_id": "k", "result": {"seen": 1}},
        ],
        "tools": [{"type": "function", "name": "look", "parameters": SCHEMA}],
        "generation_config": {"temperature": 1, "thinking_level": "low", "tool_choice": "any"},
        "response_format": {"type": "text", "mime_type": "application/json", "schema": SCHEMA},
    },
    "openai_completions": {"prompt": ["hi"], "stop": ["x"], "n": 1},
}


def mutated(body: bytes, source: random.Random) -> bytes:
    for _ in range(source.choice((1, 1, 2, 3))):
        places = list(VALUE.finditer(body))
        if places:
            place = source.choice(places)
            body = body[: place.start()] + source.choice(TOKENS) + body[place.end() :]
    return body


@pytest.mark.claim("A37")
@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_a37_a_broken_request_is_refused_clearly_or_translated(dialect: str) -> None:
    source = random.Random(dialect)
    whole = msgspec.json.encode(PROMPTS[dialect] | RICH[dialect])
    for _ in range(ROUNDS):
        wire_format = source.choice(sorted(ADAPTERS))
        upstream = UpstreamTarget(wire_format, "m", "p", json_schema=source.random() < 0.5)
        body = mutated(whole, source)
        with suppress(ClientError):
            attempt(dialect=dialect, upstream=upstream, body_bytes=body, stateless=source.random() < 0.5)


@pytest.mark.parametrize("laws", [Anthropic, Bedrock, Chat, Cohere, Gemini, Responses])
def test_a_broken_answer_ends_in_order_in_every_dialect(laws: type[Chat]) -> None:
    source = random.Random(laws.__name__)
    under_test = laws()
    for _ in range(ROUNDS):
        streams = source.random() < 0.6 and laws.__name__ != "TestBedrockConverse"
        bodies = list((laws.made if streams else laws.whole).values())
        events = decode(under_test.decoder(streams=streams), [mutated(source.choice(bodies), source)])
        check_order(events)
        encoder = DIALECTS[source.choice(sorted(DIALECTS))].stream_encoder(CONTEXT)
        for event in events:
            if isinstance(event, ResponseCompleted):
                encoder.complete()
            elif isinstance(event, ResponseFailed):
                encoder.fail(event)
            else:
                encoder.encode(event)
