from __future__ import annotations

from typing import Any, ClassVar

from handlers.errors import FailureClass
from handlers.translation.adapters.base import Adapter
from handlers.translation.adapters.gemini import GeminiAdapter
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.request import CanonicalRequest, Media, Message
from tests.laws.decoder_laws import DecoderLaws
from tests.laws.made import HOSTILE_TEXT, encode, sse

USAGE = {
    "promptTokenCount": 20,
    "candidatesTokenCount": 7,
    "thoughtsTokenCount": 2,
    "cachedContentTokenCount": 5,
    "totalTokenCount": 29,
}
PARTIAL = {"promptTokenCount": 20, "candidatesTokenCount": 1, "totalTokenCount": 21}
REMOTE = Media("image", "messages[0].content[0].image_url.url", url="https://pictures.example/cat.png")


def chunk(*parts: dict[str, Any], finish: str = "", usage: dict[str, Any] | None = None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    final = USAGE if finish else PARTIAL
    return {
        "candidates": [candidate],
        "usageMetadata": usage or final,
        "modelVersion": "model-1",
        "responseId": "r-1",
    }


def call(name: str, signature: str = "", **args: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"functionCall": {"name": name, "args": args}}
    return fields | ({"thoughtSignature": signature} if signature else {})


def grown(path: str, **value: Any) -> dict[str, Any]:
    return {"functionCall": {"partialArgs": [{"jsonPath": path, **value}], "willContinue": True}}


class TestGemini(DecoderLaws):
    adapter: ClassVar[Adapter] = GeminiAdapter()
    made: ClassVar[dict[str, bytes]] = {
        "text": sse(chunk({"text": HOSTILE_TEXT}), chunk({"text": "."}, finish="STOP")),
        "crlf": sse(chunk({"text": "a"}), chunk(finish="MAX_TOKENS"), ending=b"\r\n"),
        "calls": sse(chunk({"text": "Looking."}), chunk(call("look", "c2ln", a=1), call("look", a=2), finish="STOP")),
        "growing call": sse(
            chunk({"functionCall": {"name": "look", "willContinue": True}, "thoughtSignature": "c2ln"}),
            chunk(grown("$.a.b[0]", stringValue="Bos", willContinue=True)),
            chunk(grown("$.a.b[0]", stringValue="ton")),
            chunk(grown("$.n", numberValue=2)),
            chunk({"functionCall": {}}),
            chunk(finish="STOP"),
        ),
        "thinking": sse(
            chunk({"text": "hm ", "thought": True}),
            chunk({"text": "so", "thought": True}),
            chunk({"text": "Yes."}),
            chunk({"text": "", "thoughtSignature": "c2ln"}, finish="STOP"),
        ),
        "blocked": sse({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": USAGE}),
        "filtered": sse(chunk(finish="SAFETY")),
        "broken call": sse(chunk({"text": "a"}), chunk(finish="MALFORMED_FUNCTION_CALL")),
        "failed": sse(chunk({"text": "a"}), {"error": {"code": 503, "status": "UNAVAILABLE", "message": "x"}}),
    }
    whole: ClassVar[dict[str, bytes]] = {
        "text": encode(chunk({"text": HOSTILE_TEXT + "."}, finish="STOP")),
        "calls": encode(chunk({"text": "Looking."}, call("look", "c2ln", a=1), call("look", a=2), finish="STOP")),
        "growing call": encode(chunk(call("look", "c2ln", a={"b": ["Boston"]}, n=2), finish="STOP")),
        "thinking": encode(
            chunk(
                {"text": "hm so", "thought": True},
                {"text": "Yes."},
                {"text": "", "thoughtSignature": "c2ln"},
                finish="STOP",
            )
        ),
        "blocked": encode({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": USAGE}),
    }
    unknown: ClassVar[bytes] = sse(chunk({"hologram": 1}, finish="STOP"))
    inexpressible: ClassVar[dict[str, CanonicalRequest]] = {
        REMOTE.at: CanonicalRequest(messages=(Message("user", (REMOTE,)),), stream=True)
    }
    endless: ClassVar[bytes] = sse(chunk({"text": "x" * 100}))
    errors: ClassVar[list[tuple[int, bytes, FailureClass]]] = [
        (400, encode({"error": {"status": "INVALID_ARGUMENT"}}), FailureClass.INVALID_REQUEST),
        (
            400,
            encode({"error": {"status": "INVALID_ARGUMENT", "message": "API key not valid."}}),
            FailureClass.UNAUTHENTICATED_UPSTREAM,
        ),
        (
            400,
            encode({"error": {"message": "The input token count (9) exceeds the maximum number of tokens"}}),
            FailureClass.CONTEXT_LENGTH,
        ),
        (403, encode({"error": {"status": "PERMISSION_DENIED"}}), FailureClass.UNAUTHENTICATED_UPSTREAM),
        (404, encode({"error": {"status": "NOT_FOUND"}}), FailureClass.NOT_FOUND_UPSTREAM),
        (429, encode([{"error": {"status": "RESOURCE_EXHAUSTED"}}]), FailureClass.RATE_LIMITED),
        (
            429,
            encode({"error": {"status": "RESOURCE_EXHAUSTED", "message": "You exceeded your current quota"}}),
            FailureClass.RATE_LIMITED,
        ),
        (500, encode({"error": {"status": "INTERNAL"}}), FailureClass.SERVER_ERROR),
        (503, encode({"error": {"status": "UNAVAILABLE"}}), FailureClass.OVERLOADED),
        (504, encode({"error": {"status": "DEADLINE_EXCEEDED"}}), FailureClass.TIMEOUT),
    ]

    def target(self) -> UpstreamTarget:
        quirks = frozenset({"no_media_urls", "thought_signatures"})
        return UpstreamTarget(self.adapter.name, "model-1", "maker", quirks=quirks)
