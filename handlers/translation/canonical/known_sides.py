"""Chat bodies that differ in nothing but their messages: what stands around the messages is read once.

An application says the same beside its messages from call to call: a model, a temperature, a cap. So a body is cut into
what stands before the messages, the messages, and what stands after them; what followed from the two sides the last time
follows from them again, and only the messages are read.

Why this is exact
    In JSON any value may stand where a value stands, and what surrounds it keeps its meaning. `learn` shows that one value
    stands between the sides and, with two made-up ones, that it is the one `messages` that counts: so every other field
    lies in the sides. Whoever uses what `find` returned must show that the gap now holds one JSON array and nothing else.

Rules
    Kept are numbers, switches and names, nothing that a person wrote: a body with any other field is read whole each time.
    What is kept is bounded in number and length.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

import msgspec

SIDE_BYTES_MAX: Final = 512
"""Of what stands before or after the messages."""
KNOWN_MAX: Final = 512
"""When so many are known, all are forgotten: an application that never says the same twice costs no more than that."""
KEPT_FIELDS: Final = frozenset({
    "messages", "model", "models", "temperature", "top_p", "top_k", "min_p", "top_a", "max_tokens", "max_completion_tokens",
    "n", "stream", "stream_options", "frequency_penalty", "presence_penalty", "repetition_penalty", "logprobs",
    "top_logprobs", "parallel_tool_calls", "reasoning_effort", "verbosity", "store", "service_tier", "provider", "usage",
})  # fmt: skip
_KEY: Final = b'"messages":'
_decode_top: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_value: Final = msgspec.json.Decoder(msgspec.Raw).decode
_MADE_UP: Final = (b"0", b"1")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def cut(body: bytes) -> tuple[int, int] | None:
    """Where the messages seem to begin and end: the first thing of that name, up to the last bracket. A guess; `learn` checks it."""
    start = body.find(_KEY, 0, SIDE_BYTES_MAX)
    end = body.rfind(b"]", -SIDE_BYTES_MAX) + 1
    if start < 0 or end <= start:
        return None
    return start + len(_KEY), end


class KnownSides(Generic[K, V]):
    """What followed from the sides of earlier bodies, under the same terms: K is all that it depends on beside them."""

    def __init__(self) -> None:
        self._known: dict[tuple[K, bytes, bytes], V] = {}

    def find(self, terms: K, body: bytes) -> tuple[V, memoryview] | None:
        """What follows from the sides of a body, and what lies between them.

        True only if that is one JSON array and nothing else, which is for the caller to see.
        """
        ends = cut(body)
        if ends is None:
            return None
        start, end = ends
        value = self._known.get((terms, body[:start], body[end:]))
        if value is None:
            return None
        return value, memoryview(body)[start:end]

    def learn(self, terms: K, body: bytes, value: V) -> None:
        """Keep what followed from a body, if it may be kept and can be cut; what cannot is found out from its sides, mostly."""
        ends = cut(body)
        if ends is None:
            return
        start, end = ends
        before, after = body[:start], body[end:]
        key = (terms, before, after)
        if key in self._known:
            return
        top, other = (_decoded(before + made_up + after, _decode_top) for made_up in _MADE_UP)
        if top is None or other is None or not top.keys() <= KEPT_FIELDS:
            return
        told = top.pop("messages", None), other.pop("messages", None)
        if (
            told != tuple(map(msgspec.Raw, _MADE_UP))
            or top != other
            or _decoded(body[start:end], _decode_value) is None
        ):
            return
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[key] = value


def _decoded(data: bytes, decode: Callable[[bytes], V]) -> V | None:
    try:
        return decode(data)
    except msgspec.DecodeError:
        return None
