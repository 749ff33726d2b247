"""Requests that the adapters send, judged by the providers' own published schemas.

OpenAI's and Anthropic's OpenAPI files come inside llm-comply; Google's discovery documents are extracted into tests/judges;
Bedrock's service model has its test beside the checklist.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import llm_comply
import msgspec
import pytest

from handlers.errors import ClientError
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.request import CanonicalRequest
from handlers.translation.dialects.base import ClientBody
from handlers.translation.registry import ADAPTERS, DIALECTS
from tests.judges.google_discovery import DOCUMENTS, google_complaints
from tests.laws.recordings import recorded
from tests.laws.requests import REQUESTS

SPECS = Path(llm_comply.__file__).parent / "specs"
SCHEMAS = {
    "openai_chat": ("openai_chat.json", "CreateChatCompletionRequest"),
    "openai_responses": ("openai_chat.json", "CreateResponse"),
    "anthropic_messages": ("anthropic.json", "CreateMessageParams"),
}
NEWER_THAN_THE_SPEC = (
    "['include', 0]: enum",
    "['service_tier']: enum",
    "['reasoning_effort']: enum",
    "['reasoning', 'effort']: enum",
)
"""Encrypted reasoning, the efforts below and above the first three and the tier `priority` came after the published file."""
DIALECT_OF = {
    "openai_chat": "openai_chat",
    "openai_responses": "openai_responses",
    "anthropic_messages": "anthropic_messages",
    "gemini": "google_generate",
}


JUDGED = [*SCHEMAS, *DOCUMENTS]
"""Wire formats; that of Google by provider, for AI Studio and Vertex have a schema each."""


@cache
def validator(wire_format: str) -> Any:
    jsonschema: Any = import_module("jsonschema")
    file, name = SCHEMAS[wire_format]
    spec = msgspec.json.decode((SPECS / file).read_bytes())
    if name == "CreateResponse":  # since that file was published, tools may answer with images and files
        output = spec["components"]["schemas"]["FunctionCallOutputItemParam"]["properties"]
        output["output"] = {"anyOf": [output["output"], {"type": "array", "items": {"type": "object"}}]}
    schema = {"$ref": f"#/components/schemas/{name}", "components": spec["components"]}
    return jsonschema.Draft202012Validator(_json_schema(schema))


def _json_schema(node: Any) -> Any:
    """OpenAPI's own words in JSON schema's: `nullable`; `discriminator`, which only repeats; `oneOf` whose branches overlap."""
    if isinstance(node, list):
        return [_json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    fields = {name: _json_schema(value) for name, value in node.items() if name not in {"discriminator", "example"}}
    if "oneOf" in fields and "anyOf" not in fields:
        fields["anyOf"] = fields.pop("oneOf")
    if fields.get("nullable") is True and isinstance(fields.get("type"), str):
        fields["type"] = [fields["type"], "null"]
    elif fields.get("nullable") is True and "anyOf" in fields:
        fields["anyOf"] = [*fields["anyOf"], {"type": "null"}]
    return fields


def complaints(wire_format: str, body: dict[str, Any]) -> list[str]:
    if wire_format in DOCUMENTS:
        return google_complaints(wire_format, "GenerateContentRequest", body)
    found = [_deepest(error) for error in validator(wire_format).iter_errors(body)]
    return [one for one in found if not one.startswith(NEWER_THAN_THE_SPEC)]


def _deepest(error: Any) -> str:
    """The place and the rule of the most specific complaint."""
    while error.context:
        error = max(error.context, key=lambda inner: len(inner.absolute_path))
    return f"{list(error.absolute_path)}: {error.validator} {str(error.validator_value)[:60]}"


def build(wire_format: str, request: CanonicalRequest) -> dict[str, Any]:
    target = UpstreamTarget(wire_format, "model-1", "maker", quirks=frozenset({"developer_role", "thought_signatures"}))
    adapter = ADAPTERS["gemini" if wire_format in DOCUMENTS else wire_format]
    body = msgspec.json.decode(adapter.build_request(request, target).upstream.body)
    assert isinstance(body, dict)
    return body


@pytest.mark.parametrize("wire_format", JUDGED)
@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_made_requests_obey_the_providers_schema(wire_format: str, name: str) -> None:
    assert complaints(wire_format, build(wire_format, REQUESTS[name])) == []


@pytest.mark.parametrize("wire_format", JUDGED)
def test_the_judge_can_say_no(wire_format: str) -> None:
    body = build(wire_format, REQUESTS["plain"])
    for broken in (body | {"messages": 5, "input": 5.5, "contents": 5}, dict.fromkeys(body)):
        assert complaints(wire_format, broken)
    if wire_format in DOCUMENTS:
        assert complaints(wire_format, body | {"invented": 1})


@pytest.mark.parametrize("wire_format", JUDGED)
@pytest.mark.parametrize("asked_in", sorted(DIALECT_OF))
def test_recorded_requests_obey_the_schema_of_whoever_they_are_sent_to(asked_in: str, wire_format: str) -> None:
    judged = 0
    for one in recorded(asked_in, streams=True) + recorded(asked_in, streams=False):
        client = ClientBody(msgspec.json.encode(one.request), one.streams, stateless=True)
        try:
            request = DIALECTS[DIALECT_OF[asked_in]].parse(client)
            body = build(wire_format, msgspec.structs.replace(request, extensions={}))
        except ClientError:
            continue
        assert complaints(wire_format, body) == [], one.id
        judged += 1
    assert judged
