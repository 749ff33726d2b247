"""Values that come in pieces: decoded JSON grows by decoded JSON.

Rules
    Text grows by text, a list by what is new in it, an object field by field; null says nothing; everything else replaces.
    Names and kinds are said once, or again and again, but never in pieces.
    In a list, an item with an `index` is more of the item that has the same one.
"""

from __future__ import annotations

from typing import Any, Protocol

NAMING = frozenset({"id", "type", "role", "name", "object", "format", "index", "call_id", "status"})
"""Fields that are said as a whole."""


class Pieces(list[str]):
    """A text that is joined when the answer is complete."""

    __slots__ = ()


class Assembler(Protocol):
    """Puts one answer together."""

    @property
    def growing(self) -> Pieces | None:
        """The text that the last frame was one more piece of, if it was nothing else.

        Then the same frame around another text is one more piece of it, too.
        """
        ...

    def add(self, data: bytes, event: bytes) -> None:
        """The next frame's payload, and the name of its event.

        Raises:
            msgspec.DecodeError, Malformed: it cannot be part of an answer.
        """
        ...

    def whole(self) -> bytes:
        """The body of the whole answer; raises Malformed when there is none."""
        ...


def only_text(held: dict[str, Any], more: dict[str, Any]) -> Pieces | None:
    """The one text that `more`, by which `held` has just grown, is a piece of; None: it said something else as well."""
    said = [name for name, piece in more.items() if piece and name not in NAMING]
    text = held.get(said[0]) if len(said) == 1 else None
    return text if type(text) is Pieces else None


def grow(held: dict[str, Any], more: dict[str, Any]) -> None:
    """Let an object grow by a piece of it."""
    for name, piece in more.items():
        before = held.get(name)
        if piece is None or (type(piece) is list and not piece and before):
            held.setdefault(name, piece)
        elif type(piece) is str and name not in NAMING:
            if type(before) is Pieces:
                before.append(piece)
            else:
                held[name] = Pieces((before, piece) if type(before) is str else (piece,))
        elif type(piece) is dict:
            if type(before) is not dict:
                before = held[name] = {}
            grow(before, piece)
        elif type(piece) is list:
            if type(before) is not list:
                before = held[name] = []
            extend(before, piece)
        elif name not in NAMING or not before:
            held[name] = piece


def extend(held: list[Any], more: list[Any]) -> None:
    """Let a list grow by items, of which some may be more of items that it has."""
    for item in more:
        if type(item) is not dict:
            held.append(item)
            continue
        known = _same(held, item) if type(item.get("index")) is int else None
        if known is None:
            known = {}
            held.append(known)
        grow(known, item)


def _same(held: list[Any], item: dict[str, Any]) -> dict[str, Any] | None:
    """The last item with this index, unless their kinds or ids say that they are two."""
    for known in reversed(held):
        if type(known) is dict and known.get("index") == item["index"]:
            differ = any(known.get(name) and item.get(name) and known[name] != item[name] for name in ("type", "id"))
            return None if differ else known
    return None


def override(held: dict[str, Any], more: dict[str, Any]) -> None:
    """Let an object be corrected by a later one: what it says anew counts, null says nothing."""
    for name, value in more.items():
        before = held.get(name)
        if type(value) is dict and type(before) is dict:
            override(before, value)
        elif value is not None or name not in held:
            held[name] = value


def settle(value: Any) -> Any:
    """The value with every text in one piece."""
    kind = type(value)
    if kind is Pieces:
        return "".join(value)
    if kind is dict:
        return {name: settle(inner) for name, inner in value.items()}
    if kind is list:
        return [settle(inner) for inner in value]
    return value
