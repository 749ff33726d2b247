"""Messages of texts and tool calls, told apart from all others by one strict decode.

No key beyond these is let through, at any depth, in any spelling, once or twice: the decoder looks at each as it comes. So
plain messages name nothing that a provider keeps (kept_objects.py) and hold nothing that is bound to one
(bound_material.py), and no scan of their bytes is needed to know it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MESSAGES_MAX = 4_096
"""Of one request, in any dialect."""


class TextPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A part of a message that is text."""

    type: Literal["text"]
    text: str


class PlainFunction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What a tool call calls."""

    name: str
    arguments: str


class PlainCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A tool call in the history."""

    id: str
    function: PlainFunction
    type: Literal["function"] = "function"


class PlainMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A message as SDKs write it; what they write as null must be null."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    tool_calls: list[PlainCall] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    audio: None = None
    function_call: None = None


_Messages = Annotated[list[PlainMessage], Meta(min_length=1, max_length=MESSAGES_MAX)]
_DECODER: msgspec.json.Decoder[list[PlainMessage]] = msgspec.json.Decoder(_Messages)


def decode_plain(messages: bytes | memoryview | msgspec.Raw) -> list[PlainMessage] | None:
    """One JSON array of plain messages; None for anything else."""
    try:
        return _DECODER.decode(messages)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
