"""Driving the façade as the provider room does: one attempt, its upstream request, an answer in pieces."""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.translation.canonical.attempt import Asked, Output, Translation, UpstreamTarget
from handlers.translation.exchange import begin

SSE_HEAD = {"content-type": "text/event-stream"}
JSON_HEAD = {"content-type": "application/json"}


HELLO = [{"role": "user", "content": "hi"}]
PROMPTS: dict[str, dict[str, Any]] = {
    "openai_chat": {"model": "author/model", "messages": HELLO},
    "anthropic_messages": {"model": "author/model", "messages": HELLO, "max_tokens": 100},
    "openai_responses": {"model": "author/model", "input": "hi"},
    "google_generate": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
    "google_interactions": {"model": "author/model", "input": "hi"},
    "openai_completions": {"model": "author/model", "prompt": "hi"},
}


def attempt(
    body: dict[str, Any] | None = None,
    *,
    dialect: str = "openai_chat",
    wire_format: str = "openai_chat",
    stream: bool = True,
    quirks: frozenset[str] = frozenset(),
    able: dict[str, Any] | None = None,
    body_bytes: bytes = b"",
    **changes: Any,
) -> Translation:
    body = PROMPTS[dialect] | (body or {})
    values: dict[str, Any] = {
        "operation": "chat",
        "upstream": UpstreamTarget(wire_format, "model-1", "maker", "Maker", quirks, **(able or {})),
        "body": body_bytes or msgspec.json.encode(body),
        "content_type": "application/json",
        "target": "/v1/chat/completions",
        "client_headers": {},
        "public_model": "author/model",
        "stateless": True,
        "output_tokens_max": 0,
        "upstream_stream": stream,
        "now_s": 1_700_000_000,
        "response_id": "gen-0123456789abcdef",
    }
    return begin(Asked(dialect=dialect, stream=stream, **(values | changes)))


def sent(translation: Translation) -> dict[str, Any]:
    decoded = msgspec.json.decode(translation.upstream.body)
    assert isinstance(decoded, dict)
    return decoded


def play(
    translation: Translation, *pieces: bytes, status: int = 200, head: dict[str, str] | None = None
) -> list[Output]:
    translation.start(status, head or SSE_HEAD)
    outputs = [translation.receive_data(piece) for piece in pieces]
    if not outputs or not outputs[-1].ended:
        outputs.append(translation.receive_eof())
    return outputs


def told(translation: Translation, *pieces: bytes, head: dict[str, str] | None = None) -> bytes:
    """Everything that the client gets."""
    return b"".join(output.data + output.final for output in play(translation, *pieces, head=head))


def told_json(translation: Translation, *pieces: bytes) -> dict[str, Any]:
    """The one JSON body that the client gets."""
    decoded = msgspec.json.decode(told(translation, *pieces))
    assert isinstance(decoded, dict)
    return decoded


def told_events(translation: Translation, *pieces: bytes) -> list[dict[str, Any]]:
    """The payloads of the stream that the client gets, the end marker left out."""
    lines = told(translation, *pieces).split(b"\n")
    payloads = [line[6:] for line in lines if line.startswith(b"data: ") and line != b"data: [DONE]"]
    return [msgspec.json.decode(payload) for payload in payloads]
