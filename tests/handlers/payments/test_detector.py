from __future__ import annotations

import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.errors import InvalidRequest
from handlers.payments.detector import holds_card_number, holds_iban, iban_holds, luhn_holds, refuse_account_numbers

# The companies' published test numbers, one per network and length.
CARDS = (
    "4242424242424242",
    "4000056655665556",
    "5555555555554444",
    "2223003122003222",
    "5105105105105100",
    "378282246310005",
    "6011111111111117",
    "3056930009020004",
    "36227206271667",
    "3566002020360505",
    "6200000000000005",
    "4222222222222",
)
IBANS = ("DE89370400440532013000", "GB82WEST12345698765432", "FR1420041010050500013M02606", "NO9386011117947")


def _luhn_digit(digits: str) -> str:
    return next(d for d in string.digits if luhn_holds(digits + d))


@pytest.mark.claim("C51")
@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize(
    "written",
    [
        "{}",
        "my card is {} thanks",
        "x{}y",
        "000{}",
        "{}1225123",
        "a@b.example,{}",
    ],
)
def test_a_card_number_is_found_anywhere_in_a_text(card: str, written: str) -> None:
    assert holds_card_number(written.format(card))


@pytest.mark.claim("C51")
@pytest.mark.parametrize("separator", [" ", "-", ".", "\u2011"])
def test_a_card_number_in_groups_is_found(separator: str) -> None:
    for card in CARDS:
        groups = separator.join(card[i : i + 4] for i in range(0, len(card), 4))
        assert holds_card_number(groups)
        assert holds_card_number(f"7 {groups} 12")


@pytest.mark.claim("C51")
def test_full_width_digits_are_digits() -> None:
    wide = "".join(chr(0xFF10 + int(d)) for d in CARDS[0])
    assert holds_card_number(wide)


@pytest.mark.parametrize(
    "harmless",
    [
        "4242424242424241",  # wrong check digit
        "1000000000000008",  # no network begins like that
        "12345678000195",  # a tax id of 14 digits
        "42424242",
        "2026-11-23 05:30:00",
        "+1 415 555 2671",
        "",
        "order 17",
    ],
)
def test_other_numbers_pass(harmless: str) -> None:
    assert not holds_card_number(harmless)
    assert not holds_iban(harmless)


@pytest.mark.claim("C51")
@pytest.mark.parametrize("iban", IBANS)
@pytest.mark.parametrize("written", ["{}", "IBAN {} please", "({})"])
def test_an_iban_is_found_with_spaces_or_without(iban: str, written: str) -> None:
    spaced = " ".join(iban[i : i + 4] for i in range(0, len(iban), 4))
    assert iban_holds(iban)
    assert holds_iban(written.format(iban))
    assert holds_iban(written.format(spaced))
    assert holds_iban(written.format(iban.lower()))


def test_an_iban_with_a_changed_digit_passes() -> None:
    assert not holds_iban("DE89370400440532013001")


@pytest.mark.claim("C51")
@given(
    issued=st.sampled_from(
        [
            *(("4", n) for n in (13, 16, 19)),
            *((p, 16) for p in ("51", "55", "2221", "2720", "222100", "2599")),
            *((p, 15) for p in ("34", "37")),
            *((p, 14) for p in ("300", "305", "309", "36", "38", "39")),
            *((p, n) for p in ("3528", "3589", "6011", "644", "65", "62", "2200") for n in (16, 17, 18, 19)),
            *((p, n) for p in ("50", "56", "58", "67") for n in range(13, 20)),
        ]
    ),
    seed=st.integers(0, 2**32),
    before=st.text(alphabet=string.ascii_letters + " ,:", max_size=12),
    after=st.text(alphabet=string.ascii_letters + " ,:", max_size=12),
)
@settings(max_examples=300)
def test_every_number_that_a_network_could_issue_is_found(
    issued: tuple[str, int], seed: int, before: str, after: str
) -> None:
    prefix, length = issued
    body = prefix + "".join(random.Random(seed).choice(string.digits) for _ in range(length - len(prefix) - 1))
    assert holds_card_number(before + body + _luhn_digit(body) + after)


@pytest.mark.claim("C51")
@pytest.mark.parametrize("card", CARDS)
def test_a_request_with_a_card_number_at_any_depth_is_refused_without_repeating_it(card: str) -> None:
    places: tuple[object, ...] = (
        {"note": card},
        {"note": int(card)},
        {"a": [{"b": ["x", {"c": f"n{card}"}]}]},
        {card: 1},
        [card],
        {"a": {card: {"b": "c"}}},
    )
    for place in places:
        with pytest.raises(InvalidRequest) as caught:
            refuse_account_numbers(place)
        told = f"{caught.value.message}{caught.value.param}{caught.value.detail}"
        assert card not in told


def test_a_request_without_one_passes() -> None:
    refuse_account_numbers({"amount_minor": 2_000, "flags": [True, None, 1.5], "currency": "usd"})
