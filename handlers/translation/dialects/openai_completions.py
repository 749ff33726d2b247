"""Legacy completions: a prompt and its continuation, served by conversation models.

The prompt becomes the user's turn. What only a bare language model can do (echo, suffixes, several prompts, token ids) is
refused by name.
"""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.errors import InvalidRequest, Unprocessable
from handlers.translation.canonical.assembled import Answer
from handlers.translation.canonical.events import (
    BlockDelta,
    BlockKind,
    BlockStarted,
    ChoiceFinished,
    Event,
    FinishReason,
    ResponseFailed,
    ResponseStarted,
    UsageReported,
)
from handlers.translation.canonical.request import CanonicalRequest, Message, Sampling, Text
from handlers.translation.canonical.usage import NO_USAGE
from handlers.translation.dialects.base import AnswerContext, ClientBody, Dialect
from handlers.translation.dialects.openai_chat import DONE, error_fields, usage_fields
from handlers.translation.dialects.openai_chat_fields import StreamOptionsField
from handlers.translation.dialects.reading import (
    CHOICES_MAX,
    GATEWAY_FIELDS,
    OUTPUT_TOKENS_MAX,
    check_range,
    decode_body,
    decode_top,
    read_stops,
)

OUTPUT_TOKENS_DEFAULT = 16
"""What the legacy API gives where the client names no cap."""
_FINISH = {FinishReason.LENGTH: "length", FinishReason.CONTENT_FILTER: "content_filter"}
_encode = msgspec.json.Encoder().encode


class CompletionsFields(msgspec.Struct):
    """The body."""

    prompt: str | list[Any]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptionsField | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Any = None
    user: str | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = None
    logprobs: int | None = None


_FIELDS = msgspec.json.Decoder(CompletionsFields)
_KNOWN = frozenset(CompletionsFields.__struct_fields__) | GATEWAY_FIELDS


def parse_completions(client: ClientBody) -> CanonicalRequest:
    """The request in canonical terms."""
    fields = decode_body(_FIELDS, client.body)
    _check(fields)
    options = fields.stream_options
    return CanonicalRequest(
        messages=(Message("user", (Text(_prompt(fields)),), "prompt"),),
        stream=client.stream,
        include_usage=bool(options and options.include_usage),
        padded=bool(options and options.include_obfuscation),
        sampling=Sampling(
            temperature=fields.temperature,
            top_p=fields.top_p,
            seed=fields.seed,
            presence_penalty=fields.presence_penalty,
            frequency_penalty=fields.frequency_penalty,
        ),
        stop=read_stops("stop", fields.stop),
        output_tokens_max=fields.max_tokens or OUTPUT_TOKENS_DEFAULT,
        choices=fields.n or 1,
        user=fields.user or "",
        unknown=tuple(name for name in decode_top(client.body) if name not in _KNOWN),
    )


def encode_whole(answer: Answer, context: AnswerContext) -> bytes:
    """One completion."""
    choices = [
        _choice(
            answer.text(choice, BlockKind.TEXT, BlockKind.REFUSAL),
            choice,
            _FINISH.get(answer.finish(choice).reason, "stop"),
        )
        for choice in answer.choices()
    ]
    head = _head(answer.id or context.response_id, answer.created or context.now_s, context)
    return _encode(head | {"choices": choices, "usage": usage_fields(answer.usage)})


def _check(fields: CompletionsFields) -> None:
    check_range("max_tokens", fields.max_tokens, 1, OUTPUT_TOKENS_MAX)
    check_range("n", fields.n, 1, CHOICES_MAX)
    check_range("temperature", fields.temperature, 0, 2)
    check_range("top_p", fields.top_p, 0, 1)
    check_range("presence_penalty", fields.presence_penalty, -2, 2)
    check_range("frequency_penalty", fields.frequency_penalty, -2, 2)
    for name in ("echo", "suffix", "logprobs", "logit_bias"):
        if getattr(fields, name):
            raise Unprocessable(f"{name} needs a bare language model; leave it out.", param=name)
    if fields.best_of is not None and fields.best_of != (fields.n or 1):
        raise Unprocessable("best_of needs a bare language model; leave it out.", param="best_of")


def _prompt(fields: CompletionsFields) -> str:
    prompt = fields.prompt
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise Unprocessable("prompt: one text is supported; send one request for each prompt.", param="prompt")
    if not prompt:
        raise InvalidRequest("prompt must not be empty.", param="prompt")
    return prompt


def _head(response_id: str, created: int, context: AnswerContext) -> dict[str, Any]:
    return {
        "id": response_id,
        "object": "text_completion",
        "created": created,
        "model": context.model,
        "provider": context.provider,
    }


def _choice(text: str, index: int, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}


class CompletionsStreamEncoder:
    """Writes chunks."""

    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._usage = NO_USAGE
        self._head = _head(context.response_id, context.now_s, context)
        self._blocks: dict[int, BlockStarted] = {}

    def encode(self, event: Event) -> bytes:
        """Client-ready bytes of an event that is not terminal."""
        match event:
            case ResponseStarted():
                created = event.created or self._context.now_s
                self._head = _head(event.id or self._context.response_id, created, self._context)
            case BlockStarted():
                self._blocks[event.index] = event
            case BlockDelta(index, text) if text:
                block = self._blocks[index]
                if block.kind in {BlockKind.TEXT, BlockKind.REFUSAL}:
                    return self._chunk([_choice(text, block.choice, None)])
            case ChoiceFinished():
                return self._chunk([_choice("", event.choice, _FINISH.get(event.reason, "stop"))])
            case UsageReported(usage):
                self._usage = usage
            case _:
                pass
        return b""

    def complete(self) -> tuple[bytes, bytes]:
        """The usage chunk if asked for; the end marker."""
        if not self._context.include_usage:
            return b"", DONE
        return self._chunk([], usage=usage_fields(self._usage)), DONE

    def fail(self, event: ResponseFailed) -> bytes:
        """One chunk with the error, and no end marker."""
        return self._chunk([_choice("", 0, "error")], error=error_fields(event))

    def _chunk(self, choices: list[dict[str, Any]], **extra: Any) -> bytes:
        return b"data: " + _encode(self._head | {"choices": choices} | extra) + b"\n\n"


OPENAI_COMPLETIONS = Dialect("openai_completions", parse_completions, CompletionsStreamEncoder, encode_whole)
