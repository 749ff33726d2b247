"""What is wrong with a body, in the words of JSON: who sends it knows `string` and `number`, and nothing of this program's language.

What msgspec says of a body speaks of Python's types; of a value or a field that is none of a few it quotes what was sent and
does not name the few. Here it is the other way round.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from msgspec import inspect

_AT = re.compile(r" - at `\$\.?([^`]*)`\Z")
_EXPECTED = re.compile(
    r"Expected `[^`]{1,80}`(?: of length)?(?: (?:<=|>=|<|>) [-0-9.]+)?(?:, got `[a-z_]{1,20}`)?"
    r"|(?:Number|Integer value) out of range"
)
_MISSING = re.compile(r"Object missing required field `([A-Za-z_]{1,64})`")
_UNKNOWN = "Object contains unknown field"
_WORDS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "|": "or"}
_TYPE = re.compile(r"\b(?:str|int|float|bool)\b|\|")
_STEP = re.compile(r"\[[^\]]*\]|[^.\[\]]+")
"""Of a path such as `turns[0].role`: a field, or an entry of an array or of a map."""


def complaint(told: str, shape: Any) -> tuple[str, str]:
    """The path of the field at fault, empty for the body itself, and a sentence about it that holds no value of the body.

    Args:
        told: the text of a `msgspec.ValidationError`.
        shape: the type that the body was to have.
    """
    located = _AT.search(told)
    path = located[1] if located else ""
    missing = _MISSING.match(told)
    if missing:
        path = f"{path}.{missing[1]}" if path else missing[1]
        return path, f"{path} is required."
    name = path or "The body"
    expected = _EXPECTED.match(told)
    if expected:
        return path, f"{name}: {_in_json_words(expected[0].lower())}."
    kinds = _kinds_at(shape, path)
    if told.startswith(_UNKNOWN):
        fields = [field.encode_name for kind in kinds if isinstance(kind, inspect.StructType) for field in kind.fields]
        return path, f"{name} has a field that is not known; it may have {', '.join(fields)}."
    values = [str(value) for kind in kinds if isinstance(kind, inspect.LiteralType) for value in kind.values]
    return path, f"{name} must be one of {', '.join(values)}." if values else f"{name}: not an accepted value."


def _in_json_words(told: str) -> str:
    """`expected str | null, got int` -> `expected string or null, got integer`; quotes around types go."""
    return _TYPE.sub(lambda word: _WORDS[word[0]], told.replace("`", ""))


def _kinds_at(shape: Any, path: str) -> list[inspect.Type]:
    """What may stand at a path."""
    kinds = list(_options(_inspected(shape)))
    for step in _STEP.findall(path):
        kinds = [option for kind in kinds for inner in _inside(kind, step) for option in _options(inner)]
    return kinds


@cache
def _inspected(shape: Any) -> inspect.Type:
    return inspect.type_info(shape)


def _options(kind: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.Metadata):
        yield from _options(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for option in kind.types:
            yield from _options(option)
    else:
        yield kind


def _inside(kind: inspect.Type, step: str) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.StructType):
        yield from (field.type for field in kind.fields if field.encode_name == step)
    elif isinstance(kind, inspect.ListType | inspect.VarTupleType):
        yield kind.item_type
    elif isinstance(kind, inspect.DictType):
        yield kind.value_type
