"""What a well-behaved provider answers: the pieces of a correct body, which the plays then leave alone or break.

An answer is a list of pieces because its boundaries matter: one piece is one server-sent event, or one whole JSON body.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.upstreams.cloud_answers import bedrock_pieces, cohere_pieces, gemini_pieces

WORDS = ("The ", "quick ", "brown ", "fox ", "jumps ", "over ", "the ", "lazy ", "dog.")


@dataclass(frozen=True)
class Answer:
    """What to say and how."""

    format: str
    """One of those in `format_of`."""
    stream: bool
    model: str
    words: tuple[str, ...] = WORDS
    tool_arguments: str = ""
    """Non-empty: the answer is one call of the tool `lookup` with these arguments."""
    thought: str = ""
    """Non-empty: encrypted reasoning before the text (OpenAI chat in OpenRouter's manner, and Anthropic's signature)."""
    finish: str = "stop"
    usage: dict[str, Any] | None = field(default_factory=lambda: {"input": 11, "cached": 3, "output": 9})
    """input includes cached; None: the provider sends no usage."""

    @property
    def content_type(self) -> str:
        """Of the body."""
        if not self.stream:
            return "application/json"
        return "application/vnd.amazon.eventstream" if self.format == "bedrock_converse" else "text/event-stream"

    @property
    def text(self) -> str:
        """Everything that the model says."""
        return "".join(self.words)


_ENDINGS = {
    "/chat/completions": "openai_chat",
    "/messages": "anthropic_messages",
    "/responses": "openai_responses",
    "/embeddings": "openai_embeddings",
    "/messages/count_tokens": "anthropic_count_tokens",
    ":generateContent": "gemini",
    ":streamGenerateContent": "gemini",
    "/converse": "bedrock_converse",
    "/converse-stream": "bedrock_converse",
    "/v2/chat": "cohere",
}
_STREAMED = (":streamGenerateContent", "/converse-stream")


def format_of(target: str) -> str:
    """The wire format that a request target asks for; empty when none."""
    path = target.partition("?")[0]
    return next((name for ending, name in _ENDINGS.items() if path.endswith(ending)), "")


def asks_for_stream(target: str, body: dict[str, Any]) -> bool:
    """Whether the request wants a stream: some formats say so in the path."""
    return bool(body.get("stream")) or target.partition("?")[0].endswith(_STREAMED)


def body_pieces(answer: Answer) -> list[bytes]:
    """The correct body of an answer."""
    clouds = {"gemini": gemini_pieces, "bedrock_converse": bedrock_pieces, "cohere": cohere_pieces}
    if answer.format == "anthropic_count_tokens":
        return [_encode({"input_tokens": 12})]
    if answer.format in clouds:
        return clouds[answer.format](answer)
    if answer.format == "openai_embeddings":
        return [_embedding(answer)]
    if answer.format == "openai_chat":
        return _chat_events(answer) if answer.stream else [_chat_body(answer)]
    if answer.format == "anthropic_messages":
        return _message_events(answer) if answer.stream else [_message_body(answer)]
    return _response_events(answer) if answer.stream else [_encode(_response(answer, "completed"))]


def event(data: object, name: str = "") -> bytes:
    """One server-sent event."""
    prefix = f"event: {name}\n".encode() if name else b""
    return prefix + b"data: " + _encode(data) + b"\n\n"


def _encode(value: object) -> bytes:
    return msgspec.json.encode(value)


def _chat_usage(answer: Answer) -> dict[str, Any] | None:
    usage = answer.usage
    if usage is None:
        return None
    return {
        "prompt_tokens": usage["input"],
        "completion_tokens": usage["output"],
        "total_tokens": usage.get("total", 20),
        "prompt_tokens_details": {"cached_tokens": usage.get("cached", 0)},
    }


def _chat_body(answer: Answer) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, **_thought(answer)}
    if answer.tool_arguments:
        function = {"name": "lookup", "arguments": answer.tool_arguments}
        message = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        }
    finish = "tool_calls" if answer.tool_arguments else answer.finish
    body: dict[str, Any] = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": answer.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
    }
    if answer.usage is not None:
        body["usage"] = _chat_usage(answer)
    return _encode(body)


def _thought(answer: Answer) -> dict[str, Any]:
    detail = {"type": "reasoning.encrypted", "data": answer.thought, "id": "r1", "index": 0, "format": None}
    return {"reasoning_details": [detail]} if answer.thought else {}


def _chat_events(answer: Answer) -> list[bytes]:
    def chunk(choices: list[dict[str, Any]], **more: object) -> bytes:
        return event(
            {
                "id": "chatcmpl-scripted",
                "object": "chat.completion.chunk",
                "created": 1_700_000_000,
                "model": answer.model,
                "choices": choices,
                **more,
            }
        )

    def delta(value: dict[str, Any], finish: str | None = None) -> bytes:
        return chunk([{"index": 0, "delta": value, "logprobs": None, "finish_reason": finish}])

    pieces = [delta({"role": "assistant", "content": ""})]
    if answer.thought:
        pieces.append(delta(_thought(answer)))
    if answer.tool_arguments:
        start = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": ""}}
        rest = {"index": 0, "function": {"arguments": answer.tool_arguments}}
        pieces += [delta({"tool_calls": [start]}), delta({"tool_calls": [rest]}), delta({}, "tool_calls")]
    else:
        pieces += [delta({"content": word}) for word in answer.words] + [delta({}, answer.finish)]
    if answer.usage is not None:
        pieces.append(chunk([], usage=_chat_usage(answer)))
    return [*pieces, b"data: [DONE]\n\n"]


def _message_usage(answer: Answer) -> dict[str, Any]:
    usage = answer.usage or {"input": 0, "output": 0}
    cached = usage.get("cached", 0)
    return {
        "input_tokens": usage["input"] - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": usage["output"],
    }


def _message(answer: Answer, content: list[dict[str, Any]], stop: str | None) -> dict[str, Any]:
    message: dict[str, Any] = {
        "id": "msg_scripted",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
    }
    if answer.usage is not None:
        message["usage"] = _message_usage(answer)
    return message


def _stop_reason(answer: Answer) -> str:
    if answer.tool_arguments:
        return "tool_use"
    return {"stop": "end_turn", "length": "max_tokens"}.get(answer.finish, answer.finish)


def _message_body(answer: Answer) -> bytes:
    block: dict[str, Any] = {"type": "text", "text": answer.text}
    if answer.tool_arguments:
        arguments = msgspec.json.decode(answer.tool_arguments)
        block = {"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": arguments}
    return _encode(_message(answer, [block], _stop_reason(answer)))


def _message_events(answer: Answer) -> list[bytes]:
    def named(name: str, **fields: object) -> bytes:
        return event({"type": name, **fields}, name)

    block: dict[str, Any] = {"type": "text", "text": ""}
    deltas: list[dict[str, Any]] = [{"type": "text_delta", "text": word} for word in answer.words]
    if answer.tool_arguments:
        block = {"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": answer.tool_arguments}]
    ending: dict[str, Any] = {"delta": {"stop_reason": _stop_reason(answer), "stop_sequence": None}}
    if answer.usage is not None:
        ending["usage"] = {"output_tokens": answer.usage["output"]}
    return [
        named("message_start", message=_message(answer, [], None)),
        named("content_block_start", index=0, content_block=block),
        named("ping"),
        *(named("content_block_delta", index=0, delta=delta) for delta in deltas),
        named("content_block_stop", index=0),
        named("message_delta", **ending),
        named("message_stop"),
    ]


def _response(answer: Answer, status: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": answer.text, "annotations": []}
    item = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    response: dict[str, Any] = {
        "id": "resp_scripted",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": status,
        "model": answer.model,
        "output": [item] if status == "completed" else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    if answer.usage is not None and status == "completed":
        response["usage"] = {
            "input_tokens": answer.usage["input"],
            "input_tokens_details": {"cached_tokens": answer.usage.get("cached", 0)},
            "output_tokens": answer.usage["output"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": answer.usage.get("total", 20),
        }
    return response


def _response_events(answer: Answer) -> list[bytes]:
    pieces: list[bytes] = []

    def add(name: str, **fields: object) -> None:
        pieces.append(event({"type": name, "sequence_number": len(pieces), **fields}, name))

    done = _response(answer, "completed")
    item = done["output"][0]
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    add("response.created", response=_response(answer, "in_progress"))
    add("response.output_item.added", output_index=0, item={**item, "status": "in_progress", "content": []})
    add("response.content_part.added", **where, part={"type": "output_text", "text": "", "annotations": []})
    for word in answer.words:
        add("response.output_text.delta", **where, delta=word, logprobs=[])
    add("response.output_text.done", **where, text=answer.text, logprobs=[])
    add("response.content_part.done", **where, part=item["content"][0])
    add("response.output_item.done", output_index=0, item=item)
    add("response.completed", response=done)
    return pieces


def _embedding(answer: Answer) -> bytes:
    row = {"object": "embedding", "index": 0, "embedding": [0.25, -0.5, 0.125]}
    usage = {"prompt_tokens": 11, "total_tokens": 11}
    return _encode({"object": "list", "data": [row], "model": answer.model, "usage": usage})
