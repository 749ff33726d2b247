"""What every adapter is: it builds a provider's request, and makes the decoder that reads its answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Protocol

import msgspec

from handlers.translation.adapters.event_writer import EventWriter
from handlers.translation.canonical.attempt import UpstreamRequest, UpstreamTarget
from handlers.translation.canonical.events import Event
from handlers.translation.canonical.request import CanonicalRequest
from handlers.translation.canonical.usage import Usage

_encode = msgspec.json.Encoder().encode


class Built(msgspec.Struct, frozen=True):
    """An upstream request and what must be known to read its answer."""

    upstream: UpstreamRequest
    warnings: tuple[str, ...] = ()
    tool_names: Mapping[str, str] = {}
    """Names as sent upstream -> names as the client knows them, where they differ."""
    answer_tool: str = ""
    """A tool of ours that carries a structured answer: its arguments are the text."""


def build_post(
    path: str,
    body: Mapping[str, Any],
    request: CanonicalRequest,
    *,
    names: Mapping[str, str],
    warnings: Iterable[str],
    headers: tuple[tuple[str, str], ...] = (),
    answer_tool: str = "",
) -> Built:
    """A POST of a JSON body; `names` is what `rename_tools` gave, `headers` what the format wants beside its media type."""
    upstream = UpstreamRequest(
        "POST", path, (("content-type", "application/json"), *headers), _encode(body), streams=request.stream
    )
    return Built(upstream, tuple(warnings), {sent: name for name, sent in names.items() if sent != name}, answer_tool)


class PlainAnswer(msgspec.Struct, frozen=True):
    """All there is to know of a whole answer that is one text."""

    usage: Usage
    finish_reason: str
    model: str
    """The model that the provider says it used."""
    response_id: str


class Decoder(Protocol):
    """One answer. Created per attempt, fed in order, thrown away."""

    writer: EventWriter
    model: str
    """The model that the provider says it used."""
    response_id: str

    def receive_data(self, data: bytes) -> list[Event]:
        """Events that these bytes complete."""
        ...

    def receive_eof(self) -> list[Event]:
        """The rest; the last event of an answer is always terminal."""
        ...

    def end(self) -> None:
        """Nothing more will come: complete if the answer is whole, else fail as truncated."""
        ...


class Adapter(Protocol):
    """One upstream wire format. Knows no socket, clock, environment, randomness or secret."""

    name: ClassVar[str]

    def build_request(self, request: CanonicalRequest, target: UpstreamTarget) -> Built:
        """The request to send.

        Raises:
            Unprocessable: the format cannot express it.
        """
        ...

    def decoder(self, *, streams: bool, target: UpstreamTarget, prompt_tokens: int) -> Decoder:
        """Reads a successful answer; `prompt_tokens` estimates the prompt should the provider not say."""
        ...
