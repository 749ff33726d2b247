"""A provider that can do what a compliance suite asks for: text, tool calls, reasoning, structured output, streams.

It speaks OpenAI's chat format and is no model: a call's arguments are made from the tool's schema, JSON from the format's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from tests.upstreams.answering import Asked, Reply, answering

TEXT = "Hello from a scripted provider."
USAGE = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}
THOUGHT = {"completion_tokens_details": {"reasoning_tokens": 3}}


def example(schema: dict[str, Any]) -> Any:
    """A value that a JSON schema allows, for the plain schemas of the suites."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        return {name: example(inner) for name, inner in (schema.get("properties") or {}).items()}
    if kind == "array":
        return [example(schema.get("items") or {"type": "string"})]
    return {"integer": 1, "number": 1.5, "boolean": True}.get(str(kind), "Paris")


def message(request: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """What to say, and why it ends."""
    said: dict[str, Any] = {"role": "assistant", "content": TEXT}
    answered = any(turn["role"] == "tool" for turn in request["messages"])
    if request.get("tools") and not answered and request.get("tool_choice") != "none":
        function = request["tools"][0]["function"]
        arguments = msgspec.json.encode(example(function.get("parameters") or {"type": "object"})).decode()
        call = {"id": "call_0", "type": "function", "function": {"name": function["name"], "arguments": arguments}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    wanted = request.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        said["content"] = msgspec.json.encode(example(wanted["json_schema"]["schema"])).decode()
    if request.get("reasoning_effort"):
        said["reasoning_content"] = "Thinking it over."
    if request.get("max_tokens") == 1:
        return said, "length"
    return said, "stop"


Says = Callable[[dict[str, Any]], tuple[dict[str, Any], str]]
"""A request -> the message that answers it, and why it ends."""


def apt_upstream(says: Says = message) -> AbstractContextManager[str]:
    """The address of such a provider, with its /v1."""

    def answer(asked: Asked) -> Reply:
        request = msgspec.json.decode(asked.body)
        said, finish = says(request)
        if request.get("stream"):
            return Reply(_stream(said, finish), content_type="text/event-stream")
        return Reply(_whole(said, finish))

    return answering(answer)


def usage(said: dict[str, Any]) -> dict[str, Any]:
    return USAGE | (THOUGHT if said.get("reasoning_content") else {})


def _whole(said: dict[str, Any], finish: str) -> bytes:
    choice = {"index": 0, "message": said, "finish_reason": finish}
    return msgspec.json.encode(
        {"id": "chatcmpl-1", "model": "apt", "created": 1, "choices": [choice], "usage": usage(said)}
    )


def _stream(said: dict[str, Any], finish: str) -> bytes:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    if said.get("reasoning_content"):
        deltas.append({"reasoning_content": said["reasoning_content"]})
    for call in said.get("tool_calls", []):
        arguments = call["function"]["arguments"]
        deltas.append({"tool_calls": [{"index": 0, **call, "function": {**call["function"], "arguments": ""}}]})
        deltas.append({"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]})
    text = said.get("content") or ""
    deltas += [{"content": word + " "} for word in text.split(" ")[:-1]] + (
        [{"content": text.split(" ")[-1]}] if text else []
    )
    chunks: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    chunks.append({"index": 0, "delta": {}, "finish_reason": finish})
    head = {"id": "chatcmpl-1", "model": "apt", "created": 1}
    frames = [b"data: " + msgspec.json.encode(head | {"choices": [chunk]}) + b"\n\n" for chunk in chunks]
    last = b"data: " + msgspec.json.encode(head | {"choices": [], "usage": usage(said)}) + b"\n\n"
    return b"".join(frames) + last + b"data: [DONE]\n\n"
