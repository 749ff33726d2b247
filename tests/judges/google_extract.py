"""Extract what Google publishes about its own requests; a developer's tool, run by hand when Google adds a field.

    python -m venv V && V/bin/pip install google-api-python-client google-ai-generativelanguage msgspec
    V/bin/python -m tests.judges.google_extract

Theory of operation
    Vertex: google-api-python-client carries Google's discovery documents; of aiplatform:v1 only the schemas that our requests
    reach are kept, without their prose.
    AI Studio: no package carries generativelanguage's discovery document. google-ai-generativelanguage carries the protocol
    buffers that it is generated from; they are written in the discovery document's own form, by the same rules (nested names
    joined, JSON names, 64-bit integers and bytes as strings, enumerations as names).
    Neither package is needed by the tests, which read the two files that this writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

FOLDER = Path(__file__).parent / "google"
NOTICE = "Facts about Google's API requests (names, types, enumerations), Copyright Google LLC, Apache License 2.0."
REQUESTS = ("GenerateContentRequest", "CountTokensRequest", "BatchEmbedContentsRequest")
PROSE = frozenset({"description", "enumDescriptions", "enumDeprecated", "deprecated", "id", "readOnly"})
Node = dict[str, Any]

_SCALARS: dict[str, Node] = {
    "DOUBLE": {"type": "number", "format": "double"},
    "FLOAT": {"type": "number", "format": "float"},
    "INT32": {"type": "integer", "format": "int32"},
    "INT64": {"type": "string", "format": "int64"},
    "BOOL": {"type": "boolean"},
    "STRING": {"type": "string"},
    "BYTES": {"type": "string", "format": "byte"},
}
_WELL_KNOWN: dict[str, Node] = {
    "google.protobuf.Struct": {"type": "object", "additionalProperties": {"type": "any"}},
    "google.protobuf.Value": {"type": "any"},
    "google.protobuf.Duration": {"type": "string", "format": "google-duration"},
    "google.protobuf.Timestamp": {"type": "string", "format": "google-datetime"},
}


def reachable(schemas: dict[str, Node], roots: list[str]) -> dict[str, Node]:
    """The schemas that these roots refer to, themselves included, in order of their names."""
    found: dict[str, Node] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = strip_prose(schemas[name])
            waiting += _references(found[name])
    return dict(sorted(found.items()))


def strip_prose(node: Node) -> Node:
    """A schema without what is written for people; `properties` are names, so a property called `description` stays."""
    kept: Node = {}
    for name, value in node.items():
        if name == "properties":
            kept[name] = {inner: strip_prose(schema) for inner, schema in value.items()}
        elif name not in PROSE:
            kept[name] = strip_prose(value) if isinstance(value, dict) else value
    return kept


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)


def read_vertex() -> Node:
    """What aiplatform:v1 says."""
    folder = Path(import_module("googleapiclient").__file__ or "").parent / "discovery_cache" / "documents"
    document = msgspec.json.decode((folder / "aiplatform.v1.json").read_bytes())
    prefix = "GoogleCloudAiplatformV1"
    schemas = reachable(document["schemas"], [prefix + name for name in REQUESTS])
    return {
        "id": document["id"],
        "revision": document["revision"],
        "source": f"google-api-python-client {version('google-api-python-client')}",
        "prefix": prefix,
        "schemas": schemas,
    }


def read_ai_studio() -> Node:
    """What the messages of generativelanguage.v1beta say, in the form of a discovery document."""
    messages = import_module("google.ai.generativelanguage_v1beta")
    schemas: dict[str, Node] = {}
    for name in REQUESTS:
        describe(getattr(messages, name).pb().DESCRIPTOR, schemas)
    return {
        "id": "generativelanguage:v1beta",
        "revision": "",
        "source": f"google-ai-generativelanguage {version('google-ai-generativelanguage')}",
        "prefix": "",
        "schemas": dict(sorted(schemas.items())),
    }


def describe(message: Any, schemas: dict[str, Node]) -> None:
    """Add a message and all that it refers to."""
    name = _joined(message)
    if name in schemas:
        return
    schemas[name] = {"type": "object", "properties": {}}
    for field in message.fields:
        schemas[name]["properties"][field.json_name] = _field(field, lambda inner: describe(inner, schemas))


def _field(field: Any, describe_message: Callable[[Any], None]) -> Node:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        return {"type": "object", "additionalProperties": _single(message.fields_by_name["value"], describe_message)}
    single = _single(field, describe_message)
    return {"type": "array", "items": single} if field.is_repeated else single


def _single(field: Any, describe_message: Callable[[Any], None]) -> Node:
    if field.enum_type is not None:
        return {"type": "string", "enum": [value.name for value in field.enum_type.values]}
    if field.message_type is None:
        kinds = {getattr(field, f"TYPE_{name}"): node for name, node in _SCALARS.items()}
        return dict(kinds[field.type])
    known = _WELL_KNOWN.get(field.message_type.full_name)
    if known is not None:
        return dict(known)
    describe_message(field.message_type)
    return {"$ref": _joined(field.message_type)}


def _joined(message: Any) -> str:
    """`Tool.GoogleSearch` is ToolGoogleSearch; a message of another package carries that package in front."""
    package, name = message.file.package, message.full_name
    inner = name.removeprefix(f"{package}.").replace(".", "")
    return str(inner) if "generativelanguage" in package else f"{package.title().replace('.', '')}{inner}"


def main() -> None:
    """Write the two files."""
    for document in (read_vertex(), read_ai_studio()):
        name = document["id"].replace(":", ".")
        encoded = msgspec.json.encode({"notice": NOTICE} | document)
        (FOLDER / f"{name}.json").write_bytes(msgspec.json.format(encoded, indent=1) + b"\n")


if __name__ == "__main__":
    main()
