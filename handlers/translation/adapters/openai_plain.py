"""A whole completion that is one text with its usage, told apart from all others by one strict decode.

Whatever is more than that (calls, reasoning, refusals, several choices), less, or not as it should be takes the decoder
(openai_chat_decoder.py), which says the same of plain ones.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from handlers.translation.adapters.base import PlainAnswer
from handlers.translation.adapters.decoding import UNREADABLE
from handlers.translation.adapters.openai_chat_decoder import CHOICES, FINISH_REASONS
from handlers.translation.adapters.openai_usage import OpenaiUsage, usage_from_openai

_Nothing = Literal[""] | None
_Empty = Annotated[list[Any], Meta(max_length=0)] | None


class _Message(msgspec.Struct, gc=False):
    content: Annotated[str, Meta(min_length=1)]
    refusal: _Nothing = None
    reasoning: _Nothing = None
    reasoning_content: _Nothing = None
    reasoning_details: _Empty = None
    tool_calls: _Empty = None
    images: _Empty = None
    annotations: _Empty = None
    audio: None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message
    finish_reason: str
    index: Literal[0] | None = None
    delta: None = None


class _Completion(msgspec.Struct, gc=False):
    choices: Annotated[list[_Choice], Meta(min_length=1, max_length=1)]
    usage: OpenaiUsage
    id: str | int | None = None
    model: str | None = None
    error: None = None
    base_resp: None = None


_decode = msgspec.json.Decoder(_Completion).decode
_FINISH_WORDS = {native: reason.value for native, reason in FINISH_REASONS.items()}


def read_plain(data: bytes) -> PlainAnswer | None:
    """What a plain completion says; None for anything else."""
    if data.count(CHOICES) > 1:
        return None  # the decoder says why (A59)
    try:
        if not data.isascii():
            data.decode()
        answer = _decode(data)
    except UNREADABLE:
        return None
    usage = usage_from_openai(answer.usage)
    reason = _FINISH_WORDS.get(answer.choices[0].finish_reason)
    if reason is None or not (usage.input or usage.output or usage.prompt_tokens or usage.completion_tokens):
        return None
    return PlainAnswer(usage, reason, answer.model or "", str(answer.id or ""))
