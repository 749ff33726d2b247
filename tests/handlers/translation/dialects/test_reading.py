from __future__ import annotations

from typing import Literal

import msgspec
import pytest

from handlers.errors import InvalidRequest
from handlers.translation.dialects.reading import decode_body, read_media, read_stops


class Turn(msgspec.Struct):
    """What a client may get wrong."""

    role: Literal["user", "assistant"]
    heat: float | None = None
    seen: bool = False


class Body(msgspec.Struct):
    """The same."""

    turns: list[Turn]


DECODER = msgspec.json.Decoder(Body)


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (b"{}", "turns", "turns is required."),
        (b'{"turns":7}', "turns", "turns: expected array, got integer."),
        (b'{"turns":[{}]}', "turns[0].role", "turns[0].role is required."),
        (b'{"turns":[{"role":"king"}]}', "turns[0].role", "turns[0].role must be one of assistant, user."),
        (b'{"turns":[{"role":"user","heat":1e999}]}', "turns[0].heat", "turns[0].heat: number out of range."),
        (
            b'{"turns":[{"role":"user","heat":"very"}]}',
            "turns[0].heat",
            "turns[0].heat: expected number or null, got string.",
        ),
        (b'{"turns":[{"role":"user","seen":1}]}', "turns[0].seen", "turns[0].seen: expected boolean, got integer."),
        (b"[]", None, "The body: expected object, got array."),
        (b"{", None, "The body is not valid JSON; send one UTF-8 JSON object."),
    ],
)
def test_a_refusal_names_the_field_in_words_of_json_and_no_value(body: bytes, param: str | None, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_body(DECODER, body)
    assert (caught.value.param, caught.value.message) == (param, message)


@pytest.mark.parametrize("url", ["ftp://example.com/x.png", "data:image/png,x", "data:;base64,eA==", "x.png", ""])
def test_a_medium_is_a_web_address_or_a_data_url(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_media("image", url, "messages[0].image_url")
    assert caught.value.param == "messages[0].image_url"


def test_a_data_url_is_taken_apart() -> None:
    media = read_media("image", "data:image/PNG;name=x;base64,eA==", "at", detail="low")
    assert (media.media_type, media.data, media.url, media.detail) == ("image/png", "eA==", "", "low")


def test_one_stop_is_a_list_of_one_and_a_long_one_is_refused_by_its_place() -> None:
    assert read_stops("stop", None) == ()
    assert read_stops("stop", "END") == ("END",)
    with pytest.raises(InvalidRequest) as caught:
        read_stops("stop", ["a", "b" * 5_000])
    assert caught.value.param == "stop[1]"
