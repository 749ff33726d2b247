"""Reading what clients send: typed decoding whose refusals name the field in the client's own words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal, TypeVar

import msgspec

from handlers.errors import InvalidRequest
from handlers.translation.canonical.json_words import complaint
from handlers.translation.canonical.request import CacheControl, Media

T = TypeVar("T")

EFFORTS = ("default", "none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Reasoning efforts; `default` is Groq's word for saying nothing."""

GATEWAY_FIELDS = frozenset({
    "models", "route", "provider", "transforms", "plugins", "usage", "session_id", "trace", "debug", "fallbacks",
})  # fmt: skip
"""Fields that steer the gateway, in OpenAI's formats; it has read them, no provider of ours shall."""

TOOLS_MAX = 512
STOPS_MAX = 64
STOP_CHARACTERS_MAX = 4_096
CHOICES_MAX = 128
OUTPUT_TOKENS_MAX = 10_000_000


class CacheField(msgspec.Struct):
    """`cache_control`."""

    type: Literal["ephemeral"] = "ephemeral"
    ttl: Literal["5m", "1h"] = "5m"


def decode_body(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The typed value of a body.

    Raises:
        InvalidRequest: with the field at fault; the message holds types and names, never values.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise refusal(error, decoder.type) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest("The body is not valid JSON; send one UTF-8 JSON object.") from None


_TOP = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NULL = msgspec.Raw(b"null")


def decode_top(body: bytes) -> dict[str, msgspec.Raw]:
    """The top level of a body, values untouched; of duplicate keys the last remains.

    Raises:
        InvalidRequest: it is no JSON object.
    """
    return decode_body(_TOP, body)


def refusal(error: msgspec.ValidationError, shape: Any) -> InvalidRequest:
    """Our words for msgspec's about a body that has not this shape: the field and what is accepted there, never a value."""
    path, sentence = complaint(str(error), shape)
    return InvalidRequest(sentence, param=path or None)


def fields_beside(top: Mapping[str, msgspec.Raw], names: Collection[str]) -> dict[str, Any]:
    """The fields of a body that are given, as null is not, but for these."""
    return {name: value for name, value in top.items() if name not in names and value != _NULL}


def given(raw: msgspec.Raw) -> msgspec.Raw | None:
    """The JSON of an optional field, None where it is absent or null."""
    return None if bytes(raw) in {b"", b"null"} else raw


def require(value: str | None, param: str) -> str:
    """A text that must be there.

    Raises:
        InvalidRequest: it is absent or empty.
    """
    if not value:
        raise InvalidRequest(f"{param} is required.", param=param)
    return value


def cache_control(field: CacheField | None) -> CacheControl | None:
    """A mark of the prompt cache in canonical terms."""
    return CacheControl(field.ttl) if field else None


def check_range(name: str, value: float | None, low: float, high: float) -> None:
    """Refuse a number outside low..high.

    Raises:
        InvalidRequest: naming the field and the range.
    """
    if value is not None and not low <= value <= high:
        raise InvalidRequest(f"{name} must be between {low} and {high}.", param=name)


def check_effort(name: str, effort: str | None) -> None:
    """Refuse an unknown reasoning effort.

    Raises:
        InvalidRequest: naming the field and the words.
    """
    if effort and effort not in EFFORTS:
        raise InvalidRequest(f"{name} must be one of {', '.join(EFFORTS)}.", param=name)


def check_length(name: str, length: int, most: int, least: int = 0) -> None:
    """Refuse a list or a text that is too short or too long.

    Raises:
        InvalidRequest: naming the field and the limit.
    """
    if length > most:
        raise InvalidRequest(f"{name} may hold at most {most} entries.", param=name)
    if length < least:
        raise InvalidRequest(f"{name} must not be empty.", param=name)


def read_stops(name: str, stop: str | list[str] | None) -> tuple[str, ...]:
    """Stop sequences as a tuple.

    Raises:
        InvalidRequest: too many, or too long ones.
    """
    if stop is None:
        return ()
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    check_length(name, len(stops), STOPS_MAX)
    for number, text in enumerate(stops):
        check_length(f"{name}[{number}]", len(text), STOP_CHARACTERS_MAX)
    return stops


def read_media(kind: str, url: str, at: str, *, detail: str = "", cache: CacheControl | None = None) -> Media:
    """A medium given by a web address or by a data URL.

    Raises:
        InvalidRequest: it is neither.
    """
    if url.startswith("data:"):
        media_type, data = _split_data_url(url, at)
        return Media(kind, at, data=data, media_type=media_type, detail=detail, cache=cache)
    if not url.startswith(("https://", "http://")):
        raise InvalidRequest(f"{at} must be an http(s) URL or a data URL.", param=at)
    return Media(kind, at, url=url, detail=detail, cache=cache)


def kept_elsewhere(param: str) -> InvalidRequest:
    """Our refusal of what only works with something that a provider keeps between requests."""
    return InvalidRequest(
        f"{param} relies on something kept by one provider, which shared credentials never use; send the content itself "
        "with each request, or use your own provider key.",
        code="stateful_field",
        param=param,
    )


def _split_data_url(url: str, at: str) -> tuple[str, str]:
    head, comma, data = url.partition(",")
    media_type, _, encoding = head.removeprefix("data:").rpartition(";")
    if not comma or encoding != "base64" or "/" not in media_type:
        raise InvalidRequest(f"{at}: a data URL must look like data:image/png;base64,....", param=at)
    return media_type.partition(";")[0].lower(), data
