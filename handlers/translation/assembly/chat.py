"""OpenAI chat completions: chunks -> one completion."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import msgspec

from handlers.translation.adapters.event_writer import Malformed
from handlers.translation.assembly.growing import Pieces, grow, only_text, override, settle

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
STREAM_ONLY = frozenset({"obfuscation", "p"})
"""Fields of chunks that are there to pad them."""
SAID_WHEN_EMPTY: dict[str, dict[str, Any]] = {"openai": {"refusal": None, "annotations": []}}
"""By provider: what a whole message says although there is nothing to say, and no chunk does."""
UNNUMBERED = frozenset({"openai"})
"""Providers whose tool calls have an `index` in chunks only; with others they have it in whole answers, too."""


class ChatAssembler:
    """Puts one completion together.

    Args:
        provider: the provider's slug.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._top: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self.growing: Pieces | None = None

    def add(self, data: bytes, event: bytes) -> None:
        """One chunk, or the end marker."""
        del event
        self.growing = None
        if data == b"[DONE]":
            return
        chunk = _decode(data)
        if type(chunk) is not dict:
            raise Malformed("a chunk that is no object")
        choices = chunk.pop("choices", None) or ()
        for choice in choices:
            self._choice(choice, alone=len(choices) == 1)
        for name, value in chunk.items():
            if value is not None or name not in self._top:
                self._top[name] = value

    def whole(self) -> bytes:
        """The completion."""
        if not self._choices:
            raise Malformed("no choices")
        top = {name: value for name, value in self._top.items() if name not in STREAM_ONLY}
        usage = {"usage": top.pop("usage")} if "usage" in top else {}
        choices = [settle(choice) for _, choice in sorted(self._choices.items())]
        if self._provider in UNNUMBERED:
            for choice in choices:
                for call in choice["message"].get("tool_calls") or ():
                    del call["index"]
        return _encode({**top, "object": "chat.completion", "choices": choices, **usage})

    def _choice(self, more: dict[str, Any], *, alone: bool) -> None:
        index = more.get("index") or 0
        choice = self._choices.get(index)
        if choice is None:
            message = {"role": "assistant", "content": None, **deepcopy(SAID_WHEN_EMPTY.get(self._provider, {}))}
            choice = self._choices[index] = {"index": index, "message": message, "logprobs": None}
        delta = more.pop("delta", None)
        if delta:
            calls = delta.pop("tool_calls", None)
            content = delta.get("content")
            if type(content) is str and type(choice["message"]["content"]) is list:
                delta["content"] = [{"type": "text", "text": content}]
            grow(choice["message"], delta)
            if alone and not calls and not more.get("logprobs"):
                self.growing = only_text(choice["message"], delta)
            if calls:
                _add_calls(choice["message"].setdefault("tool_calls", []), calls)
        logprobs = more.pop("logprobs", None)
        if type(logprobs) is dict:
            if type(choice["logprobs"]) is not dict:
                choice["logprobs"] = {}
            grow(choice["logprobs"], logprobs)
        more.pop("message", None)  # what some say beside the deltas, growing
        override(choice, more)


def _add_calls(held: list[dict[str, Any]], pieces: list[dict[str, Any]]) -> None:
    """Pieces of tool calls, each to the call that the decoder gives it to, too (adapters/openai_calls.py)."""
    for piece in pieces:
        name = (piece.get("function") or piece.get("custom") or {}).get("name")
        index = piece.get("index")
        if index is None:
            index = len(held) if not held or name else held[-1]["index"]
        call = next((one for one in reversed(held) if one["index"] == index), None)
        if call is not None and name and piece.get("id") and call.get("id") and piece["id"] != call["id"]:
            index, call = 1 + max(one["index"] for one in held), None
        if call is None:
            call = {"index": index}
            held.append(call)
        grow(call, piece)
