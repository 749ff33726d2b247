from __future__ import annotations

from typing import Any, ClassVar

from handlers.errors import FailureClass
from handlers.translation.adapters.base import Adapter
from handlers.translation.adapters.cohere import CohereAdapter
from handlers.translation.canonical.request import CanonicalRequest
from tests.laws.decoder_laws import DecoderLaws
from tests.laws.made import HOSTILE_TEXT, encode, sse
from tests.laws.requests import SPEAKING, SPOKEN, TWO_CHOICES

USAGE = {
    "billed_units": {"input_tokens": 12, "output_tokens": 9},
    "tokens": {"input_tokens": 500, "output_tokens": 20, "reasoning_tokens": 4},
    "cached_tokens": 144,
}
START = {"type": "message-start", "id": "m-1", "delta": {"message": {"role": "assistant"}}}


def piece(kind: str, message: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {"type": kind, "index": index, "delta": {"message": message}}


def text(content: str, name: str = "text") -> dict[str, Any]:
    return piece("content-delta", {"content": {name: content}})


def begin_call(index: int, call_id: str, name: str) -> dict[str, Any]:
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
    return piece("tool-call-start", {"tool_calls": call}, index)


def arguments(index: int, text_: str) -> dict[str, Any]:
    return piece("tool-call-delta", {"tool_calls": {"function": {"arguments": text_}}}, index)


def end(reason: str = "COMPLETE") -> dict[str, Any]:
    return {"type": "message-end", "delta": {"finish_reason": reason, "usage": USAGE}}


def stream(*events: dict[str, Any], ending: bytes = b"\n") -> bytes:
    return sse(*events, named=True, ending=ending)


def answer(message: dict[str, Any], reason: str = "COMPLETE") -> bytes:
    return encode({"id": "m-1", "message": {"role": "assistant"} | message, "finish_reason": reason, "usage": USAGE})


class TestCohere(DecoderLaws):
    adapter: ClassVar[Adapter] = CohereAdapter()
    made: ClassVar[dict[str, bytes]] = {
        "text": stream(
            START, piece("content-start", {"content": {"type": "text", "text": ""}}), text(HOSTILE_TEXT), end()
        ),
        "crlf": stream(START, text("a"), end("MAX_TOKENS"), ending=b"\r\n"),
        "calls": stream(
            START,
            piece("tool-plan-delta", {"tool_plan": "I "}),
            piece("tool-plan-delta", {"tool_plan": "look"}),
            begin_call(0, "k1", "look"),
            arguments(0, '{"a"'),
            arguments(0, ":1}"),
            {"type": "tool-call-end", "index": 0},
            begin_call(1, "k2", "leap"),
            {"type": "tool-call-end", "index": 1},
            end("TOOL_CALL"),
        ),
        "thinking": stream(START, text("hm", "thinking"), text("Yes."), end()),
        "failed": stream(START, text("a"), end("ERROR")),
    }
    whole: ClassVar[dict[str, bytes]] = {
        "text": answer({"content": [{"type": "text", "text": HOSTILE_TEXT}]}),
        "calls": answer(
            {
                "tool_plan": "I look",
                "tool_calls": [
                    {"id": "k1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}},
                    {"id": "k2", "type": "function", "function": {"name": "leap", "arguments": "{}"}},
                ],
            },
            "TOOL_CALL",
        ),
        "thinking": answer({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Yes."}]}),
    }
    unknown: ClassVar[bytes] = stream(START, {"type": "hologram"}, end())
    inexpressible: ClassVar[dict[str, CanonicalRequest]] = {
        "n": TWO_CHOICES,
        "modalities": SPEAKING,
        "messages[0].content[0].input_audio": SPOKEN,
    }
    opening: ClassVar[bytes] = stream(START)
    endless: ClassVar[bytes] = stream(text("x" * 100))
    errors: ClassVar[list[tuple[int, bytes, FailureClass]]] = [
        (400, encode({"message": "invalid request: too many tokens: x"}), FailureClass.CONTEXT_LENGTH),
        (400, encode({"message": "invalid request"}), FailureClass.INVALID_REQUEST),
        (401, encode({"message": "no api key supplied"}), FailureClass.UNAUTHENTICATED_UPSTREAM),
        (404, encode({"message": "model 'x' not found"}), FailureClass.NOT_FOUND_UPSTREAM),
        (422, encode({"message": "unprocessable"}), FailureClass.INVALID_REQUEST),
        (429, encode({"message": "rate limited"}), FailureClass.RATE_LIMITED),
        (500, encode({"message": "internal server error"}), FailureClass.SERVER_ERROR),
        (503, encode({"message": "x"}), FailureClass.OVERLOADED),
    ]
