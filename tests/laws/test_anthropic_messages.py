from __future__ import annotations

from typing import Any, ClassVar

from handlers.errors import FailureClass
from handlers.translation.adapters.anthropic_messages import AnthropicAdapter
from handlers.translation.adapters.base import Adapter
from handlers.translation.canonical.request import CanonicalRequest
from tests.laws.decoder_laws import DecoderLaws
from tests.laws.made import HOSTILE_TEXT, encode, sse
from tests.laws.requests import SPEAKING, SPOKEN, TWO_CHOICES

PROMPT = {
    "input_tokens": 12,
    "cache_read_input_tokens": 5,
    "cache_creation_input_tokens": 3,
    "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2},
}


def start() -> dict[str, Any]:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "model-1",
        "content": [],
        "usage": PROMPT | {"output_tokens": 1},
    }
    return {"type": "message_start", "message": message}


def block(index: int, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": fields}


def delta(index: int, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": fields}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def end(reason: str = "end_turn", stop_sequence: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    fields = {"stop_reason": reason, "stop_sequence": stop_sequence}
    return {"type": "message_delta", "delta": fields, "usage": {"output_tokens": 9}}, {"type": "message_stop"}


def stream(*events: dict[str, Any], ending: bytes = b"\n") -> bytes:
    return sse(*events, named=True, ending=ending)


def message(content: list[dict[str, Any]], reason: str = "end_turn", stop_sequence: str | None = None) -> bytes:
    return encode(
        {
            "type": "message",
            "role": "assistant",
            "id": "msg_1",
            "model": "model-1",
            "content": content,
            "stop_reason": reason,
            "stop_sequence": stop_sequence,
            "usage": PROMPT | {"output_tokens": 9},
        }
    )


class TestAnthropicMessages(DecoderLaws):
    adapter: ClassVar[Adapter] = AnthropicAdapter()
    made: ClassVar[dict[str, bytes]] = {
        "text": stream(
            start(),
            block(0, type="text", text=""),
            {"type": "ping"},
            delta(0, type="text_delta", text=HOSTILE_TEXT),
            delta(0, type="text_delta", text="."),
            stop(0),
            *end(),
        ),
        "crlf": stream(start(), block(0, type="text", text="a"), stop(0), *end(), ending=b"\r\n"),
        "calls": stream(
            start(),
            block(0, type="text", text=""),
            delta(0, type="text_delta", text="Looking."),
            stop(0),
            block(1, type="tool_use", id="t1", name="look", input={}),
            delta(1, type="input_json_delta", partial_json=""),
            delta(1, type="input_json_delta", partial_json='{"a"'),
            delta(1, type="input_json_delta", partial_json=":1}"),
            stop(1),
            block(2, type="tool_use", id="t2", name="leap", input={}),
            stop(2),
            *end("tool_use"),
        ),
        "thinking": stream(
            start(),
            block(0, type="thinking", thinking="", signature=""),
            delta(0, type="thinking_delta", thinking="hm"),
            delta(0, type="signature_delta", signature="c2ln"),
            stop(0),
            block(1, type="redacted_thinking", data="ZW5j"),
            stop(1),
            block(2, type="text", text=""),
            delta(2, type="text_delta", text="Yes"),
            stop(2),
            *end("stop_sequence", "END"),
        ),
        "failed": stream(start(), block(0, type="text", text="a"), {"type": "error", "error": {"type": "api_error"}}),
    }
    whole: ClassVar[dict[str, bytes]] = {
        "text": message([{"type": "text", "text": HOSTILE_TEXT + "."}]),
        "calls": message(
            [
                {"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "t1", "name": "look", "input": {"a": 1}},
                {"type": "tool_use", "id": "t2", "name": "leap", "input": {}},
            ],
            "tool_use",
        ),
        "thinking": message(
            [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "ZW5j"},
                {"type": "text", "text": "Yes"},
            ],
            "stop_sequence",
            "END",
        ),
    }
    unknown: ClassVar[bytes] = stream(start(), block(0, type="hologram"), stop(0), *end())
    inexpressible: ClassVar[dict[str, CanonicalRequest]] = {
        "n": TWO_CHOICES,
        "modalities": SPEAKING,
        "messages[0].content[0].input_audio": SPOKEN,
    }
    opening: ClassVar[bytes] = stream(start(), block(0, type="text", text=""))
    endless: ClassVar[bytes] = stream(delta(0, type="text_delta", text="x" * 100))
    errors: ClassVar[list[tuple[int, bytes, FailureClass]]] = [
        (
            400,
            encode({"error": {"type": "invalid_request_error", "message": "Your credit balance is too low."}}),
            FailureClass.QUOTA,
        ),
        (
            400,
            encode({"error": {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"}}),
            FailureClass.CONTEXT_LENGTH,
        ),
        (400, encode({"error": {"type": "invalid_request_error"}}), FailureClass.INVALID_REQUEST),
        (401, encode({"error": {"type": "authentication_error"}}), FailureClass.UNAUTHENTICATED_UPSTREAM),
        (403, encode({"error": {"type": "permission_error"}}), FailureClass.UNAUTHENTICATED_UPSTREAM),
        (404, encode({"error": {"type": "not_found_error"}}), FailureClass.NOT_FOUND_UPSTREAM),
        (413, encode({"error": {"type": "request_too_large"}}), FailureClass.CONTEXT_LENGTH),
        (429, encode({"error": {"type": "rate_limit_error"}}), FailureClass.RATE_LIMITED),
        (500, encode({"error": {"type": "api_error", "message": "Overloaded"}}), FailureClass.OVERLOADED),
        (500, encode({"error": {"type": "api_error"}}), FailureClass.SERVER_ERROR),
        (529, encode({"error": {"type": "overloaded_error"}}), FailureClass.OVERLOADED),
        (200, encode({"type": "error", "error": {"type": "overloaded_error"}}), FailureClass.OVERLOADED),
    ]
