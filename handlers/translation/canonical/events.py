"""The whole vocabulary of an answer. Adapters speak it, dialects understand it, metering reads it.

Rules (each is a law in tests/laws)
    ResponseStarted first, exactly one of ResponseCompleted and ResponseFailed last.
    A block is started, gets any number of deltas, and is stopped; indices are dense from zero. Several blocks may be open
    at once, because upstreams interleave tool calls.
    UsageReported is cumulative: each replaces the one before.
    Every choice that an upstream finishes has one ChoiceFinished, after its blocks.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from handlers.errors import FailureClass
from handlers.translation.canonical.usage import Usage


class BlockKind(StrEnum):
    """What a block holds."""

    TEXT = "text"
    REASONING = "reasoning"
    TOOL_CALL = "tool_call"
    REFUSAL = "refusal"
    IMAGE = "image"
    AUDIO = "audio"


class FinishReason(StrEnum):
    """Why a choice ended."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    ERROR = "error"


class ResponseStarted(msgspec.Struct, frozen=True, gc=False):
    """The provider has begun to answer."""

    id: str = ""
    model: str = ""
    created: int = 0
    """Unix seconds, 0 when the provider does not say."""


class BlockStarted(msgspec.Struct, frozen=True, gc=False):
    """A block begins."""

    index: int
    kind: BlockKind
    choice: int = 0
    id: str = ""
    """Of a tool call or of a reasoning item."""
    name: str = ""
    """Of the tool."""
    form: str = ""
    """Of reasoning: `text`, `summary` or `encrypted` (no readable text); of media: its media type."""
    origin: str = ""
    """Whose proof the reasoning carries: anthropic | openai | google, or empty."""


class BlockDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of a block: text, reasoning text, or the text of a tool's JSON arguments."""

    index: int
    text: str = ""
    signature: str = ""
    """Proof of reasoning that must go back byte for byte."""
    data: str = ""
    """Encrypted reasoning, or media in base64."""
    logprobs: msgspec.Raw | None = None
    """The provider's JSON, in OpenAI's shape."""


class BlockStopped(msgspec.Struct, frozen=True, gc=False):
    """A block is complete."""

    index: int


class Cited(msgspec.Struct, frozen=True, gc=False):
    """The text block rests on a source."""

    index: int
    url: str = ""
    title: str = ""
    start: int = 0
    end: int = 0
    """Character range within the block, 0..0 when unknown."""


class UsageReported(msgspec.Struct, frozen=True, gc=False):
    """What the answer has consumed so far."""

    usage: Usage


class ChoiceFinished(msgspec.Struct, frozen=True, gc=False):
    """One choice is over."""

    reason: FinishReason
    choice: int = 0
    native_reason: str = ""
    """The provider's own word."""
    stop_sequence: str = ""


class ResponseCompleted(msgspec.Struct, frozen=True, gc=False):
    """The provider finished; nothing follows."""


class ResponseFailed(msgspec.Struct, frozen=True, gc=False):
    """The attempt failed; nothing follows."""

    failure: FailureClass
    retry_after_ms: int = 0
    param: str = ""
    message: str = ""


class Unrecognized(msgspec.Struct, frozen=True, gc=False):
    """The provider sent something that we know no meaning for; counted, never forwarded."""

    what: str = ""
    """A name of ours for the place, never upstream text."""


Event = (
    ResponseStarted
    | BlockStarted
    | BlockDelta
    | BlockStopped
    | Cited
    | UsageReported
    | ChoiceFinished
    | ResponseCompleted
    | ResponseFailed
    | Unrecognized
)
