"""What a client was told: an answer of any dialect reduced to its text, its error and whether it ended cleanly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from tests.http_client import Answer


@dataclass
class Told:
    """One answer as a client reads it."""

    status: int
    text: str = ""
    error: str = ""
    """The code of the error, if one was told."""
    ended: bool = False
    """A clean end was told."""
    wrong: str = ""
    """What breaks the dialect or the framing."""


def read_answer(dialect: str, answer: Answer, *, stream: bool) -> Told:
    """Reduce an answer; what cannot be read is told in `wrong`."""
    told = Told(answer.status)
    if not answer.complete:
        told.wrong = f"incomplete answer, status {answer.status}"
    elif not answer.headers.get("x-request-id"):
        told.wrong = "no request id"
    elif answer.headers.get("content-type", "").startswith("text/event-stream"):
        _read_events(dialect, answer.body, told)
    else:
        _read_body(dialect, answer, told, stream=stream)
    if told.error and told.ended:
        told.wrong = "an error and a clean end"
    return told


def _read_body(dialect: str, answer: Answer, told: Told, *, stream: bool) -> None:
    try:
        body: dict[str, Any] = msgspec.json.decode(answer.body)
    except msgspec.DecodeError:
        told.wrong = "no JSON"
        return
    error = body.get("error")
    if error is not None:
        told.error = str(error.get("code"))
        if not isinstance(error.get("message"), str) or not isinstance(error.get("type"), str):
            told.wrong = "an error of no dialect"
        if dialect == "anthropic_messages" and body.get("type") != "error":
            told.wrong = "an error of another dialect"
        return
    if answer.status != 200 or stream:
        told.wrong = f"status {answer.status} and a body for {'a stream' if stream else 'no error'}"
        return
    told.ended = True
    if dialect == "openai_chat":
        told.text = body["choices"][0]["message"]["content"]
    elif dialect == "anthropic_messages":
        told.text = "".join(block.get("text", "") for block in body["content"])
    else:
        told.text = "".join(part["text"] for item in body["output"] for part in item.get("content", []))


def _read_events(dialect: str, body: bytes, told: Told) -> None:
    for block in body.split(b"\n\n"):
        data = b"".join(line[6:] for line in block.split(b"\n") if line.startswith(b"data: "))
        if not data:
            continue
        if told.ended or told.error:
            told.wrong = "an event after the last one"
            return
        if data == b"[DONE]":
            told.ended = True
            continue
        try:
            event: dict[str, Any] = msgspec.json.decode(data)
        except msgspec.DecodeError:
            told.wrong = "an event that is no JSON"
            return
        _EVENTS[dialect](event, told)


def _chat_event(event: dict[str, Any], told: Told) -> None:
    if "error" in event:
        told.error = str(event["error"]["code"])
        if event["choices"][0]["finish_reason"] != "error":
            told.wrong = "an error event without finish_reason error"
        return
    for choice in event["choices"]:
        told.text += choice["delta"].get("content") or ""


def _messages_event(event: dict[str, Any], told: Told) -> None:
    kind = event["type"]
    if kind == "error":
        told.error = str(event["error"].get("code") or event["error"]["type"])
    elif kind == "message_stop":
        told.ended = True
    elif kind == "content_block_delta":
        told.text += event["delta"].get("text", "")


def _responses_event(event: dict[str, Any], told: Told) -> None:
    kind = event["type"]
    if kind == "error":
        told.error = str(event["code"])
    elif kind == "response.failed":
        told.error = str(event["response"]["error"]["code"])
    elif kind == "response.completed":
        told.ended = True
    elif kind == "response.output_text.delta":
        told.text += event["delta"]


_EVENTS = {"openai_chat": _chat_event, "anthropic_messages": _messages_event, "openai_responses": _responses_event}
