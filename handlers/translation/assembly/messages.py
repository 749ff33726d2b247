"""Anthropic Messages: events -> one message."""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.translation.adapters.event_writer import Malformed
from handlers.translation.assembly.growing import Pieces, grow, only_text, override, settle

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
BROKEN_INPUT = "INVALID_JSON"
"""Anthropic's own word for a tool's input that is no JSON: it was cut by the output cap, or streamed without a check."""
_MESSAGE_DELTA = frozenset({"type", "delta"})


class MessagesAssembler:
    """Puts one message together."""

    def __init__(self) -> None:
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._inputs: dict[int, list[str]] = {}
        self.growing: Pieces | None = None

    def add(self, data: bytes, event: bytes) -> None:
        """One event."""
        del event
        self.growing = None
        read = _decode(data)
        match read:
            case {"type": "content_block_delta", "delta": {} as delta}:
                self._delta(read.get("index", 0), delta)
            case {"type": "content_block_start", "content_block": {} as block}:
                self._blocks[read.get("index", 0)] = block
            case {"type": "message_start", "message": {} as message}:
                self._message = message
            case {"type": "message_delta"}:
                self._message_delta(read)

    def whole(self) -> bytes:
        """The message."""
        if not self._message:
            raise Malformed("no message")
        for index, pieces in self._inputs.items():
            self._blocks[index]["input"] = _input("".join(pieces))
        content = [settle(block) for _, block in sorted(self._blocks.items())]
        return _encode({**self._message, "content": content})

    def _delta(self, index: int, delta: dict[str, Any]) -> None:
        block = self._blocks[index]
        said = {name: value for name, value in delta.items() if name != "type" and value is not None}
        piece, citation = said.pop("partial_json", None), said.pop("citation", None)
        if piece:
            self._inputs.setdefault(index, []).append(piece)
            return
        grow(block, said)
        if citation is None:
            self.growing = only_text(block, said)
        else:
            block["citations"] = [*(block.get("citations") or ()), citation]

    def _message_delta(self, read: dict[str, Any]) -> None:
        message = self._message
        override(message, {name: value for name, value in read.items() if name not in _MESSAGE_DELTA})
        override(message, read.get("delta") or {})


def _input(text: str) -> Any:
    """A tool's input as the model wrote it, number for number."""
    try:
        _decode(text)
    except msgspec.DecodeError:
        return {BROKEN_INPUT: text}
    return msgspec.Raw(text.encode())
