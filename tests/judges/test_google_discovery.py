"""Google's schemas over what else goes to Google: embeddings, counting, requests that pass through, schemas of any shape."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.errors import ClientError, Unprocessable
from handlers.translation.adapters.gemini_schema import clean_schema
from handlers.translation.dialects.google_fields import camel_body
from tests.handlers.translation.driving import attempt, sent
from tests.handlers.translation.operations.test_operations import ask
from tests.judges.google_discovery import DOCUMENTS, FOLDER, google_complaints
from tests.laws.recordings import recorded

HI = [{"role": "user", "parts": [{"text": "hi"}]}]


def judge(provider: str, body: dict[str, Any]) -> list[str]:
    return google_complaints(provider, "GenerateContentRequest", body)


@pytest.mark.parametrize("provider", sorted(DOCUMENTS))
@pytest.mark.parametrize(
    "broken",
    [
        {"contents": [{"role": "user", "parts": [{"text": "hi", "invented": 1}]}]},
        {"contents": HI, "generationConfig": {"max_output_tokens": 5}},
        {"contents": HI, "generationConfig": {"temperature": "0.5"}},
        {"contents": HI, "toolConfig": {"functionCallingConfig": {"mode": "SOMETIMES"}}},
        {"contents": [{"role": "user", "parts": [{"thoughtSignature": "not base64!"}]}]},
    ],
)
def test_the_judge_refuses_what_google_would(provider: str, broken: dict[str, Any]) -> None:
    assert judge(provider, {"contents": HI}) == []
    assert judge(provider, broken)


def test_the_extracted_files_name_their_sources() -> None:
    for name in DOCUMENTS.values():
        document = msgspec.json.decode((FOLDER / name).read_bytes())
        assert "Apache License 2.0" in document["notice"]
        assert document["source"].startswith("google-a")


@pytest.mark.parametrize("provider", sorted(DOCUMENTS))
def test_embeddings_obey_it(provider: str) -> None:
    body = sent(ask("embeddings", {"input": ["a", "b"], "dimensions": 64}, "gemini"))
    assert google_complaints(provider, "BatchEmbedContentsRequest", body) == []


@pytest.mark.parametrize("provider", sorted(DOCUMENTS))
@pytest.mark.parametrize("extra", [{}, {"systemInstruction": {"parts": [{"text": "s"}]}, "safetySettings": []}])
def test_counting_obeys_it(provider: str, extra: dict[str, Any]) -> None:
    quirks = ("counts_unwrapped",) if provider == "vertex" else ()
    for asked in ({"contents": HI} | extra, {"generateContentRequest": {"model": "m", "contents": HI} | extra}):
        body = sent(ask("count_tokens", asked, "gemini", *quirks, dialect="google_generate"))
        assert google_complaints(provider, "CountTokensRequest", body) == []


@pytest.mark.parametrize("streams", [True, False])
def test_recorded_requests_that_pass_through_gain_nothing_strange(streams: bool) -> None:
    """Clients also use fields that are newer than the extracted files, and Google answered them: those may pass."""
    strange = judged = 0
    for one in recorded("gemini", streams=streams):
        written = msgspec.json.encode(one.request)
        try:
            body = sent(attempt(dialect="google_generate", wire_format="gemini", body_bytes=written))
        except ClientError:
            continue
        provider = "vertex" if one.provider == "vertex" else "gemini"
        found = set(judge(provider, body))
        assert found <= set(judge(provider, camel_body(written))), one.id
        judged += 1
        strange += bool(found)
    assert judged
    assert strange < judged / 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.sampled_from(["string", "null", "#/$defs/a", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from([
            "type", "properties", "items", "anyOf", "oneOf", "allOf", "$ref", "$defs", "enum", "const", "required", "format",
            "nullable", "minItems", "minimum", "maxLength", "title", "description", "pattern", "propertyOrdering", "example",
            "default", "additionalProperties", "a",
        ]),
        inner, max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(["type", "properties", "$defs", "anyOf", "items", "enum", "allOf"]), JSON, min_size=1
    )
)
def test_whatever_a_client_calls_a_schema_google_gets_one(schema: dict[str, Any]) -> None:
    try:
        cleaned = clean_schema(msgspec.Raw(msgspec.json.encode(schema)), "tools[0]")
    except Unprocessable:
        return
    body = {"contents": HI, "generationConfig": {"responseSchema": cleaned}}
    for provider in DOCUMENTS:
        assert judge(provider, body) == []
