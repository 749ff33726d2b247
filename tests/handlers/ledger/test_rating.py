from __future__ import annotations

import math
import random
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.catalog.entries import NANO, PER_MILLION, Price, Rates
from handlers.ledger.rating import charge_for, rate, round_up_to_nano
from handlers.translation.canonical.usage import Usage

CLASSES = [name for name in Rates.__struct_fields__ if name != "per_request"]
counters = st.integers(min_value=0, max_value=10**9)
nano_rates = st.integers(min_value=0, max_value=10**12)
usages = st.builds(Usage, **dict.fromkeys(CLASSES, counters))
rate_cards = st.builds(Rates, **dict.fromkeys(Rates.__struct_fields__, nano_rates))
markups = st.integers(min_value=0, max_value=2_000_000)


def price(*tiers: tuple[int, Rates]) -> Price:
    return Price("test/1", tiers)


def exact(usage: Usage, rates: Rates, markup_ppm: int) -> Fraction:
    """The charge in nano-units before rounding, by another arithmetic."""
    total = Fraction(rates.per_request)
    for name in CLASSES:
        total += Fraction(getattr(usage, name) * getattr(rates, name), PER_MILLION)
    return total * (1 + Fraction(markup_ppm, PER_MILLION))


@pytest.mark.claim("A67", "C12")
@given(usages, rate_cards, markups)
def test_a67_a_charge_is_the_exact_sum_rounded_up_once(usage: Usage, rates: Rates, markup_ppm: int) -> None:
    assert rate(usage, price((0, rates)), markup_ppm=markup_ppm) == math.ceil(exact(usage, rates, markup_ppm))


def test_list_prices_are_exact() -> None:
    # 0.075 USD per million is 75 nano-USD a token (security.md 5.2).
    card = Rates(input=75_000_000, output=300_000_000)
    assert rate(Usage(input=1), price((0, card))) == 75
    assert rate(Usage(input=1_000_000, output=1_000_000), price((0, card))) == 375_000_000
    assert rate(Usage(input=1_000, output=500), price((0, card)), markup_ppm=50_000) == 236_250


def test_the_smallest_usage_of_the_smallest_rate_costs_one_nano() -> None:
    assert rate(Usage(input=1), price((0, Rates(input=1)))) == 1
    assert rate(Usage(), price((0, Rates(input=1)))) == 0


@pytest.mark.parametrize(("tokens", "expected"), [(200_000, 1), (200_001, 2), (500_000, 2), (500_001, 3)])
def test_a_tier_holds_for_the_whole_request(tokens: int, expected: int) -> None:
    card = price((0, Rates(input=NANO)), (200_001, Rates(input=2 * NANO)), (500_001, Rates(input=3 * NANO)))
    assert rate(Usage(input=tokens), card) == tokens * expected * NANO // PER_MILLION


def test_cached_tokens_count_for_the_tier() -> None:
    card = price((0, Rates(input=NANO, cache_read=NANO)), (101, Rates(input=2 * NANO, cache_read=NANO)))
    assert rate(Usage(input=1, cache_read=100), card) == (2 + 100) * NANO // PER_MILLION


def test_each_class_has_its_own_rate() -> None:
    for number, name in enumerate(CLASSES, 1):
        usage = msgspec.convert({name: PER_MILLION}, Usage)
        assert rate(usage, price((0, Rates(**{name: number * NANO, "per_request": 1})))) == number * NANO + 1
        others = Rates(**{other: NANO for other in CLASSES if other != name})
        assert rate(usage, price((0, others))) == 0


@pytest.mark.claim("A55", "A66")
def test_a55_a_negative_counter_counts_as_zero() -> None:
    card = price((0, Rates(input=NANO, output=NANO)))
    assert rate(Usage(input=-5, output=10), card) == 10 * NANO // PER_MILLION


@pytest.mark.claim("A67")
@pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a67_the_sum_of_many_random_charges_is_exact(count: int) -> None:
    chance = random.Random(67)
    card = price((0, Rates(input=37_500_000, cache_read=1_250_000, output=10_000_000_001, per_request=7)))
    total = reference = 0
    for _ in range(count):
        reading, cached, writing = chance.randrange(200_000), chance.randrange(50_000), chance.randrange(9_000)
        total += rate(Usage(input=reading, cache_read=cached, output=writing), card, markup_ppm=50_000)
        grains = reading * 37_500_000 + cached * 1_250_000 + writing * 10_000_000_001 + 7 * PER_MILLION
        whole, rest = divmod(grains * 1_050_000, PER_MILLION * PER_MILLION)
        reference += whole + (rest > 0)
    assert total == reference
    assert isinstance(total, int)


@given(st.integers(min_value=0, max_value=10**24), markups)
def test_rounding_is_up_and_by_less_than_one(grains: int, markup_ppm: int) -> None:
    before = Fraction(grains * (PER_MILLION + markup_ppm), PER_MILLION**2)
    assert 0 <= round_up_to_nano(grains, markup_ppm) - before < 1


def test_no_semantic_output_costs_nothing_and_nothing_costs_more_than_its_hold() -> None:
    card = price((0, Rates(output=NANO)))
    usage = Usage(output=10 * PER_MILLION)
    assert charge_for(usage, card, semantic=False, hold_nano=100 * NANO) == 0
    assert charge_for(usage, card, semantic=True, hold_nano=100 * NANO) == 10 * NANO
    assert charge_for(usage, card, semantic=True, hold_nano=3) == 3
