"""The one request and the one answer that everything here is measured with: about 420 bytes in, about 1 KB out.

How a scripted upstream shall stream is asked for within the prompt (`pace=EVENTSxMICROSECONDS`), so that every gateway that
leaves prompts alone can be measured with the same bytes.
"""

from __future__ import annotations

import msgspec

PROVIDER = "openai"
MODEL = "openai/gpt-4o-mini"
PROMPT_TOKENS, COMPLETION_TOKENS = 42, 100

_QUESTION = (
    "Explain in three sentences why a reverse proxy between a client and several language model providers should add as "
    "little latency as possible, and what it has to look at in every request before it can forward it."
)
_TEXT = "The proxy stands on the path of every single token, so whatever it adds is added to all of them. " * 7


def chat_body(*, stream: bool, events: int = 0, gap_us: int = 0, padding: int = 0) -> bytes:
    """A chat completions request; `padding`: bytes of further prompt."""
    pace = f" pace={events}x{gap_us}" if events else ""
    pace += " and more of the same" * (padding // 21)
    fields: dict[str, object] = {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant that answers briefly and precisely."},
            {"role": "user", "content": _QUESTION + pace},
        ],
        "temperature": 0.7,
        "max_tokens": 256,
    }
    if stream:
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.json.encode(fields)


def completion() -> bytes:
    """A provider's whole answer, with its head."""
    body = msgspec.json.encode(
        {
            "id": "chatcmpl-bench0123456789",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "gpt-4o-mini-2024-07-18",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": _TEXT}, "finish_reason": "stop"}],
            "usage": _usage(COMPLETION_TOKENS),
        }
    )
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def stream_events(events: int) -> list[bytes]:
    """A provider's streamed answer as the reads in which it arrives: the head, each event, and the end."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    content = [{"index": 0, "delta": {"content": "a few words of text that take their time "}, "finish_reason": None}]
    stop = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    frames = [_frame(choices=content)] * events
    frames += [_frame(choices=stop), _frame(choices=[], usage=_usage(events)), b"data: [DONE]\n\n"]
    return [head, *(b"%x\r\n%b\r\n" % (len(frame), frame) for frame in frames), b"0\r\n\r\n"]


def _usage(completion_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": completion_tokens,
        "total_tokens": PROMPT_TOKENS + completion_tokens,
    }


def _frame(**fields: object) -> bytes:
    envelope = {"id": "chatcmpl-bench0123456789", "object": "chat.completion.chunk", "created": 1_700_000_000}
    return b"data: %b\n\n" % msgspec.json.encode({**envelope, "model": "gpt-4o-mini-2024-07-18", **fields})
