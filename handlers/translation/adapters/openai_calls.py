"""Tool calls in OpenAI's shape, whole or in pieces.

Met in recordings and bug reports: no `index` (Mistral), `id: ""` and `name: ""` in continuations (DashScope), the name in a
later chunk than the id, `index: 0` for every parallel call, arguments as an object. A call opens once its name is known.
"""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.translation.adapters.event_writer import EventWriter, Malformed
from handlers.translation.adapters.openai_answer_fields import CallDelta
from handlers.translation.canonical.events import BlockKind

CALL_INDEX_MAX = 1_024


class _Call:
    __slots__ = ("arguments", "block", "id", "name", "signature")

    def __init__(self) -> None:
        self.block = -1
        self.id = ""
        self.name = ""
        self.arguments = ""
        self.signature = ""


class CallReader:
    """Assigns pieces to calls and opens each call once it has a name."""

    __slots__ = ("_calls", "_last", "_writer")

    def __init__(self, writer: EventWriter) -> None:
        self._writer = writer
        self._calls: dict[tuple[int, int], _Call] = {}
        self._last: dict[int, int] = {}

    def read(self, choice: int, deltas: list[CallDelta], *, whole: bool) -> None:
        """The pieces of one chunk, or all calls of a whole answer."""
        for position, delta in enumerate(deltas):
            self._read_one(choice, delta, position if whole else None)

    def close(self, choice: int) -> None:
        """The choice is over: a call that never got a name cannot be carried out."""
        for (owner, _), call in self._calls.items():
            if owner != choice:
                continue
            if call.block < 0:
                raise Malformed("tool call without a name")
            self._writer.stop(call.block)

    def _read_one(self, choice: int, delta: CallDelta, position: int | None) -> None:
        name, arguments = _function(delta)
        call_id = "" if delta.id is None else str(delta.id)
        call = self._find(choice, delta.index if position is None else position, call_id, name)
        call.id = call.id or call_id
        call.name = call.name or name
        call.signature = call.signature or _signature(delta.extra_content)
        if call.block >= 0:
            self._writer.text(call.block, arguments)
            return
        call.arguments += arguments
        if call.name:
            call.block = self._writer.open(BlockKind.TOOL_CALL, choice, block_id=call.id, name=call.name)
            self._writer.proof(call.block, signature=call.signature)
            self._writer.text(call.block, call.arguments)
            call.arguments = ""

    def _find(self, choice: int, index: int | None, call_id: str, name: str) -> _Call:
        """The call that this piece belongs to; a new one where index, id or name say so."""
        last = self._last.get(choice, -1)
        if index is None:
            index = last + 1 if last < 0 or name else last
        if not 0 <= index <= CALL_INDEX_MAX:
            raise Malformed("tool call index out of range")
        call = self._calls.get((choice, index))
        if call is not None and call_id and call.id and call_id != call.id and name:
            index = 1 + max(number for owner, number in self._calls if owner == choice)
            call = None
        if call is None:
            call = self._calls[choice, index] = _Call()
        self._last[choice] = index
        return call


def _function(delta: CallDelta) -> tuple[str, str]:
    """Name and arguments as text; absent ones are empty."""
    if delta.custom is not None and (delta.custom.name or delta.function is None):
        return delta.custom.name or "", delta.custom.input or ""
    function = delta.function
    if function is None:
        return "", ""
    arguments = function.arguments
    if arguments is None:
        return function.name or "", ""
    if not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments).decode()
    return function.name or "", arguments


def _signature(extra: Any) -> str:
    """Gemini's thoughtSignature in its OpenAI-compatible clothes."""
    google = extra.get("google") if isinstance(extra, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) else ""
