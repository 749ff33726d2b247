"""Gemini: chunks -> one answer. Each chunk is a whole small answer, so candidates join and all else is corrected."""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.translation.adapters.event_writer import Malformed
from handlers.translation.assembly.growing import Pieces, override, settle

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
JOINED = frozenset({"groundingMetadata", "citationMetadata", "urlContextMetadata"})
"""Fields of a candidate whose lists come at once, in pieces, or once more: what is new in them is added."""
_PLAIN = ({"text"}, {"text", "thought"})


class GenerateAssembler:
    """Puts one answer together."""

    growing = None
    """No two frames are alike: they are numbered, or count what was used."""

    def __init__(self) -> None:
        self._top: dict[str, Any] = {}
        self._candidates: dict[int, dict[str, Any]] = {}

    def add(self, data: bytes, event: bytes) -> None:
        """One chunk, or an array of them."""
        del event
        if data == b"[DONE]":
            return
        read = _decode(data)
        for chunk in read if type(read) is list else [read]:
            for candidate in chunk.pop("candidates", None) or ():
                self._candidate(candidate)
            self._top |= chunk

    def whole(self) -> bytes:
        """The answer."""
        if not self._candidates and not self._top.get("promptFeedback"):
            raise Malformed("no candidates")
        candidates = [settle(candidate) for _, candidate in sorted(self._candidates.items())]
        return _encode({"candidates": candidates, **self._top} if candidates else self._top)

    def _candidate(self, more: dict[str, Any]) -> None:
        candidate = self._candidates.setdefault(more.get("index", 0), {})
        content = more.pop("content", None)
        if type(content) is dict:
            held = candidate.setdefault("content", {})
            parts = content.pop("parts", None) or ()
            override(held, content)
            if parts:
                _add_parts(held.setdefault("parts", []), parts)
        for name in JOINED & more.keys():
            value = more.pop(name)
            if type(value) is dict and type(candidate.get(name)) is dict:
                _join(candidate[name], value)
            elif value is not None:
                candidate[name] = value
        override(candidate, more)


def _add_parts(held: list[dict[str, Any]], parts: list[dict[str, Any]]) -> None:
    """Text joins the text before it, thought to thought. A part with a signature stays by itself, as Google asks of clients."""
    for part in parts:
        last = held[-1] if held else {}
        text, before = part.get("text"), last.get("text")
        if type(text) is not str or part.keys() not in _PLAIN:
            held.append(part)
        elif type(before) is Pieces and part.get("thought") == last.get("thought"):
            before.append(text)
        else:
            held.append({**part, "text": Pieces((text,))})


def _join(held: dict[str, Any], more: dict[str, Any]) -> None:
    for name, value in more.items():
        before = held.get(name)
        if type(value) is list and type(before) is list:
            before.extend(item for item in value if item not in before)
        elif type(value) is dict and type(before) is dict:
            _join(before, value)
        elif value is not None:
            held[name] = value
