"""Judges nobody here wrote: the strict response models of the official SDKs, one verdict for each answer.

They come with the tests' dependencies; a machine that only runs the system has none of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

import msgspec


class NoJudges(RuntimeError):
    """The SDKs are not installed."""


Judge = Callable[[bytes, bool], str]
"""(body, streamed) -> what is wrong with it, or empty."""


def load_judges() -> dict[str, Judge]:
    """A judge for each dialect.

    Raises:
        NoJudges: with the remedy.
    """
    try:
        pydantic: Any = import_module("pydantic")
        chat: Any = import_module("openai.types.chat")
        responses: Any = import_module("openai.types.responses")
        anthropic: Any = import_module("anthropic.types.beta")
        google: Any = import_module("google.genai.types")
        interactions: Any = import_module("google.genai.interactions")
    except ImportError:
        raise NoJudges("the judges are the official SDKs; install the tests' dependencies: make check") from None
    response_event = pydantic.TypeAdapter(responses.ResponseStreamEvent)
    message_event = pydantic.TypeAdapter(anthropic.BetaRawMessageStreamEvent)
    chunk, completion = chat.ChatCompletionChunk.model_validate, chat.ChatCompletion.model_validate
    gemini = google.GenerateContentResponse.model_validate
    return {
        "openai_chat": _judge(chunk, completion, ends_with=b"data: [DONE]"),
        "openai_responses": _judge(response_event.validate_python, responses.Response.model_validate),
        "anthropic_messages": _judge(
            _but_ping(message_event.validate_python), anthropic.BetaMessage.model_validate, ends_with=b'"message_stop"'
        ),
        "google_generate": _judge(gemini, gemini),
        "google_interactions": _judge(
            _but_unknown(pydantic.TypeAdapter(interactions.InteractionSSEEvent).validate_python),
            _but_unknown(interactions.Interaction.model_validate),
            ends_with=b"data: [DONE]",
        ),
    }


class _UnknownShapeError(ValueError):
    """Something that the SDK keeps without knowing what it is."""


def _but_unknown(validate: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The SDK forgives events and steps that it does not know; a judge does not."""

    def check(value: Any) -> None:
        if type(value).__name__.startswith("Unknown"):
            raise _UnknownShapeError
        if isinstance(value, list):
            for item in value:
                check(item)
        for inner in vars(value).values() if hasattr(value, "model_fields_set") else ():
            check(inner)

    return lambda value: check(validate(value))


def _but_ping(validate: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The SDK swallows pings before it looks at events."""
    return lambda value: None if value.get("type") == "ping" else validate(value)


def _judge(event: Callable[[Any], Any], whole: Callable[[Any], Any], ends_with: bytes = b"") -> Judge:
    def judge(body: bytes, streamed: bool) -> str:  # noqa: FBT001 the shape of a Judge
        try:
            if not streamed:
                whole(msgspec.json.decode(body))
                return ""
            payloads = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
            if ends_with and ends_with not in body[-400:]:
                return "the stream has no end marker"
            for payload in payloads:
                if payload != b"[DONE]":
                    event(msgspec.json.decode(payload))
            return "" if payloads else "the stream is empty"
        except Exception as error:  # noqa: BLE001 whatever a judge raises is its verdict
            return _verdict(error)

    return judge


def _verdict(error: Exception) -> str:
    """The first complaint that is not about a field newer than the SDK: its place and kind, never a value."""
    listed: Any = getattr(error, "errors", None)
    if not callable(listed):
        return type(error).__name__
    complaints = [one for one in listed() if one["type"] != "extra_forbidden"]
    if not complaints:
        return ""
    place = ".".join(re.sub(r"\d+", "*", str(part)) for part in complaints[0]["loc"])
    return f"{place}: {complaints[0]['type']}"
