"""What an operation is: how to ask a provider for it, and how to read the one answer."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from handlers.errors import Unprocessable
from handlers.translation.adapters.base import Built
from handlers.translation.canonical.attempt import Asked, UpstreamRequest
from handlers.translation.canonical.usage import NO_USAGE, Usage
from handlers.translation.dialects.base import JSON_TYPE
from handlers.translation.dialects.reading import decode_top, fields_beside

GATEWAY_FIELDS = frozenset({"models", "provider", "route", "session_id", "trace", "user"})
_ANSWER = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


class Answered(msgspec.Struct, frozen=True):
    """A provider's answer, ready for the client."""

    body: bytes
    usage: Usage = NO_USAGE
    content_type: str = JSON_TYPE
    model: str = ""

    def __repr__(self) -> str:
        """The size, never the body."""
        return f"Answered({len(self.body)} bytes)"


class Operation(Protocol):
    """One operation at one wire format."""

    def build(self, asked: Asked) -> Built:
        """The request to send.

        Raises:
            InvalidRequest: a field is wrong.
            Unprocessable: this endpoint cannot do what is asked.
        """
        ...

    def read(self, body: bytes, content_type: str, asked: Asked) -> Answered:
        """The whole answer; raises msgspec's errors and Malformed for what cannot be read."""
        ...


def edit_body(asked: Asked, **changes: Any) -> dict[str, Any]:
    """The client's JSON object without nulls and without what steered the gateway, with our model and these changes."""
    body = fields_beside(decode_top(asked.body), GATEWAY_FIELDS)
    return body | {"model": asked.upstream.upstream_model} | changes


def post(path: str, body: dict[str, Any], warnings: tuple[str, ...] = ()) -> Built:
    """A JSON request."""
    upstream = UpstreamRequest("POST", path, (("content-type", JSON_TYPE),), _encode(body), streams=False)
    return Built(upstream, warnings)


def refuse_stream(asked: Asked) -> None:
    """These operations answer once.

    Raises:
        Unprocessable: the client asked for a stream.
    """
    if asked.stream:
        raise Unprocessable("stream: this operation answers once; leave stream out.", param="stream")


def rename_model(body: bytes, asked: Asked) -> bytes:
    """The answer with the public model name at its top level, everything else untouched; raises msgspec.DecodeError."""
    top = _ANSWER.decode(body)
    if "model" not in top:
        return body
    return _encode({**top, "model": asked.public_model})
