from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.catalog.entries import NANO, Capabilities, Endpoint, Period, Price, Rates
from handlers.ledger.quote import TEMPLATE_TOKENS, affordable_output_tokens, quote
from handlers.ledger.rating import rate
from handlers.translation.canonical.usage import Usage

nano_rates = st.integers(min_value=0, max_value=10**11)
rate_cards = st.builds(
    Rates,
    **dict.fromkeys(
        ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning", "per_request"), nano_rates
    ),
)


def endpoint(*tiers: tuple[int, Rates], cap: int = 1_000, price: Price | None = None) -> Endpoint:
    return Endpoint(
        id="a/b@c",
        model="a/b",
        provider="c",
        upstream_model="b",
        capabilities=Capabilities(output_tokens_max=cap),
        price=price or Price("test/1", tiers),
    )


endpoints = st.lists(
    st.builds(
        lambda low, high, cap: endpoint((0, low), (500, high), cap=cap), rate_cards, rate_cards, st.integers(1, 5_000)
    ),
    min_size=1,
    max_size=4,
)


def test_a_quote_is_prompt_and_output_at_their_dearest() -> None:
    one = endpoint((0, Rates(input=NANO, cache_write_5m=2 * NANO, output=3 * NANO, reasoning=4 * NANO)))
    prompt = 30 // 3 + TEMPLATE_TOKENS
    assert quote([one], prompt_bytes=30, output_tokens_cap=10) == (prompt * 2 + 10 * 4) * 1_000
    assert quote([one], prompt_bytes=30, output_tokens_cap=10, choices=3) == (prompt * 2 + 30 * 4) * 1_000
    assert quote([one], prompt_bytes=30, output_tokens_cap=10, markup_ppm=100_000) == (prompt * 2 + 40) * 1_100


def test_without_a_cap_the_models_own_applies_and_a_larger_one_changes_nothing() -> None:
    one = endpoint((0, Rates(output=NANO)), cap=100)
    assert (
        quote([one], prompt_bytes=0, output_tokens_cap=None)
        == quote([one], prompt_bytes=0, output_tokens_cap=9_999)
        == 100_000
    )


def test_the_dearest_endpoint_tier_and_hour_decide() -> None:
    cheap, dear = endpoint((0, Rates(output=NANO))), endpoint((0, Rates(output=5 * NANO)))
    peak = endpoint(
        price=Price("t", ((0, Rates(output=NANO)),), ((Period(minute_start=60), ((0, Rates(output=7 * NANO)),)),))
    )
    long = endpoint((0, Rates(output=NANO)), (100, Rates(output=9 * NANO)))
    assert quote([cheap, dear], prompt_bytes=0, output_tokens_cap=1) == 5_000
    assert quote([cheap, peak], prompt_bytes=0, output_tokens_cap=1) == 7_000
    assert quote([long], prompt_bytes=3, output_tokens_cap=1) == 1_000
    assert quote([long], prompt_bytes=3_000, output_tokens_cap=1) == 9_000


def test_a_free_plan_and_a_plan_without_prices_cost_nothing() -> None:
    unpriced = Endpoint("x", "x", "x", "x", Capabilities(), None)
    assert quote([endpoint((0, Rates()))], prompt_bytes=10**6, output_tokens_cap=None) == 0
    assert quote([unpriced], prompt_bytes=10**6, output_tokens_cap=None) == 0
    assert affordable_output_tokens([unpriced], 0, prompt_bytes=10) == 0


@pytest.mark.claim("C12")
@given(endpoints, st.integers(0, 10_000), st.integers(0, 6_000), st.data())
def test_no_usage_within_the_bounds_costs_more_than_the_quote(
    plan: list[Endpoint], prompt_bytes: int, cap: int, data: st.DataObject
) -> None:
    quoted = quote(plan, prompt_bytes=prompt_bytes, output_tokens_cap=cap, markup_ppm=70_000)
    served = data.draw(st.sampled_from(plan))
    prompt = data.draw(st.integers(0, -(-prompt_bytes // 3) + TEMPLATE_TOKENS))
    cached = data.draw(st.integers(0, prompt))
    output = data.draw(st.integers(0, min(cap, served.capabilities.output_tokens_max)))
    reasoning = data.draw(st.integers(0, output))
    usage = Usage(input=prompt - cached, cache_write_1h=cached, output=output - reasoning, reasoning=reasoning)
    assert served.price is not None
    assert rate(usage, served.price, markup_ppm=70_000) <= quoted


@given(endpoints, st.integers(0, 10_000), st.integers(0, 10**12), st.integers(1, 4), st.integers(0, 200_000))
def test_what_a_balance_affords_is_within_it_and_one_token_more_is_not(
    plan: list[Endpoint], prompt_bytes: int, budget: int, choices: int, markup_ppm: int
) -> None:
    def quoted(tokens: int) -> int:
        return quote(plan, prompt_bytes=prompt_bytes, output_tokens_cap=tokens, choices=choices, markup_ppm=markup_ppm)

    tokens = affordable_output_tokens(plan, budget, prompt_bytes=prompt_bytes, choices=choices, markup_ppm=markup_ppm)
    most = max(one.capabilities.output_tokens_max for one in plan)
    assert 0 <= tokens <= most
    if quoted(0) <= budget:
        assert quoted(tokens) <= budget
        assert tokens == most or quoted(tokens + 1) > budget
    else:
        assert tokens == 0


def test_other_units_are_quoted_too() -> None:
    speech = endpoint((0, Rates(characters=15 * NANO)))
    assert quote([speech], prompt_bytes=1_000, output_tokens_cap=0) == 15_000_000
    hearing = endpoint((0, Rates(seconds_ms=100_000_000)))
    assert quote([hearing], prompt_bytes=60_000, output_tokens_cap=0) == 6_000_000
    drawing = endpoint((0, Rates(images=40_000_000 * 1_000_000)))
    assert quote([drawing], prompt_bytes=10, output_tokens_cap=0, choices=2) == 80_000_000
