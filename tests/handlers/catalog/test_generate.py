from __future__ import annotations

from decimal import Decimal

import pytest
from genai_prices.data import providers
from genai_prices.types import ModelPrice, Tier, TieredPrices
from genai_prices.types import Usage as PackagedUsage
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.catalog.entries import NANO, Price
from handlers.catalog.generate import FILE, _tiers, encode, make
from handlers.catalog.loading import load_catalog
from handlers.ledger.rating import rate
from handlers.translation.canonical.usage import Usage


def test_the_committed_file_is_what_the_installed_package_gives() -> None:
    assert FILE.read_bytes() == encode(make()), "run: python -m handlers.catalog.generate"


@pytest.mark.claim("A66")
def test_a66_what_usage_cannot_count_has_no_price() -> None:
    assert _tiers(ModelPrice(input_document_kpages=Decimal(1)), free=False) == ()
    assert _tiers(ModelPrice(input_mtok=Decimal(1), output_video_mtok=Decimal(1)), free=False) == ()
    assert _tiers(ModelPrice(), free=False) == ()
    assert len(_tiers(ModelPrice(), free=True)) == 1


def test_tiers_begin_one_token_after_their_threshold() -> None:
    tiered = TieredPrices(base=Decimal("1.25"), tiers=[Tier(start=200_000, price=Decimal("2.5"))])
    low, high = _tiers(ModelPrice(input_mtok=tiered, output_mtok=Decimal(10)), free=False)
    assert (low[0], high[0]) == (0, 200_001)
    assert (low[1].input, high[1].input, high[1].output) == (NANO * 5 // 4, NANO * 5 // 2, NANO * 10)


def test_units_of_other_sizes_are_converted() -> None:
    ((_, rates),) = _tiers(
        ModelPrice(
            web_searches_kcount=Decimal(10),
            requests_kcount=Decimal(12),
            input_mchars=Decimal(15),
            audio_hours=Decimal("0.36"),
        ),
        free=False,
    )
    assert rates.searches == NANO // 100 * 1_000_000
    assert rates.per_request == NANO * 12 // 1_000
    assert rates.characters == 15 * NANO
    assert rates.seconds_ms == NANO // 10  # 0.36 USD an hour: a tenth of a USD for a million milliseconds


SOURCE = {model.id: model for model in next(p for p in providers if p.id == "anthropic").models}
COMPARED = [name for name in ("claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-1") if name in SOURCE]


@pytest.mark.claim("A67")
@settings(max_examples=150)
@given(
    st.sampled_from(COMPARED),
    st.integers(0, 400_000),
    st.integers(0, 100_000),
    st.integers(0, 50_000),
    st.integers(0, 64_000),
)
def test_a67_our_charge_is_the_packages_own_to_the_nano(name: str, plain: int, read: int, write: int, out: int) -> None:
    endpoint = next(
        e for m in CATALOG.models.values() for e in m.endpoints if (e.provider, e.upstream_model) == ("anthropic", name)
    )
    assert isinstance(endpoint.price, Price)
    ours = rate(Usage(input=plain, cache_read=read, cache_write_5m=write, output=out), endpoint.price)
    usage = PackagedUsage(
        input_tokens=plain + read + write, cache_read_tokens=read, cache_write_tokens=write, output_tokens=out
    )
    prices = SOURCE[name].prices
    assert isinstance(prices, ModelPrice)
    theirs = prices.calc_price(usage)["total_price"] * NANO
    assert ours == theirs.to_integral_value() == theirs


CATALOG = load_catalog("global", enabled=frozenset({"anthropic"}))


def test_the_comparison_has_something_to_compare() -> None:
    assert len(COMPARED) == 3
