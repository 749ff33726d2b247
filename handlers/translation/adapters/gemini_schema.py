"""JSON schemas as Gemini takes them for functions and answers: a part of OpenAPI's, without references.

References are written out where they stand; one that leads back to itself ends as a plain object. What Gemini refuses and
only narrows the schema (bounds that exclude, extra properties, defaults) is left out; a constant becomes a list of one.
"""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.errors import Unprocessable

NODES_MAX = 20_000
DEPTH_MAX = 64
_KEPT = frozenset({
    "type", "format", "title", "description", "nullable", "enum", "items", "maxItems", "minItems", "properties",
    "required", "minProperties", "maxProperties", "minLength", "maxLength", "pattern", "minimum", "maximum", "anyOf",
    "propertyOrdering", "example",
})  # fmt: skip
_STRING_FORMATS = frozenset({"enum", "date-time"})


def clean_schema(raw: msgspec.Raw, at: str) -> dict[str, Any]:
    """The schema in Gemini's terms.

    Raises:
        Unprocessable: it is no object, or too large or too deep once its references are written out.
    """
    decoded = msgspec.json.decode(bytes(raw))
    if not isinstance(decoded, dict):
        raise Unprocessable(f"{at} must be a JSON schema object.", param=at)
    return _Cleaner(decoded, at).clean(decoded, 0, ())


class _Cleaner:
    """Walks one schema, counting its nodes."""

    def __init__(self, root: dict[str, Any], at: str) -> None:
        self._root = root
        self._at = at
        self._nodes = 0

    def clean(self, node: Any, depth: int, path: tuple[str, ...]) -> dict[str, Any]:
        """One node; `path` holds the references that led here."""
        self._nodes += 1
        if self._nodes > NODES_MAX or depth > DEPTH_MAX:
            raise Unprocessable(f"{self._at} is too large or too deep.", param=self._at)
        if not isinstance(node, dict):
            return {}
        reference = node.get("$ref")
        if isinstance(reference, str):
            if reference in path:
                return {"type": "object"}
            found = self._find(reference)
            beside = {name: value for name, value in node.items() if name != "$ref"}
            return self.clean({**found, **beside}, depth + 1, (*path, reference))
        return self._fields(node, depth + 1, path)

    def _find(self, reference: str) -> dict[str, Any]:
        node: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            node = node.get(name) if isinstance(node, dict) and step else node
        return node if isinstance(node, dict) else {}

    def _fields(self, node: dict[str, Any], depth: int, path: tuple[str, ...]) -> dict[str, Any]:
        fields: dict[str, Any] = {name: value for name, value in node.items() if name in _KEPT}
        if "const" in node:
            fields["enum"] = [node["const"]]
        self._type(fields)
        options = node.get("anyOf") or node.get("oneOf")
        if isinstance(options, list):
            self._options(fields, options, depth, path)
        parts = node.get("allOf")
        for part in parts if isinstance(parts, list) else ():
            _merge(fields, self.clean(part, depth, path))
        if isinstance(fields.get("properties"), dict):
            fields["properties"] = {
                name: self.clean(value, depth, path) for name, value in fields["properties"].items()
            }
            known = fields["properties"]
            if isinstance(fields.get("required"), list):
                fields["required"] = [name for name in fields["required"] if isinstance(name, str) and name in known]
        if "items" in fields:
            fields["items"] = self.clean(fields["items"], depth, path)
        elif fields.get("type") == "array":
            fields["items"] = {"type": "string"}
        if fields.get("type") == "string" and str(fields.get("format")) not in _STRING_FORMATS:
            fields.pop("format", None)
        if not isinstance(fields.get("enum", []), list):
            del fields["enum"]
        if "enum" in fields:
            fields["enum"] = [str(value) for value in fields["enum"]]
            fields["type"] = "string"
        return {name: value for name, value in fields.items() if value not in ([], None)}

    @staticmethod
    def _type(fields: dict[str, Any]) -> None:
        """A list of types is one type, perhaps nullable."""
        kinds = fields.get("type")
        if not isinstance(kinds, list):
            return
        named = [kind for kind in kinds if kind != "null"]
        if len(named) < len(kinds):
            fields["nullable"] = True
        del fields["type"]
        if len(named) == 1:
            fields["type"] = named[0]
        elif named:
            fields["anyOf"] = [{"type": kind} for kind in named]

    def _options(self, fields: dict[str, Any], options: list[Any], depth: int, path: tuple[str, ...]) -> None:
        """Alternatives; one that is null makes the rest nullable, and a single one stands for itself."""
        real = [option for option in options if not (isinstance(option, dict) and option.get("type") == "null")]
        cleaned = [self.clean(option, depth, path) for option in real]
        fields.pop("anyOf", None)
        if len(cleaned) == 1:
            _merge(fields, cleaned[0])
        elif cleaned:
            fields["anyOf"] = cleaned
        if len(real) < len(options):
            fields["nullable"] = True


def _merge(fields: dict[str, Any], more: dict[str, Any]) -> None:
    """Join two schemas that hold at once."""
    for name, value in more.items():
        if name == "properties" and isinstance(fields.get(name), dict):
            fields[name] = {**fields[name], **value}
        elif name == "required" and isinstance(fields.get(name), list):
            fields[name] = fields[name] + [item for item in value if item not in fields[name]]
        else:
            fields.setdefault(name, value)
