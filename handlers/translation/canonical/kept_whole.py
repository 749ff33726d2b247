"""What a stream cannot carry, in rows: answers that are asked for whole, so that the client loses nothing.

A client that wants one JSON answer is otherwise served by a stream where the answer may take long (see
handlers/gateway/dispatch.py). An answer that is asked for whole has one clock, for its whole.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec


class LostField(NamedTuple):
    """A field that whole answers carry, and streams of the same format do not."""

    field: str
    provider: str
    models: re.Pattern[str]
    """Upstream names."""


LOST_FIELDS: dict[tuple[str, str], tuple[LostField, ...]] = {
    ("google_generate", "gemini"): (
        LostField("candidates.avgLogprobs", "vertex", re.compile("")),
        LostField("candidates.avgLogprobs", "gemini", re.compile(r"gemini-(1\.|2\.0)")),
    ),
}
"""By dialect and wire format, where answers pass through; a dialect that has no word for a field does not miss it."""


class WholeSetting(NamedTuple):
    """A setting of the request whose answer only comes whole, or comes in another form when streamed."""

    path: tuple[str, ...]
    streams: frozenset[Any]
    """Values that stream all the same; of a list, each item."""


_NEVER: frozenset[Any] = frozenset({None, False})  # and so 0
WHOLE_SETTINGS: dict[str, tuple[WholeSetting, ...]] = {
    "openai_chat": (
        WholeSetting(("modalities",), frozenset({None, "text"})),
        WholeSetting(("audio",), _NEVER),  # in a stream only as raw samples
        WholeSetting(("prompt_logprobs",), _NEVER),
        WholeSetting(("use_beam_search",), _NEVER),
        WholeSetting(("echo",), _NEVER),
        WholeSetting(("return_token_ids",), _NEVER),
    ),
    "google_generate": (
        WholeSetting(("generationConfig", "responseLogprobs"), _NEVER),
        WholeSetting(("generationConfig", "responseModalities"), frozenset({None, "TEXT", "text"})),
        WholeSetting(("generationConfig", "speechConfig"), _NEVER),
    ),
    "google_interactions": (WholeSetting(("response_modalities",), frozenset({None, "text", "TEXT"})),),
}
"""By dialect, in the client's own words."""
PROVIDER_SETTINGS: dict[str, tuple[WholeSetting, ...]] = {
    "together": (WholeSetting(("logprobs",), _NEVER),),  # other fields, in another form
}
"""Beside those, by provider."""
_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])
_decode = msgspec.json.Decoder().decode


def lost_field(dialect: str, wire_format: str, provider: str, upstream_model: str) -> str:
    """A field that the client would miss if the answer came as a stream, or empty."""
    for row in LOST_FIELDS.get((dialect, wire_format), ()):
        if row.provider == provider and row.models.search(upstream_model):
            return row.field
    return ""


def whole_setting(dialect: str, provider: str, body: bytes) -> str:
    """The setting, by its path, for which the answer must be asked for whole, or empty.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError, RecursionError: the body is no JSON object.
    """
    rows = WHOLE_SETTINGS.get(dialect, ()) + PROVIDER_SETTINGS.get(provider, ())
    named = [row for row in rows if row.path[-1].encode() in body]
    if not named:
        return ""
    top = _DECODER.decode(body)
    return next((".".join(row.path) for row in named if not _streams(row, top)), "")


def _streams(row: WholeSetting, top: dict[str, msgspec.Raw]) -> bool:
    first, *rest = row.path
    if first not in top:
        return True
    value = _decode(bytes(top[first]))
    for name in rest:
        value = value.get(name) if type(value) is dict else None
    values = value if type(value) is list else [value]
    return all(type(one) is not dict and one in row.streams for one in values)
