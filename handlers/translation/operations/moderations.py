"""Moderations: passed through."""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.translation.adapters.base import Built
from handlers.translation.adapters.openai_answer_fields import OpenaiUsage
from handlers.translation.adapters.openai_usage import usage_from_openai
from handlers.translation.canonical.attempt import Asked
from handlers.translation.canonical.estimate import estimate_tokens
from handlers.translation.canonical.usage import NO_USAGE, Usage
from handlers.translation.dialects.reading import check_length, decode_body
from handlers.translation.operations.base import Answered, edit_body, post, refuse_stream, rename_model

INPUTS_MAX = 1_024


class _Fields(msgspec.Struct):
    input: str | list[str | dict[str, Any]]


class _Answer(msgspec.Struct):
    results: list[Any]
    model: str | None = None
    usage: OpenaiUsage | None = None


_FIELDS = msgspec.json.Decoder(_Fields)
_ANSWER = msgspec.json.Decoder(_Answer)


class Moderations:
    """At OpenAI-compatible endpoints."""

    def build(self, asked: Asked) -> Built:
        """The client's body under the provider's model name."""
        refuse_stream(asked)
        fields = decode_body(_FIELDS, asked.body)
        if isinstance(fields.input, list):
            check_length("input", len(fields.input), INPUTS_MAX, 1)
        return post("/moderations", edit_body(asked))

    def read(self, body: bytes, content_type: str, asked: Asked) -> Answered:
        """The answer under the public model name; providers rarely count here."""
        del content_type
        answer = _ANSWER.decode(body)
        usage = usage_from_openai(answer.usage) if answer.usage else _estimate(asked)
        return Answered(rename_model(body, asked), usage, model=answer.model or "")


def _estimate(asked: Asked) -> Usage:
    fields = _FIELDS.decode(asked.body)
    texts = [fields.input] if isinstance(fields.input, str) else fields.input
    tokens = sum(estimate_tokens(text) for text in texts if isinstance(text, str))
    return Usage(input=tokens, estimated=True) if tokens else NO_USAGE
