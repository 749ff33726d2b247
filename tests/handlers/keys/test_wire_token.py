from __future__ import annotations

import os
import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.keys.wire_token import mint_wire_token, verify_wire_token

KEY = os.urandom(32)
FIELDS = ("request-1", "account-1", "openai/gpt-4o@openai", "record-1")
NOW = 1_800_000_000.0


def test_a_token_is_good_until_it_expires() -> None:
    token = mint_wire_token(KEY, *FIELDS, expires_at_s=int(NOW) + 30)
    assert verify_wire_token(KEY, token, *FIELDS, now_s=NOW)
    assert verify_wire_token(KEY, token, *FIELDS, now_s=NOW + 29.9)
    assert not verify_wire_token(KEY, token, *FIELDS, now_s=NOW + 30)


@pytest.mark.parametrize("position", range(4))
def test_a_token_is_for_one_exchange_only(position: int) -> None:
    token = mint_wire_token(KEY, *FIELDS, expires_at_s=int(NOW) + 30)
    request, account, endpoint, record = (f"{v}x" if i == position else v for i, v in enumerate(FIELDS))
    assert not verify_wire_token(KEY, token, request, account, endpoint, record, now_s=NOW)


def test_fields_cannot_flow_into_one_another() -> None:
    token = mint_wire_token(KEY, "ab", "c", "d", "", int(NOW) + 30)
    assert not verify_wire_token(KEY, token, "a", "bc", "d", "", NOW)
    assert not verify_wire_token(KEY, token, "ab", "cd", "", "", NOW)


def test_another_key_or_a_later_expiry_is_refused() -> None:
    token = mint_wire_token(KEY, *FIELDS, expires_at_s=int(NOW) + 30)
    expiry, _, mac = token.partition(".")
    assert not verify_wire_token(os.urandom(32), token, *FIELDS, now_s=NOW)
    assert not verify_wire_token(KEY, f"{int(expiry, 16) + 1:x}.{mac}", *FIELDS, now_s=NOW)


@given(st.text(max_size=80))
def test_any_text_is_refused_without_an_exception(token: str) -> None:
    assert not verify_wire_token(KEY, token, *FIELDS, now_s=NOW)


def test_a_short_key_signs_nothing() -> None:
    with pytest.raises(ValueError, match="32"):
        mint_wire_token(b"short", *FIELDS, expires_at_s=1)


def test_it_costs_microseconds() -> None:
    token = mint_wire_token(KEY, *FIELDS, expires_at_s=int(NOW) + 30)
    best = min(timeit.repeat(lambda: verify_wire_token(KEY, token, *FIELDS, now_s=NOW), number=1_000, repeat=20))
    assert best / 1_000 < 10e-6  # 1.4 us measured; the line is for busy machines
