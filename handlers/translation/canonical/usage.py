"""What one request consumed, in counters that never overlap.

Providers disagree about what "prompt tokens" means: OpenAI and Gemini include cached tokens, Anthropic and Bedrock do not.
Adapters resolve that once, here; nothing downstream subtracts.
"""

from __future__ import annotations

import msgspec


class Usage(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Disjoint counters of one response; tokens unless the name says otherwise. All are zero or more."""

    input: int = 0
    """Prompt tokens read at full price: neither cached, nor audio, nor image."""
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    """Completion tokens that are neither reasoning, nor audio, nor image."""
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    image_output: int = 0
    seconds_ms: int = 0
    """Duration billed by time (transcription), in milliseconds."""
    characters: int = 0
    """Characters billed by length (speech)."""
    images: int = 0
    """Images billed by piece."""
    searches: int = 0
    """Web searches or rerank units run by the provider."""
    estimated: bool = False
    """The provider sent no usage (or not all of it); we counted what we saw."""

    @property
    def prompt_tokens(self) -> int:
        """All tokens on the way in, as OpenAI counts them."""
        return (
            self.input
            + self.cache_read
            + self.cache_write_5m
            + self.cache_write_1h
            + self.audio_input
            + self.image_input
        )

    @property
    def completion_tokens(self) -> int:
        """All tokens on the way out, as OpenAI counts them."""
        return self.output + self.reasoning + self.audio_output + self.image_output


NO_USAGE = Usage()
