from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.clouds.alb import read_body, read_headers
from handlers.errors import InvalidRequest, PayloadTooLarge


@given(body=st.binary(max_size=200))
def test_bytes_arrive_as_they_were_sent(body: bytes) -> None:
    encoded = {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    assert read_body(encoded, 1_000) == body


@given(text=st.text(max_size=200).filter(lambda t: t.isprintable()))
def test_text_arrives_as_its_bytes(text: str) -> None:
    assert read_body({"body": text, "isBase64Encoded": False}, 1_000) == text.encode()


@pytest.mark.parametrize(
    "event",
    [
        {"body": "a" * 101},
        {"body": "a" * 10_000},
        {"body": base64.b64encode(b"a" * 101).decode(), "isBase64Encoded": True},
    ],
)
def test_long_bodies_are_refused(event: dict[str, Any]) -> None:
    with pytest.raises(PayloadTooLarge):
        read_body(event, 100)


def test_a_body_may_be_missing_and_broken_encodings_are_refused() -> None:
    assert read_body({}, 10) == read_body({"body": None}, 10) == b""
    for body in ("not base64!", "\ud800"):
        with pytest.raises(InvalidRequest):
            read_body({"body": body, "isBase64Encoded": body != "\ud800"}, 100)


def test_headers_of_both_forms_of_event() -> None:
    single = {"headers": {"Stripe-Signature": "x", "HOST": "h"}}
    multiple = {"multiValueHeaders": {"Stripe-Signature": ["x"], "HOST": ["h"]}}
    assert read_headers(single) == read_headers(multiple) == {"stripe-signature": "x", "host": "h"}
    assert read_headers({}) == {}


@pytest.mark.claim("A64")
@pytest.mark.parametrize("name", ["Authorization", "Stripe-Signature", "Wechatpay-Timestamp", "Idempotency-Key"])
def test_a64_a_header_that_decides_may_come_once_only(name: str) -> None:
    with pytest.raises(InvalidRequest):
        read_headers({"multiValueHeaders": {name: ["a", "b"]}})
    with pytest.raises(InvalidRequest):
        read_headers({"headers": {name: "a", name.lower(): "b"}})
    assert read_headers({"multiValueHeaders": {"accept": ["a", "b"]}}) == {"accept": "b"}
