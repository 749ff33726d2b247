"""OpenAI-shaped usage -> disjoint counters.

Conventions met in recordings
    cached tokens: `prompt_tokens_details.cached_tokens`; DeepSeek `prompt_cache_hit_tokens`; Moonshot `cached_tokens`.
    reasoning tokens are part of `completion_tokens`, except at xAI, where `total_tokens` shows that they come on top.
Values out of range are clamped and the usage is marked as estimated, so that it is looked at (A55).
"""

from __future__ import annotations

from typing import Final

from handlers.translation.adapters.openai_answer_fields import CompletionDetails, Count, OpenaiUsage, PromptDetails
from handlers.translation.canonical.usage import Usage

TOKENS_MAX: Final = 1_000_000_000
"""No answer has more; a larger number is a fault of the provider."""


class Tally:
    """Reads counters of unknown quality: never negative, never absurd, and remembers whether it had to correct one."""

    __slots__ = ("corrected",)

    def __init__(self) -> None:
        self.corrected = False

    def count(self, value: Count, at_most: int = TOKENS_MAX) -> int:
        """The value within 0..at_most."""
        if isinstance(value, int) and 0 <= value <= at_most:
            return value
        if not value:
            return 0
        if value < 0:
            self.corrected = True
            return 0
        if value > at_most:
            self.corrected = True
            return at_most
        return int(value)


def usage_from_openai(raw: OpenaiUsage) -> Usage:
    """Disjoint counters of an OpenAI-shaped usage."""
    tally = Tally()
    sent, received = raw.prompt_tokens, raw.completion_tokens
    prompt = tally.count(sent if sent is not None else raw.input_tokens)
    completion = tally.count(received if received is not None else raw.output_tokens)
    total = tally.count(raw.total_tokens)
    inward = raw.prompt_tokens_details or raw.input_tokens_details
    outward = raw.completion_tokens_details or raw.output_tokens_details
    cached = raw.prompt_cache_hit_tokens or raw.cached_tokens
    searches = raw.num_search_queries
    if not (inward or outward or cached or searches or raw.reasoning_tokens):
        return Usage(input=prompt, output=completion, estimated=tally.corrected)

    inward = inward or PromptDetails()
    left = prompt
    cache_read = tally.count(inward.cached_tokens or cached, left)
    left -= cache_read
    cache_write = tally.count(inward.cache_write_tokens or inward.cache_creation_tokens, left)
    left -= cache_write
    audio_input = tally.count(inward.audio_tokens, left)
    left -= audio_input
    image_input = tally.count(inward.image_tokens, left)

    outward = outward or CompletionDetails()
    reasoning = tally.count(outward.reasoning_tokens or raw.reasoning_tokens)
    if reasoning and (
        total == prompt + completion + reasoning or (reasoning > completion and total != prompt + completion)
    ):
        completion += reasoning  # reasoning comes on top
    reasoning = tally.count(reasoning, completion)
    rest = completion - reasoning
    audio_output = tally.count(outward.audio_tokens, rest)
    rest -= audio_output
    image_output = tally.count(outward.image_tokens, rest)
    return Usage(
        input=left - image_input,
        cache_read=cache_read,
        cache_write_5m=cache_write,
        output=rest - image_output,
        reasoning=reasoning,
        audio_input=audio_input,
        audio_output=audio_output,
        image_input=image_input,
        image_output=image_output,
        searches=tally.count(searches),
        estimated=tally.corrected,
    )
