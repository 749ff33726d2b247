"""Requests with a canary in every position that a request, a key or a provider's answer has."""

from __future__ import annotations

import base64
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec

from tests.claims.canaries import Canaries
from tests.claims.whole_system import WholeSystem
from tests.waiting import PATIENCE_S

CHAT = ("/v1/chat/completions", "openai/gpt-4o-mini")
MESSAGES = ("/v1/messages", "anthropic/claude-sonnet-4.5")
PLAYS = (
    "well",
    "well tool=1",
    "well split=5",
    "echo code=400",
    "echo code=401",
    "echo code=403",
    "echo code=429",
    "echo code=500",
    "error-in-200",
    "error-in-200 k=4 delay_ms=20",
    "reset-at k=900",
    "truncate-at k=900",
    "garbage",
    "html",
    "bent-json kind=bytes",
    "status code=503",
    "slam",
)


def chat_body(canaries: Canaries, name: str, play: str, *, stream: bool) -> dict[str, Any]:
    """An OpenAI chat request, a canary in each place."""

    def plant(position: str) -> str:
        return canaries.plant(f"{name}: {position}")

    image = base64.b64encode(b"\x89PNG" + plant("image bytes").encode()).decode()
    call = {"name": "lookup", "arguments": msgspec.json.encode({plant("argument name"): plant("argument")}).decode()}
    schema = {"type": "object", "properties": {plant("property name"): {"type": "string", "title": plant("title")}}}
    marker = f"{{{{play {play} say={plant('answer')}}}}}"
    return {
        "model": CHAT[1],
        "stream": stream,
        "max_tokens": 200,
        "messages": [
            {"role": "system", "content": plant("system text")},
            {
                "role": "user",
                "name": plant("participant"),
                "content": [
                    {"type": "text", "text": f"{plant('user text')} {marker}"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}},
                ],
            },
            {
                "role": "assistant",
                "content": plant("assistant text"),
                "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": plant("tool result")},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "lookup", "description": plant("tool description"), "parameters": schema},
            }
        ],
        "response_format": {"type": "json_schema", "json_schema": {"name": plant("schema name"), "schema": schema}},
        "stop": [plant("stop sequence")],
        "metadata": {plant("metadata name"): plant("metadata value")},
        "user": plant("user field"),
    }


def messages_body(canaries: Canaries, name: str, play: str, *, stream: bool) -> dict[str, Any]:
    """An Anthropic Messages request, a canary in each place."""

    def plant(position: str) -> str:
        return canaries.plant(f"{name}: {position}")

    marker = f"{{{{play {play} say={plant('answer')}}}}}"
    document = base64.b64encode(plant("document bytes").encode()).decode()
    return {
        "model": MESSAGES[1],
        "stream": stream,
        "max_tokens": 200,
        "system": plant("system text"),
        "messages": [
            {"role": "user", "content": plant("first user text")},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": {"a": plant("tool input")}}
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": plant("tool result")},
                    {
                        "type": "document",
                        "title": plant("file name"),
                        "source": {"type": "base64", "media_type": "application/pdf", "data": document},
                    },
                    {"type": "text", "text": f"{plant('user text')} {marker}"},
                ],
            },
        ],
        "tools": [{"name": "lookup", "description": plant("tool description"), "input_schema": {"type": "object"}}],
        "stop_sequences": [plant("stop sequence")],
        "metadata": {"user_id": plant("metadata")},
    }


def responses_body(canaries: Canaries, name: str, play: str, *, stream: bool) -> dict[str, Any]:
    """An OpenAI Responses request, a canary in each place."""

    def plant(position: str) -> str:
        return canaries.plant(f"{name}: {position}")

    marker = f"{{{{play {play} say={plant('answer')}}}}}"
    call = {"type": "function_call", "call_id": "call_1", "name": "lookup"}
    return {
        "model": CHAT[1],
        "stream": stream,
        "max_output_tokens": 200,
        "instructions": plant("instructions"),
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": plant("first user text")}]},
            {**call, "arguments": msgspec.json.encode({"a": plant("argument")}).decode()},
            {"type": "function_call_output", "call_id": "call_1", "output": plant("tool result")},
            {"role": "user", "content": f"{plant('user text')} {marker}"},
        ],
        "tools": [
            {"type": "function", "name": "lookup", "description": plant("tool"), "parameters": {"type": "object"}}
        ],
        "metadata": {"note": plant("metadata value")},
        "user": plant("user field"),
    }


def send_conversations(world: WholeSystem, canaries: Canaries) -> Iterator[httpx.Response]:
    """Three dialects, streamed and not, through every play."""
    with world.client() as client:
        for number, play in enumerate(PLAYS):
            for stream in (False, True):
                name = f"{play} {'stream' if stream else 'whole'}"
                body = chat_body(canaries, f"chat {name}", play, stream=stream)
                yield client.post(CHAT[0], json=body, headers={"x-request-source": canaries.plant(f"header {number}")})
                body = messages_body(canaries, f"messages {name}", play, stream=stream)
                yield client.post(MESSAGES[0], json=body, headers={"anthropic-beta": canaries.plant(f"beta {number}")})
                yield client.post(
                    "/v1/responses", json=responses_body(canaries, f"responses {name}", play, stream=stream)
                )


