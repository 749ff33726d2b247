"""OpenAI Responses: the last event carries the whole response, field by field in the provider's own bytes."""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.translation.adapters.event_writer import Malformed

ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_ITEM_DONE = "response.output_item.done"


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    output_index: int = 0
    response: msgspec.Raw = msgspec.Raw()
    item: msgspec.Raw = msgspec.Raw()


_EVENT = msgspec.json.Decoder(_Event)
_RESPONSE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode
_NO_OUTPUT = (None, msgspec.Raw(b"[]"), msgspec.Raw(b"null"))


class ResponsesAssembler:
    """Waits for the whole response; the items are remembered for providers that leave them out of it."""

    growing = None
    """No two frames are alike: they are numbered, or count what was used."""

    def __init__(self) -> None:
        self._response = b""
        self._items: dict[int, bytes] = {}

    def add(self, data: bytes, event: bytes) -> None:
        """One event."""
        if data == b"[DONE]":
            return
        read = _EVENT.decode(data)
        kind = read.type or event.decode()
        if kind in ENDS:
            self._response = bytes(read.response)
        elif kind == _ITEM_DONE:
            self._items[read.output_index] = bytes(read.item)

    def whole(self) -> bytes:
        """The response."""
        if not self._response:
            raise Malformed("no response")
        top: dict[str, Any] = _RESPONSE.decode(self._response)
        if not self._items or top.get("output") not in _NO_OUTPUT:
            return self._response
        return _encode({**top, "output": [msgspec.Raw(item) for _, item in sorted(self._items.items())]})
