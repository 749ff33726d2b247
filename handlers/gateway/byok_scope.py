"""Who may use a stored provider key, as its row says."""

from __future__ import annotations

import msgspec


class Scope(msgspec.Struct, frozen=True):
    """None allows all."""

    models: tuple[str, ...] | None = None
    keys: frozenset[str] | None = None
    users: frozenset[str] | None = None


_DECODER = msgspec.json.Decoder(Scope)


def read_scope(text: str) -> Scope:
    """A scope from its JSON."""
    return _DECODER.decode(text)
