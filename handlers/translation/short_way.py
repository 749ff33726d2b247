"""The short way through translation: a chat body whose settings are known, answered with one text.

Most requests of an application are of this kind. Both steps look whether that is so and give up with None where it is not;
then the long way (conversation.py) is taken, from the beginning, with the same body. The short way never says anything
that the long one would not say: a test sends requests and answers of all kinds both ways.
"""

from __future__ import annotations

from handlers.translation.adapters.base import PlainAnswer
from handlers.translation.canonical.attempt import Asked, UpstreamRequest
from handlers.translation.conversation import NORMALISE
from handlers.translation.passthrough.base import model_name
from handlers.translation.passthrough.known_settings import Terms, terms_of
from handlers.translation.passthrough.openai_chat import ChatRelay, known_request
from handlers.translation.raw_whole import PLAIN_BYTES_MAX
from handlers.translation.registry import RELAYS


class ShortWay:
    """For requests that differ from one another in nothing but their bodies, and want one JSON answer."""

    __slots__ = ("_model", "_relay", "_terms")

    def __init__(self, terms: Terms, relay: ChatRelay, public_model: str) -> None:
        self._terms = terms
        self._relay = relay
        self._model = model_name(public_model, relay.model_key)

    def build(self, body: bytes) -> tuple[UpstreamRequest, tuple[str, ...]] | None:
        """The request to send, with its warnings, for a client's body."""
        known = self._relay.find_known(self._terms, body)
        if known is None:
            return None
        settings, messages, _ = known
        return known_request(settings, messages, streams=False), settings.warnings

    def read(self, body: bytes) -> tuple[PlainAnswer, bytes] | None:
        """What a successful answer says, and the client's bytes for it."""
        if len(body) > PLAIN_BYTES_MAX or body[:1] != b"{":
            return None
        plain = self._relay.read_plain(body)
        if plain is None:
            return None
        return plain, self._model.replace(body, plain.model)


def short_way(asked: Asked) -> ShortWay | None:
    """The short way for requests asked for like this one, if there is one."""
    relay = RELAYS.get((asked.dialect, asked.upstream.wire_format))
    terms = terms_of(asked)
    streams = asked.stream or asked.streams_upstream
    if terms is None or asked.operation != "chat" or streams or NORMALISE in asked.upstream.quirks:
        return None
    return ShortWay(terms, relay, asked.public_model) if isinstance(relay, ChatRelay) else None
