"""What every dialect is: parse what a client sent, encode what a provider answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from handlers.translation.canonical.assembled import Answer
from handlers.translation.canonical.attempt import Asked
from handlers.translation.canonical.events import Event, ResponseFailed
from handlers.translation.canonical.request import CanonicalRequest

STREAM_TYPE: Final = "text/event-stream"
JSON_TYPE: Final = "application/json"


class ClientBody(msgspec.Struct, frozen=True):
    """What a client sent."""

    body: bytes
    stream: bool
    stateless: bool
    target: str = ""
    headers: Mapping[str, str] = {}

    def __repr__(self) -> str:
        """The size, never the body."""
        return f"ClientBody({len(self.body)} bytes)"


def client_body(asked: Asked) -> ClientBody:
    """The part of an attempt that its client sent."""
    return ClientBody(asked.body, asked.stream, asked.stateless, asked.target, asked.client_headers)


class AnswerContext(msgspec.Struct, frozen=True):
    """What an encoder needs to know beside the events."""

    response_id: str
    """Ours, where the provider sent none."""
    now_s: int
    model: str
    """The public name."""
    provider: str
    """The provider's name."""
    include_usage: bool = True
    exclude_reasoning: bool = False
    prompt_tokens: int = 0
    """An estimate, for dialects that announce the prompt's size first."""
    request: CanonicalRequest | None = None
    """For dialects whose answers repeat the request."""
    target: str = ""
    """The client's request target, for dialects that put the form of a stream there."""


class StreamEncoder(Protocol):
    """Writes one streamed answer."""

    def encode(self, event: Event) -> bytes:
        """Client-ready bytes of an event that is not terminal; often empty."""
        ...

    def complete(self) -> tuple[bytes, bytes]:
        """The closing bytes, and those that say "finished"."""
        ...

    def fail(self, event: ResponseFailed) -> bytes:
        """The dialect's own error event, after content has been sent."""
        ...


def _events(target: str) -> str:
    del target
    return STREAM_TYPE


@dataclass(frozen=True, slots=True)
class Dialect:
    """One client-facing API format: its functions under a name."""

    name: str
    parse: Callable[[ClientBody], CanonicalRequest]
    """The request in canonical terms. Raises InvalidRequest with `param` for a field that is wrong, Unprocessable for what is
    understood and never expressible in canonical terms."""
    stream_encoder: Callable[[AnswerContext], StreamEncoder]
    """A writer of one streamed answer."""
    encode_whole: Callable[[Answer, AnswerContext], bytes]
    """One whole answer."""
    stream_type: Callable[[str], str] = _events
    """The content type of a stream, by the client's request target."""
