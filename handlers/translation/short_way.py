"""The short way through translation: a chat body whose settings are known, answered with one text or with a stream.

Most requests of an application are of this kind. Building one and reading one text look whether that is so and give up with
None where it is not; then the long way (conversation.py) is taken, from the beginning, with the same body. A request for a
stream joins the long way once it has been sent. The short way never says anything that the long one would not say: a test
sends requests and answers of all kinds both ways.
"""

from __future__ import annotations

from handlers.translation.adapters.base import PlainAnswer
from handlers.translation.canonical.attempt import Asked, Translation, UpstreamRequest
from handlers.translation.canonical.plain_messages import PlainMessage
from handlers.translation.conversation import NORMALISE
from handlers.translation.exchange import converse
from handlers.translation.passthrough.known_settings import Settings, Terms, terms_of
from handlers.translation.passthrough.model_names import model_name
from handlers.translation.passthrough.openai_chat import ChatRelay, known_draft, known_request
from handlers.translation.raw_whole import PLAIN_BYTES_MAX
from handlers.translation.registry import RELAYS

KnownRequest = tuple[UpstreamRequest, Settings, list[PlainMessage]]
"""The request to send, and what it was made of."""


class ShortWay:
    """For requests that differ from one another in nothing but their bodies, and want one JSON answer or a stream."""

    __slots__ = ("_model", "_relay", "_terms", "streams")

    def __init__(self, terms: Terms, relay: ChatRelay, public_model: str, *, streams: bool) -> None:
        """`streams`: the client wants a stream, and so the provider is asked for one."""
        self._terms = terms
        self._relay = relay
        self._model = model_name(public_model, relay.model_key)
        self.streams = streams

    def build(self, body: bytes) -> KnownRequest | None:
        """The request to send for a client's body."""
        known = self._relay.find_known(self._terms, body)
        if known is None:
            return None
        settings, raw, messages = known
        return known_request(settings, raw, streams=self.streams), settings, messages

    def join(self, asked: Asked, known: KnownRequest) -> Translation:
        """The translation that reads the answer to a request that was built here: what `begin` makes for the same body."""
        return converse(asked, known_draft(*known))

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
    alike = asked.stream == asked.streams_upstream
    if terms is None or asked.operation != "chat" or not alike or NORMALISE in asked.upstream.quirks:
        return None
    return ShortWay(terms, relay, asked.public_model, streams=asked.stream) if isinstance(relay, ChatRelay) else None
