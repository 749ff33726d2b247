"""What a chat body says beside its messages, and what that depends on."""

from __future__ import annotations

import msgspec

from handlers.translation.canonical.attempt import Asked, UpstreamTarget


class Settings(msgspec.Struct, frozen=True):
    """What a body says beside its messages."""

    rest: bytes
    """Every field but `messages` as the provider gets it: a JSON object, its opening brace replaced by a comma."""
    warnings: tuple[str, ...]
    include_usage: bool
    output_tokens_max: int
    exclude_reasoning: bool
    padded: bool = False
    """The client wants its stream padded."""


Terms = tuple[UpstreamTarget, bool, bool]
"""What settings depend on beside the body: the endpoint, whether it may keep state, whether it is asked for a stream."""


def terms_of(asked: Asked) -> Terms | None:
    """None for requests whose cap is not the client's own: what follows from them is for them alone."""
    return None if asked.output_tokens_max else (asked.upstream, asked.stateless, asked.streams_upstream)
