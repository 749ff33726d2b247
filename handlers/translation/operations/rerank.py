"""Rerank: the request of Cohere and Jina, at Cohere, at compatible endpoints, and at Voyage with its own words."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from handlers.translation.adapters.base import Built
from handlers.translation.adapters.openai_answer_fields import Count
from handlers.translation.adapters.openai_usage import Tally
from handlers.translation.canonical.attempt import Asked
from handlers.translation.canonical.estimate import estimate_tokens
from handlers.translation.canonical.usage import Usage
from handlers.translation.dialects.reading import check_length, check_range, decode_body
from handlers.translation.operations.base import Answered, edit_body, post, refuse_stream

DOCUMENTS_MAX = 10_000
_encode = msgspec.json.Encoder().encode


class RerankFields(msgspec.Struct):
    """The body."""

    query: str
    documents: Annotated[list[str | dict[str, Any]], Meta(min_length=1)]
    top_n: int | None = None
    return_documents: bool | None = None


class _Result(msgspec.Struct):
    index: int
    relevance_score: float


class _Billed(msgspec.Struct):
    search_units: Count = None


class _Meta(msgspec.Struct):
    billed_units: _Billed | None = None


class _Counts(msgspec.Struct):
    total_tokens: Count = None
    prompt_tokens: Count = None


class _RerankAnswer(msgspec.Struct):
    results: list[_Result] | None = None
    data: list[_Result] | None = None
    id: str | None = None
    model: str | None = None
    usage: _Counts | None = None
    meta: _Meta | None = None


_FIELDS = msgspec.json.Decoder(RerankFields)
_ANSWER = msgspec.json.Decoder(_RerankAnswer)


class Rerank:
    """`voyage_rerank`, a quirk, says `top_k` and `data`; everybody else says `top_n` and `results`."""

    def build(self, asked: Asked) -> Built:
        """The client's body under the provider's names; documents come back from us, not from the provider."""
        refuse_stream(asked)
        fields = decode_body(_FIELDS, asked.body)
        check_length("documents", len(fields.documents), DOCUMENTS_MAX)
        check_range("top_n", fields.top_n, 1, DOCUMENTS_MAX)
        body = edit_body(asked)
        body.pop("return_documents", None)
        if "voyage_rerank" in asked.upstream.quirks and "top_n" in body:
            body["top_k"] = body.pop("top_n")
        return post("/rerank", body)

    def read(self, body: bytes, content_type: str, asked: Asked) -> Answered:
        """Results, best first, with their documents if the client wants them."""
        del content_type
        fields = _FIELDS.decode(asked.body)
        answer = _ANSWER.decode(body)
        usage = _usage(answer, fields)
        results = []
        for result in (answer.results if answer.results is not None else answer.data) or ():
            told: dict[str, Any] = {"index": result.index, "relevance_score": result.relevance_score}
            if fields.return_documents and 0 <= result.index < len(fields.documents):
                document = fields.documents[result.index]
                told["document"] = {"text": document} if isinstance(document, str) else document
            results.append(told)
        whole = {
            "id": answer.id or asked.response_id,
            "model": asked.public_model,
            "results": results,
            "usage": {"total_tokens": usage.input, "search_units": usage.searches},
            "meta": {"billed_units": {"search_units": usage.searches}},
        }
        return Answered(_encode(whole), usage, model=answer.model or "")


def _usage(answer: _RerankAnswer, fields: RerankFields) -> Usage:
    tally = Tally()
    units = tally.count(answer.meta.billed_units.search_units if answer.meta and answer.meta.billed_units else 0)
    tokens = tally.count(answer.usage.total_tokens or answer.usage.prompt_tokens if answer.usage else 0)
    if units or tokens or answer.usage is not None:
        return Usage(input=tokens, searches=units, estimated=tally.corrected)
    texts = [document for document in fields.documents if isinstance(document, str)]
    seen = sum(estimate_tokens(text) for text in texts) + estimate_tokens(fields.query) * len(fields.documents)
    return Usage(input=seen, searches=1, estimated=True)
