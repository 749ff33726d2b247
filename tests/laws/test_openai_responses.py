from __future__ import annotations

from typing import Any, ClassVar

from handlers.errors import FailureClass
from handlers.translation.adapters.base import Adapter
from handlers.translation.adapters.openai_responses import ResponsesAdapter
from handlers.translation.canonical.request import CanonicalRequest
from tests.laws.decoder_laws import DecoderLaws
from tests.laws.made import HOSTILE_TEXT, encode, sse
from tests.laws.requests import SPEAKING, SPOKEN, TWO_CHOICES

USAGE = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 5},
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 29,
}


def response(output: list[dict[str, Any]], status: str = "completed", **extra: Any) -> dict[str, Any]:
    fields = {"id": "resp_1", "object": "response", "created_at": 5, "model": "model-1", "status": status}
    return fields | {"output": output, "usage": USAGE if status != "in_progress" else None, "error": None} | extra


def created() -> dict[str, Any]:
    return {"type": "response.created", "response": response([], "in_progress")}


def added(index: int, **item: Any) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def done(index: int, **item: Any) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def delta(kind: str, index: int, text: str) -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "output_index": index, "content_index": 0, "delta": text}


def end(output: list[dict[str, Any]], status: str = "completed", **extra: Any) -> dict[str, Any]:
    return {"type": f"response.{status}", "response": response(output, status, **extra)}


def message(text: str) -> dict[str, Any]:
    return {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": text, "annotations": []}]}


def call(number: int, name: str, arguments: str) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{number}",
        "call_id": f"k{number}",
        "name": name,
        "arguments": arguments,
    }


def stream(*events: dict[str, Any], ending: bytes = b"\n") -> bytes:
    return sse(*events, named=True, ending=ending)


THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "hm so"}],
    "encrypted_content": "ZW5j",
}
CUT = {"incomplete_details": {"reason": "max_output_tokens"}}


class TestOpenaiResponses(DecoderLaws):
    adapter: ClassVar[Adapter] = ResponsesAdapter()
    made: ClassVar[dict[str, bytes]] = {
        "text": stream(
            created(),
            added(0, type="message", id="msg_1", content=[]),
            delta("output_text", 0, HOSTILE_TEXT),
            delta("output_text", 0, "."),
            done(0, **message(HOSTILE_TEXT + ".")),
            end([message(HOSTILE_TEXT + ".")]),
        ),
        "crlf": stream(created(), delta("output_text", 0, "a"), end([message("a")]), ending=b"\r\n"),
        "calls": stream(
            created(),
            added(0, **call(1, "look", "")),
            delta("function_call_arguments", 0, '{"a"'),
            delta("function_call_arguments", 0, ":1}"),
            done(0, **call(1, "look", '{"a":1}')),
            added(1, **call(2, "leap", "")),
            done(1, **call(2, "leap", "{}")),
            end([call(1, "look", '{"a":1}'), call(2, "leap", "{}")]),
        ),
        "reasoning": stream(
            created(),
            added(0, type="reasoning", id="rs_1", summary=[]),
            delta("reasoning_summary_text", 0, "hm "),
            delta("reasoning_summary_text", 0, "so"),
            done(0, **THOUGHT),
            added(1, type="message", id="msg_1", content=[]),
            delta("output_text", 1, "Yes."),
            done(1, **message("Yes.")),
            end([THOUGHT, message("Yes.")]),
        ),
        "cut by length": stream(created(), delta("output_text", 0, "a"), end([message("a")], "incomplete", **CUT)),
        "failed": stream(
            created(),
            delta("output_text", 0, "a"),
            {"type": "error", "error": {"type": "server_error"}},
            {"type": "response.failed", "response": response([], "failed")},
        ),
    }
    whole: ClassVar[dict[str, bytes]] = {
        "text": encode(response([message(HOSTILE_TEXT + ".")])),
        "calls": encode(response([call(1, "look", '{"a":1}'), call(2, "leap", "{}")])),
        "reasoning": encode(response([THOUGHT, message("Yes.")])),
        "cut by length": encode(response([message("a")], "incomplete", **CUT)),
    }
    unknown: ClassVar[bytes] = stream(created(), added(0, type="hologram", id="h"), end([]))
    inexpressible: ClassVar[dict[str, CanonicalRequest]] = {
        "n": TWO_CHOICES,
        "modalities": SPEAKING,
        "messages[0].content[0].input_audio": SPOKEN,
    }
    opening: ClassVar[bytes] = stream(created())
    endless: ClassVar[bytes] = stream(delta("output_text", 0, "x" * 100))
    errors: ClassVar[list[tuple[int, bytes, FailureClass]]] = [
        (400, encode({"error": {"code": "context_length_exceeded"}}), FailureClass.CONTEXT_LENGTH),
        (200, encode({"type": "error", "error": {"code": "insufficient_quota"}}), FailureClass.QUOTA),
        (200, encode({"response": {"error": {"code": "rate_limit_exceeded"}}}), FailureClass.RATE_LIMITED),
        (200, encode({"response": {"error": {"code": "server_error"}}}), FailureClass.SERVER_ERROR),
    ]
