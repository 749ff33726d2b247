from __future__ import annotations

import pytest

from handlers.errors import InvalidRequest
from handlers.payments.reading import read_json, read_request_key
from handlers.payments.topups import TopUp


@pytest.mark.parametrize("body", [b"{", b"[]", b"1", b'"x"', b"\xff", b"[" * 50_000, b'{"amount_minor": NaN}', b"null"])
def test_what_is_no_such_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_json(body, TopUp)


@pytest.mark.claim("C51")
@pytest.mark.parametrize("field", ["amount_minor", "currency", "note"])
def test_a_card_number_in_any_field_known_or_not_is_refused_as_such(field: str) -> None:
    card = "42" * 8
    for value in (f'"{card}"', card, f'["{card}"]', f'{{"{card}": 1}}'):
        with pytest.raises(InvalidRequest) as caught:
            read_json(f'{{"{field}": {value}}}'.encode(), TopUp)
        assert caught.value.code == "account_number_refused"
        assert card not in f"{caught.value.message}{caught.value.param}"


def test_a_strangers_field_name_is_not_repeated() -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_json(b'{"amount_minor": 500, "<script>": 1}', TopUp)
    assert "<script>" not in caught.value.message
    assert "keep_method" in caught.value.message


def test_request_keys() -> None:
    assert read_request_key({}) == ""
    assert read_request_key({"idempotency-key": "order:1_a.b-C"}) == "order:1_a.b-C"
    for key in ("a b", "x" * 65, "\u00e9", "a\n", "4242" * 4):
        with pytest.raises(InvalidRequest):
            read_request_key({"idempotency-key": key})
