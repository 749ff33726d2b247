"""Refusals name the field and what is accepted there, in words of JSON, and never what was sent."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from handlers.translation.canonical.json_words import complaint


class Order(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What a client may get wrong."""

    sort_by: Literal["price", "speed"]
    last: bool = False


class Body(msgspec.Struct):
    """The same."""

    tiers: dict[str, Order] | None = None
    orders: tuple[Literal["up", "down"] | Order, ...] = ()
    level: Literal[1, 2] | None = None
    count: Annotated[int, Meta(ge=1, le=3)] | None = None
    names: Annotated[list[str], Meta(max_length=1)] | None = None
    heat: float = 0.0


@pytest.mark.parametrize(
    ("body", "path", "sentence"),
    [
        (b'{"tiers":{"a":{"sortBy":"king"}}}', "tiers[...].sortBy", "tiers[...].sortBy must be one of price, speed."),
        (b'{"tiers":{"a":{}}}', "tiers[...].sortBy", "tiers[...].sortBy is required."),
        (b'{"orders":["up","king"]}', "orders[1]", "orders[1] must be one of down, up."),
        (b'{"orders":[{"sortBy":"king"}]}', "orders[0].sortBy", "orders[0].sortBy must be one of price, speed."),
        (b'{"orders":[{"king":1}]}', "orders[0]", "orders[0] has a field that is not known; it may have sortBy, last."),
        (b'{"orders":[5]}', "orders[0]", "orders[0]: expected string or object, got integer."),
        (b'{"level":3}', "level", "level must be one of 1, 2."),
        (b'{"count":9}', "count", "count: expected integer <= 3."),
        (b'{"names":["a","b"]}', "names", "names: expected array of length <= 1."),
        (b'{"heat":1e999}', "heat", "heat: number out of range."),
        (b"[]", "", "The body: expected object, got array."),
    ],
)
def test_the_field_and_what_is_accepted_there(body: bytes, path: str, sentence: str) -> None:
    assert told(body) == (path, sentence)


@pytest.mark.parametrize("value", ["Object missing required field `x`", "Expected `x`", "' - at `$.x`", "x" * 9_999])
def test_nothing_of_a_value_is_said_even_if_it_sounds_like_msgspec(value: str) -> None:
    path, sentence = told(msgspec.json.encode({"orders": [{"sortBy": value}]}))
    assert (path, sentence) == ("orders[0].sortBy", "orders[0].sortBy must be one of price, speed.")
    path, sentence = told(msgspec.json.encode({"orders": [{value: 1}]}))
    assert (path, sentence) == ("orders[0]", "orders[0] has a field that is not known; it may have sortBy, last.")


def told(body: bytes) -> tuple[str, str]:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(body, type=Body)
    return complaint(str(caught.value), Body)
