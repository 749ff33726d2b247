"""Chat bodies that differ in nothing but their messages: what stands around the messages is read once.

An application says the same beside its messages from call to call: a model, a temperature, a cap. So a body is cut into
what stands before the messages, the messages, and what stands after them; what followed from the two sides the last time
follows from them again, and only the messages are read.

Why this is exact
    In JSON any value may stand where a value stands, and what surrounds it keeps its meaning. `learn` shows, with two
    made-up values, that the cut goes around exactly the one `messages` that counts and that every other field lies
    outside of it; whoever uses what `find` returned must show that the gap now holds one JSON array and nothing else.

Rules
    Kept are numbers, switches and names, nothing that a person wrote: a body with any other field is read whole each time.
    What is kept is bounded in number and length.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from handlers.translation.canonical.attempt import Asked, UpstreamTarget

SIDE_BYTES_MAX = 512
"""Of what stands before or after the messages."""
KNOWN_MAX = 512
"""When so many are known, all are forgotten: an application that never says the same twice costs no more than that."""
KEPT_FIELDS = frozenset({
    "messages", "model", "models", "temperature", "top_p", "top_k", "min_p", "top_a", "max_tokens", "max_completion_tokens",
    "n", "stream", "stream_options", "frequency_penalty", "presence_penalty", "repetition_penalty", "logprobs",
    "top_logprobs", "parallel_tool_calls", "reasoning_effort", "verbosity", "store", "service_tier", "provider", "usage",
})  # fmt: skip
_KEY = b'"messages":'
_decode_top = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_MADE_UP = (msgspec.Raw(b"0"), msgspec.Raw(b"1"))


class Settings(msgspec.Struct, frozen=True):
    """What a body says beside its messages."""

    rest: bytes
    """Every field but `messages` as the provider gets it: a JSON object, its opening brace replaced by a comma."""
    warnings: tuple[str, ...]
    include_usage: bool
    output_tokens_max: int
    exclude_reasoning: bool


Terms = tuple[UpstreamTarget, bool, bool]
"""What settings depend on beside the body: the endpoint, whether it may keep state, whether it is asked for a stream."""


def terms_of(asked: Asked) -> Terms | None:
    """None for requests whose cap is not the client's own: what follows from them is for them alone."""
    return None if asked.output_tokens_max else (asked.upstream, asked.stateless, asked.streams_upstream)


def cut(body: bytes) -> tuple[int, int] | None:
    """Where the messages seem to begin and end: the first thing of that name, up to the last bracket. A guess; `learn` checks it."""
    start = body.find(_KEY, 0, SIDE_BYTES_MAX)
    end = body.rfind(b"]", -SIDE_BYTES_MAX) + 1
    if start < 0 or end <= start:
        return None
    return start + len(_KEY), end


class KnownSettings:
    """What followed from the sides of earlier bodies, under the same terms."""

    def __init__(self) -> None:
        self._known: dict[tuple[Terms, bytes, bytes], Settings] = {}

    def find(self, terms: Terms, body: bytes) -> tuple[Settings, memoryview] | None:
        """What follows from the sides of a body, and what lies between them.

        True only if that is one JSON array and nothing else, which is for the caller to see.
        """
        ends = cut(body)
        if ends is None:
            return None
        start, end = ends
        settings = self._known.get((terms, body[:start], body[end:]))
        if settings is None:
            return None
        return settings, memoryview(body)[start:end]

    def learn(self, terms: Terms, body: bytes, top: Mapping[str, msgspec.Raw], settings: Settings) -> None:
        """Keep what followed from a body, of which `top` is the top level, if it may be kept and can be cut."""
        ends = cut(body)
        if ends is None or not top.keys() <= KEPT_FIELDS:
            return
        before, after = body[: ends[0]], body[ends[1] :]
        key = (terms, before, after)
        if key in self._known:
            return
        if not all(_says(before + bytes(value) + after, {**top, "messages": value}) for value in _MADE_UP):
            return
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[key] = settings


def _says(body: bytes, top: Mapping[str, msgspec.Raw]) -> bool:
    try:
        return _decode_top(body) == top
    except msgspec.DecodeError:
        return False
