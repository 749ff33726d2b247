"""What passing a format through takes: the edits to the request, and the few edits to the answer's frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import msgspec

from handlers.translation.adapters.base import Built, PlainAnswer
from handlers.translation.adapters.decoding import JsonDecoder
from handlers.translation.assembly.growing import Assembler
from handlers.translation.canonical.attempt import Asked
from handlers.translation.canonical.request import CanonicalRequest

_encode = msgspec.json.Encoder().encode
_decode_name = msgspec.json.Decoder(str).decode

PADS_ITSELF = frozenset({"openai"})
"""Providers that pad their events unless they are told not to, by `include_obfuscation`."""
USER_FIELDS = ("user", "safety_identifier")
"""A client's names for its own users."""
CACHE_FIELDS = ("prompt_cache_key",)
"""A client's names for its caches: at a shared account they are told apart by account, at its own they are its own."""


class Draft(msgspec.Struct, frozen=True):
    """The request to send, and what its answer needs to know."""

    built: Built
    include_usage: bool
    """The client shall see the usage of a stream."""
    prompt_tokens: int
    """An estimate."""
    output_tokens_max: int
    """The output cap in force, 0 when unknown."""
    exclude_reasoning: bool = False
    """The client does not want to see reasoning."""
    request: CanonicalRequest | None = None
    """The parsed request, where it had to be parsed."""
    padded: bool = False
    """The client wants its stream padded."""


class Relay(ABC):
    """One format that passes through."""

    model_key: ClassVar[str] = "model"
    """The field of an answer that names the model."""
    holds_last: ClassVar[bool] = False
    """There is no end marker: the frame that may be the last is held back until the next one, or the end, has come."""

    @abstractmethod
    def draft(self, asked: Asked) -> Draft:
        """The client's body with what must differ upstream.

        Raises:
            InvalidRequest: a field is wrong.
        """

    @abstractmethod
    def decoder(self, *, streams: bool, prompt_tokens: int) -> JsonDecoder:
        """Observes the answer."""

    @abstractmethod
    def assembler(self, provider: str) -> Assembler:
        """Puts a whole answer together from a stream of this provider."""

    def read_plain(self, data: bytes) -> PlainAnswer | None:
        """A whole answer, if one look at it is enough; None: it takes the decoder."""
        del data
        return None

    def is_hidden(self, decoder: Any, draft: Draft) -> bool:
        """Whether the frame just read is none of the client's business."""
        del decoder, draft
        return False

    def patch(self, raw: bytes) -> bytes:
        """A frame or body that reports usage, with what today's clients require and older providers leave out."""
        return raw

    def closing(self) -> bytes:
        """The end marker, for providers that leave it out; empty where an answer without its last event is cut."""
        return b""


def alias_names(body: dict[str, Any], asked: Asked) -> None:
    """Let the client's names for its users, and for its caches at a shared account, be known to this account alone (A72)."""
    for field in USER_FIELDS + CACHE_FIELDS if asked.stateless else USER_FIELDS:
        if field in body:
            body[field] = asked.alias(_decode_name(body[field]))
