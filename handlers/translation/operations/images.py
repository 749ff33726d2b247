"""Images from words: passed through. Billed by tokens where the provider counts them, else by piece."""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.translation.adapters.base import Built
from handlers.translation.adapters.openai_answer_fields import Count
from handlers.translation.adapters.openai_usage import Tally
from handlers.translation.canonical.attempt import Asked
from handlers.translation.canonical.usage import Usage
from handlers.translation.dialects.reading import check_range, decode_body
from handlers.translation.operations.base import Answered, edit_body, post, refuse_stream

IMAGES_MAX = 16


class _Fields(msgspec.Struct):
    prompt: str
    n: int | None = None


class _InputDetails(msgspec.Struct):
    image_tokens: Count = None


class _OutputDetails(msgspec.Struct):
    text_tokens: Count = None


class _ImageUsage(msgspec.Struct):
    input_tokens: Count = None
    output_tokens: Count = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Answer(msgspec.Struct):
    data: list[Any]
    usage: _ImageUsage | None = None


_FIELDS = msgspec.json.Decoder(_Fields)
_ANSWER = msgspec.json.Decoder(_Answer)


class Images:
    """At OpenAI-compatible endpoints."""

    def build(self, asked: Asked) -> Built:
        """The client's body under the provider's model name."""
        refuse_stream(asked)
        fields = decode_body(_FIELDS, asked.body)
        check_range("n", fields.n, 1, IMAGES_MAX)
        return post("/images/generations", edit_body(asked))

    def read(self, body: bytes, content_type: str, asked: Asked) -> Answered:
        """The answer as it is; it names no model."""
        del content_type, asked
        answer = _ANSWER.decode(body)
        return Answered(body, _usage(answer))


def _usage(answer: _Answer) -> Usage:
    raw = answer.usage or _ImageUsage()
    tally = Tally()
    prompt = tally.count(raw.input_tokens)
    shown = tally.count(raw.input_tokens_details.image_tokens if raw.input_tokens_details else 0, prompt)
    drawn = tally.count(raw.output_tokens)
    said = tally.count(raw.output_tokens_details.text_tokens if raw.output_tokens_details else 0, drawn)
    return Usage(
        input=prompt - shown,
        image_input=shown,
        output=said,
        image_output=drawn - said,
        images=len(answer.data),
        estimated=tally.corrected,
    )
