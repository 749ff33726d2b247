"""JSON schemas as Gemini takes them for functions and answers: a part of OpenAPI's, without references.

References are written out where they stand; one that leads back to itself ends as a plain object. What Gemini refuses and
only narrows the schema (bounds that exclude, extra properties, defaults) is left out, and so is what has another type than
Google's own schema of schemas says; a constant becomes a list of one, and a type is spelled in capitals, as Google lists it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.errors import Unprocessable

NODES_MAX = 20_000
DEPTH_MAX = 64
_KEPT: dict[str, type | tuple[type, ...]] = {
    "type": (str, list), "format": str, "title": str, "description": str, "nullable": bool, "enum": list, "items": dict,
    "maxItems": int, "minItems": int, "properties": dict, "required": list, "minProperties": int, "maxProperties": int,
    "minLength": int, "maxLength": int, "pattern": str, "minimum": (int, float), "maximum": (int, float), "anyOf": list,
    "propertyOrdering": list, "example": object,
}  # fmt: skip
_TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
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
                return {"type": "OBJECT"}
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
        fields: dict[str, Any] = {name: value for name, value in node.items() if _is_kept(name, value)}
        if "const" in node:
            fields["enum"] = [node["const"]]
        _set_type(fields)
        options = node.get("anyOf") or node.get("oneOf")
        if isinstance(options, list):
            self._options(fields, options, depth, path)
        parts = node.get("allOf")
        for part in parts if isinstance(parts, list) else ():
            _merge(fields, self.clean(part, depth, path))
        for name in ("required", "propertyOrdering"):
            fields[name] = [value for value in fields.get(name, ()) if isinstance(value, str)]
        if "properties" in fields:
            known = {name: self.clean(value, depth, path) for name, value in fields["properties"].items()}
            fields["properties"] = known
            fields["required"] = [name for name in fields["required"] if name in known]
        if "items" in fields:
            fields["items"] = self.clean(fields["items"], depth, path)
        elif fields.get("type") == "ARRAY":
            fields["items"] = {"type": "STRING"}
        if fields.get("type") == "STRING" and fields.get("format") not in _STRING_FORMATS:
            fields.pop("format", None)
        _set_enum(fields)
        return {name: value for name, value in fields.items() if value not in ([], None)}

    def _options(self, fields: dict[str, Any], options: list[Any], depth: int, path: tuple[str, ...]) -> None:
        """Alternatives; one that is null makes the rest nullable, and a single one stands for itself."""
        real = [
            option for option in options if not (isinstance(option, dict) and str(option.get("type")).lower() == "null")
        ]
        cleaned = [self.clean(option, depth, path) for option in real]
        fields.pop("anyOf", None)
        if len(cleaned) == 1:
            _merge(fields, cleaned[0])
        elif cleaned:
            fields["anyOf"] = cleaned
        if len(real) < len(options):
            fields["nullable"] = True


def _is_kept(name: str, value: Any) -> bool:
    kind = _KEPT.get(name)
    return kind is not None and isinstance(value, kind) and (kind in {bool, object} or not isinstance(value, bool))


def _set_type(fields: dict[str, Any]) -> None:
    """A list of types is one type, perhaps nullable; a type that JSON schema does not know is none."""
    kinds = fields.pop("type", [])
    listed = [str(kind).lower() for kind in (kinds if isinstance(kinds, list) else [kinds])]
    known = [kind.upper() for kind in listed if kind in _TYPES]
    named = [kind for kind in known if kind != "NULL"]
    if len(known) > 1 and len(named) < len(known):
        fields["nullable"] = True
    if len(named) > 1:
        fields["anyOf"] = [{"type": kind} for kind in named]
    elif known:
        fields["type"] = (named or known)[0]


def _set_enum(fields: dict[str, Any]) -> None:
    """The values that Gemini lists are strings; null among them says that there may be none."""
    values = fields.get("enum")
    if not values:
        return
    if None in values:
        fields["nullable"] = True
    fields["enum"] = [
        value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for value in values
        if value is not None
    ]
    fields["type"] = "STRING"


def _merge(fields: dict[str, Any], more: dict[str, Any]) -> None:
    """Join two schemas that hold at once."""
    for name, value in more.items():
        if name == "properties" and isinstance(fields.get(name), dict):
            fields[name] = {**fields[name], **value}
        elif name == "required" and isinstance(fields.get(name), list):
            fields[name] = fields[name] + [item for item in value if item not in fields[name]]
        else:
            fields.setdefault(name, value)
