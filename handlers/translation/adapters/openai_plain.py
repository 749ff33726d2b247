"""A whole completion that is one text with its usage, told apart from all others by one strict decode.

Whatever is more than that (calls, reasoning, refusals, several choices), less, or not as it should be takes the decoder
(openai_chat_decoder.py), which says the same of plain ones.
"""

from __future__ import annotations

from typing import Final

import msgspec

from handlers.translation.adapters.base import PlainAnswer
from handlers.translation.adapters.decoding import UNREADABLE
from handlers.translation.adapters.openai_answer_fields import PlainCompletion
from handlers.translation.adapters.openai_chat_decoder import CHOICES, FINISH_REASONS
from handlers.translation.adapters.openai_usage import usage_from_openai

_decode: Final = msgspec.json.Decoder(PlainCompletion).decode
_FINISH_WORDS: Final = {native: reason.value for native, reason in FINISH_REASONS.items()}


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
