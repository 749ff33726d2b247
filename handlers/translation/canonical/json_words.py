"""Types in the words of JSON: whoever sends a body knows `string` and `number`, and nothing of this program's language."""

from __future__ import annotations

import re

_WORDS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "|": "or"}
_TYPE = re.compile(r"\b(?:str|int|float|bool)\b|\|")


def in_json_words(told: str) -> str:
    """`expected str | null, got int` -> `expected string or null, got integer`; quotes around types go."""
    return _TYPE.sub(lambda word: _WORDS[word[0]], told.replace("`", ""))
