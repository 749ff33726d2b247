"""Judge of Google requests: the discovery documents' schemas, read strictly.

A property that the schema does not name is a complaint, and so is a word that an enumeration does not list. Google's JSON
is that of protocol buffers, so a 64-bit integer may stand as a number or as a string.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest

from handlers.translation.adapters.base import Built
from handlers.translation.adapters.gemini import GeminiAdapter
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.request import CanonicalRequest

FOLDER = Path(__file__).parent / "google"
DOCUMENTS = {"vertex": "aiplatform.v1.json", "gemini": "generativelanguage.v1beta.json"}
"""By the provider that is asked."""
NEWER: dict[str, dict[str, dict[str, Any]]] = {
    "gemini": {"ThinkingConfig": {"thinkingLevel": {"type": "string", "enum": ["MINIMAL", "LOW", "MEDIUM", "HIGH"]}}}
}
"""Properties that came after the extracted file: Gemini 3 takes a level of thinking, as aiplatform:v1 already says."""
_BASE64 = r"^([A-Za-z0-9+/_-]*={0,2}|<base64 \d+ chars sha\d* [0-9a-f]+>)$"
"""Of either alphabet; recordings hold marks in place of long ones."""


@cache
def _validator(provider: str, request: str) -> Any:
    jsonschema: Any = import_module("jsonschema")
    document = msgspec.json.decode((FOLDER / DOCUMENTS[provider]).read_bytes())
    schemas = document["schemas"]
    for name, properties in NEWER.get(provider, {}).items():
        assert not properties.keys() & schemas[name]["properties"].keys(), "the extracted file has it now"
        schemas[name]["properties"] |= properties
    strict = {name: _strict(schema) for name, schema in schemas.items()}
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{document['prefix']}{request}", "$defs": strict})


def _strict(node: dict[str, Any]) -> dict[str, Any]:
    """A discovery schema as a JSON schema that allows nothing else."""
    if "$ref" in node:
        return {"$ref": f"#/$defs/{node['$ref']}"}
    match node.get("type"):
        case "any" | None:
            return {}
        case "array":
            return {"type": "array", "items": _strict(node["items"])}
        case "object" if "additionalProperties" in node:
            return {"type": "object", "additionalProperties": _strict(node["additionalProperties"])}
        case "object":
            properties = {name: _strict(inner) for name, inner in node.get("properties", {}).items()}
            return {"type": "object", "properties": properties, "additionalProperties": False}
        case "string" if "enum" in node:
            return {"enum": node["enum"]}
        case "string" if node.get("format") == "byte":
            return {"type": "string", "pattern": _BASE64}
        case "string" if node.get("format") == "int64":
            return {"anyOf": [{"type": "string", "pattern": "^-?[0-9]+$"}, {"type": "integer"}]}
        case kind:
            return {"type": kind}


def google_complaints(provider: str, request: str, body: Any) -> list[str]:
    """What the provider's schema of a request (`GenerateContentRequest`, ...) has against a body: places and rules."""
    errors = _validator(provider, request).iter_errors(body)
    return [f"{list(error.absolute_path)}: {error.validator} {error.message}"[:300] for error in errors]


@pytest.fixture(autouse=True)
def google_requests_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folders whose conftest imports this, every conversation that any test sends to Google is judged."""
    build = GeminiAdapter.build_request

    def build_and_judge(self: GeminiAdapter, request: CanonicalRequest, target: UpstreamTarget) -> Built:
        built = build(self, request, target)
        body = msgspec.json.decode(built.upstream.body)
        for provider in DOCUMENTS:
            assert google_complaints(provider, "GenerateContentRequest", body) == [], provider
        return built

    monkeypatch.setattr(GeminiAdapter, "build_request", build_and_judge)