def send_abandoned(world: WholeSystem, canaries: Canaries) -> None:
    """Clients that leave while the provider is silent, and in the middle of a stream."""
    for play in ("hang-before-headers", "hang-after k=4"):
        body = chat_body(canaries, f"abandoned {play}", play, stream=True)
        with world.client() as client, contextlib.suppress(httpx.HTTPError):
            client.post(CHAT[0], json=body, timeout=0.5)


def send_faulty(world: WholeSystem, canaries: Canaries) -> Iterator[httpx.Response]:
    """Requests that are refused: wrong values, names, JSON, models, keys."""
    plant = canaries.plant
    good = {"model": CHAT[1], "messages": [{"role": "user", "content": plant("faulty: text")}]}
    bodies: list[Any] = [
        {**good, "model": f"openai/{plant('faulty: model')}".lower()},
        {**good, "model": plant("faulty: model name")},
        {**good, "temperature": plant("faulty: number")},
        {**good, "messages": plant("faulty: messages")},
        {**good, "messages": [{"role": plant("faulty: role"), "content": "x"}]},
        {**good, plant("faulty: field name"): 1},
        {**good, "api_base": f"https://{plant('faulty: address')}.example"},
        {**good, "provider": {"order": [plant("faulty: provider")]}},
        {**good, "models": [plant("faulty: fallback")]},
        {**good, "tools": [{"type": plant("faulty: tool kind")}]},
        {**good, "previous_response_id": plant("faulty: upstream id")},
        [plant("faulty: array")],
    ]
    with world.client() as client:
        for body in bodies:
            yield client.post(CHAT[0], json=body)
        for content in (
            f'{{"model": "{plant("faulty: cut JSON")}',
            f'{{"model": "x", "model": "{plant("faulty: key twice")}"}}',
            f'{{"a": NaN, "b": "{plant("faulty: beside NaN")}"}}',
            plant("faulty: no JSON"),
            "[" * 100 + plant("faulty: depth"),
        ):
            yield client.post(CHAT[0], content=content, headers={"content-type": "application/json"})
        yield client.post(f"{CHAT[0]}?key={plant('faulty: query')}", json=good)
        yield client.get(f"/v1/{plant('faulty: path')}")
        yield client.get(f"/v1/generation?id={plant('faulty: generation')}")
        yield client.request(plant("faulty: method")[:20], "/v1/models")
        yield client.post(CHAT[0], json=good, headers={"cookie": f"session={plant('faulty: cookie', 'openai')}"})
    yield from send_strange_keys(world, canaries)


def send_strange_keys(world: WholeSystem, canaries: Canaries) -> Iterator[httpx.Response]:
    """Keys of other vendors, broken keys and keys in odd places."""
    plant = canaries.plant
    basic = base64.b64encode(f"user:{plant('key: basic')}".encode()).decode()
    headers = [
        {"authorization": f"Bearer {plant('key: openai', 'openai')}"},
        {"authorization": f"Bearer sk-tr-{plant('key: ours')}"},
        {"authorization": f"Basic {basic}"},
        {"authorization": plant("key: bare")},
        {"x-api-key": plant("key: anthropic", "anthropic")},
        {"authorization": f"Bearer {world.key}", "x-api-key": plant("key: two of them", "google")},
        {"x-forwarded-for": plant("key: forwarded"), "x-amz-security-token": plant("key: aws", "aws")},
    ]
    for fields in headers:
        body = {"model": CHAT[1], "messages": [{"role": "user", "content": "x"}]}
        yield httpx.post(f"{world.system.url}{CHAT[0]}", json=body, headers=fields, trust_env=False, timeout=PATIENCE_S)


def send_malformed(world: WholeSystem, canaries: Canaries) -> bytes:
    """Bytes that are no HTTP, with canaries in them; returns what came back."""
    plant = canaries.plant
    requests = [
        f"{plant('malformed: line')}\r\n\r\n",
        f"GET /{plant('malformed: version')} HTTP/9.9\r\n\r\n",
        f"GET / HTTP/1.1\r\nhost: {plant('malformed: host')}/\r\nhost: b\r\n\r\n",
        f"POST {CHAT[0]} HTTP/1.1\r\nhost: a\r\nbad header {plant('malformed: header')}\r\n\r\n",
        f"POST {CHAT[0]} HTTP/1.1\r\nhost: a\r\ncontent-length: {plant('malformed: length')}\r\n\r\n",
        f"POST {CHAT[0]} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{plant('malformed: chunk')}\r\n",
        f"POST {CHAT[0]} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer\t{plant('malformed: key')}\r\n\r\n",
        f"GET /{plant('malformed: long') * 1000} HTTP/1.1\r\nhost: a\r\n\r\n",
    ]
    answers = b""
    for request in requests:
        with socket.create_connection(("127.0.0.1", world.system.port), timeout=5) as connection:
            connection.sendall(request.encode("latin-1"))
            connection.settimeout(1)
            with contextlib.suppress(OSError):
                while data := connection.recv(65536):
                    answers += data
    return answers
