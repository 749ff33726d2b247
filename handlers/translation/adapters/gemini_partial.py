"""Function arguments that Gemini streams: pieces of one JSON object, each with the path of the value that it extends.

{"name": "look", "willContinue": true}
{"partialArgs": [{"jsonPath": "$.place.names[0]", "stringValue": "Bos", "willContinue": true}], "willContinue": true}
{"partialArgs": [{"jsonPath": "$.place.names[0]", "stringValue": "ton"}], "willContinue": true}
{}                                                                      the call is complete
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import msgspec

from handlers.translation.adapters.event_writer import Malformed

STEPS_MAX = 64
ENTRIES_MAX = 10_000
CHARACTERS_MAX = 16 * 1024 * 1024
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d{1,5})\]|\['([^']*)'\]")


class PartialArg(msgspec.Struct, gc=False, rename="camel"):
    """One piece."""

    json_path: str = "$"
    string_value: str | None = None
    number_value: float | int | None = None
    bool_value: bool | None = None
    null_value: Any = msgspec.UNSET


class PartialArguments:
    """Grows the arguments of one call."""

    __slots__ = ("_characters", "_entries", "_root")

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}
        self._entries = 0
        self._characters = 0

    def add(self, piece: PartialArg) -> None:
        """Set the value at the piece's path, or extend the text that is there.

        Raises:
            Malformed: the path is none, contradicts an earlier one, or the object grows beyond its limits.
        """
        self._entries += 1
        self._characters += len(piece.string_value or "")
        if self._entries > ENTRIES_MAX or self._characters > CHARACTERS_MAX:
            raise Malformed("arguments too large")
        steps = _steps(piece.json_path)
        holder: Any = self._root
        for step, following in pairwise(steps):
            found = _get(holder, step)
            if found is None:
                found = [] if isinstance(following, int) else {}
                _set(holder, step, found)
            holder = found
        _set(holder, steps[-1], _value(piece, _get(holder, steps[-1])))

    def text(self) -> str:
        """The arguments as JSON."""
        return msgspec.json.encode(self._root).decode()


def _steps(path: str) -> list[str | int]:
    if not path.startswith("$"):
        raise Malformed("path")
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None or len(steps) >= STEPS_MAX:
            raise Malformed("path")
        steps.append(int(found[2]) if found[2] is not None else found[1] if found[1] is not None else found[3])
        at = found.end()
    if not steps:
        raise Malformed("path")
    return steps


def _get(holder: Any, step: str | int) -> Any:
    if isinstance(holder, dict) and isinstance(step, str):
        return holder.get(step)
    if isinstance(holder, list) and isinstance(step, int):
        return holder[step] if step < len(holder) else None
    raise Malformed("path")


def _set(holder: Any, step: str | int, value: Any) -> None:
    if isinstance(holder, list) and isinstance(step, int):
        if step > len(holder):
            raise Malformed("path")
        holder[step : step + 1] = [value]
    else:
        holder[step] = value


def _value(piece: PartialArg, before: Any) -> Any:
    if piece.string_value is not None:
        return before + piece.string_value if isinstance(before, str) else piece.string_value
    if piece.number_value is not None:
        number = piece.number_value
        return int(number) if isinstance(number, float) and number.is_integer() else number
    return piece.bool_value
