"""What is read of answers in OpenAI's shape: chunks, whole answers, and the usage that others report in the same words.

Fields are as forgiving as providers are inventive, but for plain answers: theirs say what no plain answer has.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Count = int | float | None


class PromptDetails(msgspec.Struct, frozen=True, gc=False):
    """`prompt_tokens_details`, or `input_tokens_details` of the Responses API."""

    cached_tokens: Count = None
    cache_write_tokens: Count = None
    cache_creation_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None


class CompletionDetails(msgspec.Struct, frozen=True, gc=False):
    """`completion_tokens_details`, or `output_tokens_details`."""

    reasoning_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None


class OpenaiUsage(msgspec.Struct, frozen=True, gc=False):
    """`usage` of chat completions, embeddings and their kind."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: Count = None
    cached_tokens: Count = None
    reasoning_tokens: Count = None
    num_search_queries: Count = None
    input_tokens: Count = None
    output_tokens: Count = None
    input_tokens_details: PromptDetails | None = None
    output_tokens_details: CompletionDetails | None = None


class FunctionDelta(msgspec.Struct, gc=False):
    """`function` of a tool call."""

    name: str | None = None
    arguments: Any = None


class CustomDelta(msgspec.Struct, gc=False):
    """`custom` of a tool call with free text."""

    name: str | None = None
    input: str | None = None


class CallDelta(msgspec.Struct, gc=False):
    """A tool call, or a piece of one."""

    index: int | None = None
    id: str | int | None = None
    function: FunctionDelta | None = None
    custom: CustomDelta | None = None
    extra_content: Any = None


NO_RAW = msgspec.Raw()


class Delta(msgspec.Struct, gc=False):
    """What a chunk adds to a choice, or the message of a whole answer."""

    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    reasoning_details: list[Any] | None = None
    refusal: str | None = None
    tool_calls: list[CallDelta] | None = None
    audio: Any = None
    images: list[Any] | None = None
    annotations: list[Any] | None = None


class Choice(msgspec.Struct, gc=False):
    """A choice of a chunk or of a whole answer."""

    delta: Delta | None = None
    finish_reason: str | None = None
    index: int | None = None
    message: Delta | None = None
    text: str | None = None
    logprobs: msgspec.Raw = NO_RAW
    usage: OpenaiUsage | None = None


class Groq(msgspec.Struct, gc=False):
    """Where Groq puts what others put at the top."""

    usage: OpenaiUsage | None = None


class Chunk(msgspec.Struct, gc=False):
    """One chunk, or one whole answer."""

    choices: list[Choice] | None = None
    usage: OpenaiUsage | None = None
    id: str | int | None = None
    model: str | None = None
    created: int | float | None = None
    error: Any = None
    base_resp: dict[str, Any] | None = None
    x_groq: Groq | None = None


_Nothing = Literal[""] | None
_Empty = Annotated[list[Any], Meta(max_length=0)] | None


class PlainMessage(msgspec.Struct, gc=False):
    """A message that is one text."""

    content: Annotated[str, Meta(min_length=1)]
    refusal: _Nothing = None
    reasoning: _Nothing = None
    reasoning_content: _Nothing = None
    reasoning_details: _Empty = None
    tool_calls: _Empty = None
    images: _Empty = None
    annotations: _Empty = None
    audio: None = None


class PlainChoice(msgspec.Struct, gc=False):
    """The only choice, which is over."""

    message: PlainMessage
    finish_reason: str
    index: Literal[0] | None = None
    delta: None = None


class PlainCompletion(msgspec.Struct, gc=False):
    """A whole answer that is one text with its usage, and nothing else that anybody reads."""

    choices: Annotated[list[PlainChoice], Meta(min_length=1, max_length=1)]
    usage: OpenaiUsage
    id: str | int | None = None
    model: str | None = None
    error: None = None
    base_resp: None = None
