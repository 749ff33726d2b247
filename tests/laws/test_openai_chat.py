from __future__ import annotations

from typing import Any, ClassVar

from handlers.errors import FailureClass
from handlers.translation.adapters.base import Adapter
from handlers.translation.adapters.openai_chat import OpenaiChatAdapter
from handlers.translation.canonical.request import CanonicalRequest
from tests.laws.decoder_laws import DecoderLaws
from tests.laws.made import HOSTILE_TEXT, encode, sse
from tests.laws.requests import SPOKEN

USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0, **extra: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return head() | {"choices": [choice]} | extra


def head() -> dict[str, Any]:
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 5, "model": "model-1"}


def usage_chunk() -> dict[str, Any]:
    return head() | {"choices": [], "usage": USAGE}


def body(message: dict[str, Any], finish: str, **extra: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant"} | message, "logprobs": None, "finish_reason": finish}
    return encode({"id": "c-1", "created": 5, "model": "model-1", "choices": [choice], "usage": USAGE} | extra)


def call(index: int, **function: str) -> dict[str, Any]:
    return {"index": index, "function": function}


CALLS = [
    {"id": "k1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}},
    {"id": "k2", "type": "function", "function": {"name": "leap", "arguments": ""}},
]


class TestOpenaiChat(DecoderLaws):
    adapter: ClassVar[Adapter] = OpenaiChatAdapter()
    made: ClassVar[dict[str, bytes]] = {
        "text": sse(
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": HOSTILE_TEXT}),
            chunk({"content": " end"}),
            chunk({}, "stop"),
            usage_chunk(),
            "[DONE]",
        ),
        "crlf": sse(chunk({"content": HOSTILE_TEXT}), chunk({}, "length"), usage_chunk(), "[DONE]", ending=b"\r\n"),
        "cr": sse(chunk({"content": "hi"}), chunk({}, "stop"), usage_chunk(), "[DONE]", ending=b"\r"),
        "bom and comments": b"\xef\xbb\xbf: hello\n\n"
        + sse(chunk({"content": "hi"}))
        + b": ping\n\n\n"
        + sse(chunk({}, "stop"), usage_chunk(), "[DONE]"),
        "calls": sse(
            chunk({"role": "assistant", "content": None}),
            chunk({"tool_calls": [{"index": 0, "id": "k1", "function": {"name": "look", "arguments": ""}}]}),
            chunk({"tool_calls": [call(0, arguments='{"a"')]}),
            chunk({"tool_calls": [{"index": 1, "id": "k2", "function": {"name": "leap", "arguments": ""}}]}),
            chunk({"tool_calls": [call(0, arguments=":1}")]}),
            chunk({}, "tool_calls"),
            usage_chunk(),
            "[DONE]",
        ),
        "reasoning": sse(
            chunk({"reasoning_content": "hm "}),
            chunk({"reasoning_content": "so"}),
            chunk({"content": "Yes."}),
            chunk({}, "stop"),
            usage_chunk(),
            "[DONE]",
        ),
        "refusal": sse(chunk({"refusal": "I will not."}), chunk({}, "stop"), usage_chunk(), "[DONE]"),
        "two choices": sse(
            chunk({"content": "a"}),
            chunk({"content": "b"}, index=1),
            chunk({}, "stop"),
            chunk({}, "length", index=1),
            usage_chunk(),
            "[DONE]",
        ),
        "empty": sse(chunk({"role": "assistant", "content": ""}), chunk({}, "stop"), usage_chunk(), "[DONE]"),
        "failed": sse(chunk({"content": "a"}), {"error": {"message": "x", "type": "server_error"}}),
    }
    whole: ClassVar[dict[str, bytes]] = {
        "text": body({"content": HOSTILE_TEXT + " end"}, "stop"),
        "calls": body({"content": None, "tool_calls": CALLS}, "tool_calls"),
        "reasoning": body({"content": "Yes.", "reasoning_content": "hm so"}, "stop"),
        "refusal": body({"content": None, "refusal": "I will not."}, "stop"),
        "empty": body({"content": ""}, "stop"),
    }
    unknown: ClassVar[bytes] = sse(chunk({"content": [{"type": "hologram"}]}), chunk({}, "stop"), "[DONE]")
    inexpressible: ClassVar[dict[str, CanonicalRequest]] = {"messages[0].content[0].input_audio": SPOKEN}
    endless: ClassVar[bytes] = sse(chunk({"content": "x" * 100}))
    errors: ClassVar[list[tuple[int, bytes, FailureClass]]] = [
        (400, encode({"error": {"code": "context_length_exceeded"}}), FailureClass.CONTEXT_LENGTH),
        (400, encode({"error": {"type": "invalid_request_error", "param": "n"}}), FailureClass.INVALID_REQUEST),
        (400, encode({"error": {"code": "content_filter"}}), FailureClass.CONTENT_POLICY),
        (401, encode({"error": {"code": "invalid_api_key"}}), FailureClass.UNAUTHENTICATED_UPSTREAM),
        (402, encode({"error": {"message": "Insufficient Balance"}}), FailureClass.QUOTA),
        (404, encode({"error": {"code": "model_not_found"}}), FailureClass.NOT_FOUND_UPSTREAM),
        (429, encode({"error": {"code": "rate_limit_exceeded"}}), FailureClass.RATE_LIMITED),
        (429, encode({"error": {"code": "insufficient_quota"}}), FailureClass.QUOTA),
        (429, encode({"error": {"type": "engine_overloaded_error"}}), FailureClass.OVERLOADED),
        (429, encode({"error": {"code": "1113"}}), FailureClass.QUOTA),
        (429, encode({"error": {"code": "1302"}}), FailureClass.RATE_LIMITED),
        (500, b"<html>oops</html>", FailureClass.SERVER_ERROR),
        (503, b"", FailureClass.OVERLOADED),
        (504, b"", FailureClass.TIMEOUT),
        (200, encode({"base_resp": {"status_code": 1002, "status_msg": "x"}}), FailureClass.RATE_LIMITED),
        (200, encode({"base_resp": {"status_code": 1008}}), FailureClass.QUOTA),
        (200, encode({"error": {"type": "server_error"}}), FailureClass.SERVER_ERROR),
    ]
