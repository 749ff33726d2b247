"""Judge of Google Interactions, requests and answers: the OpenAPI file inside llm-comply, read strictly.

A property that a schema does not name is a complaint, in every object that names its properties.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import llm_comply
import msgspec

FILE = Path(llm_comply.__file__).parent / "specs" / "google_interactions.json"
_OURS = frozenset({"object", "service_tier"})
"""`object` stands in the file's own examples and in all recordings, and in no schema of a whole interaction."""


@cache
def _validator(name: str) -> Any:
    jsonschema: Any = import_module("jsonschema")
    components = msgspec.json.decode(FILE.read_bytes())["components"]
    components["schemas"]["ModelOption"] = {"type": "string"}  # ours are named author/model
    schema = {"$ref": f"#/components/schemas/{name}", "components": _strict(components)}
    return jsonschema.Draft202012Validator(schema)


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    fields = {
        name: _strict(value) for name, value in node.items() if name not in {"discriminator", "example", "examples"}
    }
    if "oneOf" in fields:
        fields["anyOf"] = fields.pop("oneOf")
    if isinstance(fields.get("properties"), dict) and fields.get("type", "object") == "object":
        fields["properties"] |= {name: {"type": "string"} for name in _OURS - fields["properties"].keys()}
        fields.setdefault("additionalProperties", False)
    return fields


def interaction_complaints(name: str, value: Any) -> list[str]:
    """What Google's schema of this name has against a value."""
    return [f"{list(error.absolute_path)}: {error.validator}" for error in _validator(name).iter_errors(value)]
