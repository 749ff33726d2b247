"""Embeddings: OpenAI's request and answer, at OpenAI-compatible endpoints, Gemini and Cohere."""

from __future__ import annotations

import struct
from base64 import b64encode
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from handlers.errors import Unprocessable
from handlers.translation.adapters.base import Built
from handlers.translation.adapters.event_writer import Malformed
from handlers.translation.adapters.gemini import method_path
from handlers.translation.adapters.openai_answer_fields import Count, OpenaiUsage
from handlers.translation.adapters.openai_usage import Tally, usage_from_openai
from handlers.translation.canonical.attempt import Asked
from handlers.translation.canonical.estimate import estimate_tokens
from handlers.translation.canonical.usage import Usage
from handlers.translation.dialects.reading import check_length, check_range, decode_body
from handlers.translation.operations.base import Answered, edit_body, post, refuse_stream, rename_model

INPUTS_MAX = 2_048
DIMENSIONS_MAX = 65_536
_encode = msgspec.json.Encoder().encode
Tokens = Annotated[list[int], Meta(min_length=1)]


class EmbeddingsFields(msgspec.Struct):
    """The body."""

    input: str | list[str | Tokens | int | dict[str, Any]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    input_type: str | None = None


_FIELDS = msgspec.json.Decoder(EmbeddingsFields)


def decode_embeddings(asked: Asked) -> EmbeddingsFields:
    """The checked fields of a body."""
    refuse_stream(asked)
    fields = decode_body(_FIELDS, asked.body)
    check_length("input", len(fields.input), 10_000_000 if isinstance(fields.input, str) else INPUTS_MAX * 16, 1)
    check_range("dimensions", fields.dimensions, 1, DIMENSIONS_MAX)
    return fields


def _texts(fields: EmbeddingsFields) -> list[str]:
    """The inputs as texts, for endpoints that take nothing else."""
    if isinstance(fields.input, str):
        return [fields.input]
    texts = [text for text in fields.input if isinstance(text, str)]
    if len(texts) < len(fields.input):
        raise Unprocessable("input: this endpoint takes texts only, no token ids.", param="input")
    check_length("input", len(texts), INPUTS_MAX)
    return texts


class _OpenaiAnswer(msgspec.Struct):
    data: list[Any]
    usage: OpenaiUsage | None = None
    model: str | None = None


_OPENAI = msgspec.json.Decoder(_OpenaiAnswer)


class OpenaiEmbeddings:
    """At OpenAI-compatible endpoints: passed through."""

    def build(self, asked: Asked) -> Built:
        """The client's body under the provider's model name."""
        decode_embeddings(asked)
        return post("/embeddings", edit_body(asked))

    def read(self, body: bytes, content_type: str, asked: Asked) -> Answered:
        """The answer under the public model name."""
        del content_type
        answer = _OPENAI.decode(body)
        return Answered(rename_model(body, asked), _usage(answer.usage, asked), model=answer.model or "")


def _usage(raw: OpenaiUsage | None, asked: Asked) -> Usage:
    """What the provider counted; some count in `total_tokens` alone, some not at all."""
    if raw is not None:
        usage = usage_from_openai(raw)
        total = Tally().count(raw.total_tokens)
        if usage.prompt_tokens or total or raw.prompt_tokens == 0 or raw.total_tokens == 0:
            return usage if usage.prompt_tokens else Usage(input=total)
    fields = _FIELDS.decode(asked.body)
    inputs = [fields.input] if isinstance(fields.input, str) else fields.input
    tokens = sum(estimate_tokens(one) if isinstance(one, str) else 1 for one in inputs)
    return Usage(input=tokens, estimated=True)


def _write(vectors: list[list[float]], usage: Usage, asked: Asked) -> bytes:
    """OpenAI's answer around vectors, in the encoding that the client wants."""
    packed = _FIELDS.decode(asked.body).encoding_format == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _pack(vector) if packed else vector}
        for index, vector in enumerate(vectors)
    ]
    counts = {"prompt_tokens": usage.input, "total_tokens": usage.input}
    return _encode({"object": "list", "data": data, "model": asked.public_model, "usage": counts})


def _pack(vector: list[float]) -> str:
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


class _Vector(msgspec.Struct):
    values: list[float]


class _GeminiCounts(msgspec.Struct, rename="camel"):
    prompt_token_count: Count = None


class _GeminiAnswer(msgspec.Struct, rename="camel"):
    embeddings: list[_Vector]
    usage_metadata: _GeminiCounts | None = None


_GEMINI = msgspec.json.Decoder(_GeminiAnswer)


class GeminiEmbeddings:
    """At Gemini: one batch request."""

    def build(self, asked: Asked) -> Built:
        """One embedding request for each text."""
        fields = decode_embeddings(asked)
        model = f"models/{asked.upstream.upstream_model}"
        size = {"outputDimensionality": fields.dimensions} if fields.dimensions else {}
        requests = [{"model": model, "content": {"parts": [{"text": text}]}, **size} for text in _texts(fields)]
        path = method_path(asked.upstream, streams=False, method="batchEmbedContents")
        return post(path, {"requests": requests})

    def read(self, body: bytes, content_type: str, asked: Asked) -> Answered:
        """OpenAI's answer."""
        del content_type
        answer = _GEMINI.decode(body)
        counted = Tally().count(answer.usage_metadata.prompt_token_count if answer.usage_metadata else 0)
        usage = Usage(input=counted) if counted else _usage(None, asked)
        return Answered(_write([vector.values for vector in answer.embeddings], usage, asked), usage)


class _Billed(msgspec.Struct):
    input_tokens: Count = None
    image_tokens: Count = None


class _Meta(msgspec.Struct):
    billed_units: _Billed | None = None


class _CohereAnswer(msgspec.Struct):
    embeddings: dict[str, list[list[float]]]
    meta: _Meta | None = None


_COHERE = msgspec.json.Decoder(_CohereAnswer)


class CohereEmbeddings:
    """At Cohere, whose models want to know what the texts are for; documents, unless the client says otherwise."""

    def build(self, asked: Asked) -> Built:
        """One request for all texts."""
        fields = decode_embeddings(asked)
        body: dict[str, Any] = {
            "model": asked.upstream.upstream_model,
            "texts": _texts(fields),
            "input_type": fields.input_type or "search_document",
            "embedding_types": ["float"],
        }
        if fields.dimensions:
            body["output_dimension"] = fields.dimensions
        return post("/embed", body, () if fields.input_type else ("adapted:input_type",))

    def read(self, body: bytes, content_type: str, asked: Asked) -> Answered:
        """OpenAI's answer."""
        del content_type
        answer = _COHERE.decode(body)
        vectors = answer.embeddings.get("float")
        if vectors is None:
            raise Malformed("no float embeddings")
        billed = (answer.meta.billed_units if answer.meta else None) or _Billed()
        usage = Usage(input=Tally().count(billed.input_tokens), image_input=Tally().count(billed.image_tokens))
        return Answered(_write(vectors, usage, asked), usage)
