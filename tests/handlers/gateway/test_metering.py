"""One line per passage: nothing for silence, never more than the hold, at the price of the admission."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.catalog.entries import Capabilities, Endpoint, Period, Price, Rates
from handlers.errors import FailureClass
from handlers.gateway.attempts import Attempt, RoutePlan
from handlers.gateway.authorize import authorize
from handlers.gateway.credit import Hold, _worst_case
from handlers.gateway.metering import estimate, line_for
from handlers.gateway.request_ids import new_request_id
from handlers.gateway.usage_line import UsageLine
from handlers.ledger.rating import rate
from handlers.translation.canonical.usage import Usage
from tests.handlers.gateway.test_credit import PRICE, PROVIDER, call, principal

COUNTS = st.integers(-5, 10**7)
USAGES = st.builds(
    Usage,
    input=COUNTS,
    cache_read=COUNTS,
    cache_write_5m=COUNTS,
    cache_write_1h=COUNTS,
    output=COUNTS,
    reasoning=COUNTS,
)
DAY_S = 86_400


def line(
    usage: Usage,
    *,
    semantic: bool = True,
    hold_nano: int = 10**15,
    price: Price | None = PRICE,
    credential: str = "shared",
    at_s: int = 0,
    failure: FailureClass | None = None,
    markup_ppm: int = 0,
    byok_fee_ppm: int = 0,
) -> UsageLine:
    """The line of one passage."""
    endpoint = Endpoint("m@p", "m", "p", "m", Capabilities(output_tokens_max=1000), price)
    return line_for(
        request_id=new_request_id(),
        grant=authorize(principal(markup_ppm=markup_ppm, byok_fee_ppm=byok_fee_ppm), "127.0.0.1"),
        attempt=Attempt(endpoint, PROVIDER, credential, ""),
        call=call(),
        usage=usage,
        semantic=semantic,
        status=200,
        failure=failure,
        latency_ms=1,
        first_event_ms=None,
        attempts=1,
        hold=Hold("k", hold_nano, "lease"),
        admitted_at_s=at_s,
    )


@pytest.mark.claim("C12")
@given(usage=USAGES, hold_nano=st.integers(0, 10**9), failure=st.sampled_from([None, *FailureClass]))
def test_without_anything_for_the_client_nothing_is_charged_whatever_the_provider_counted(
    usage: Usage, hold_nano: int, failure: FailureClass | None
) -> None:
    made = line(usage, semantic=False, hold_nano=hold_nano, failure=failure)
    assert made.cost_nano == 0
    assert made.prompt_tokens == usage.prompt_tokens, "it is metered all the same"


@pytest.mark.claim("A55", "C12")
@given(
    usage=USAGES,
    hold_nano=st.integers(0, 10**9),
    markup_ppm=st.integers(0, 10**6),
    byok_fee_ppm=st.integers(0, 10**6),
    credential=st.sampled_from(["shared", "byok"]),
)
def test_a55_no_usage_costs_less_than_nothing_or_more_than_was_held(
    usage: Usage, hold_nano: int, markup_ppm: int, byok_fee_ppm: int, credential: str
) -> None:
    made = line(usage, hold_nano=hold_nano, credential=credential, markup_ppm=markup_ppm, byok_fee_ppm=byok_fee_ppm)
    assert 0 <= made.cost_nano <= hold_nano


def test_own_provider_keys_cost_their_fee_and_by_default_nothing() -> None:
    usage = Usage(input=1_000, output=1_000)
    assert line(usage).cost_nano == 2_000
    assert line(usage, credential="byok").cost_nano == 0
    assert line(usage, credential="byok", byok_fee_ppm=50_000).cost_nano == 100
    assert line(usage, credential="byok", byok_fee_ppm=50_000, markup_ppm=500_000).cost_nano == 100
    assert line(usage, markup_ppm=500_000).cost_nano == 3_000


@pytest.mark.claim("A66")
def test_a66_a_price_that_changes_while_a_request_runs_is_the_next_requests() -> None:
    from_noon = Period(since_s=DAY_S // 2)
    dearer = ((0, Rates(input=9_000_000, output=9_000_000)),)
    price = Price("v", PRICE.tiers, ((from_noon, dearer),))
    usage = Usage(input=10, output=10)
    assert line(usage, price=price, at_s=DAY_S // 2 - 1).cost_nano == 20
    assert line(usage, price=price, at_s=DAY_S // 2).cost_nano == 180


@pytest.mark.claim("A68")
@given(choices=st.integers(1, 128), cap=st.integers(1, 1_000))
def test_a68_many_answers_to_one_question_are_all_held(choices: int, cap: int) -> None:
    endpoint = Endpoint("m@p", "m", "p", "m", Capabilities(output_tokens_max=1000), PRICE)
    plan = RoutePlan((Attempt(endpoint, PROVIDER, "shared", ""),), (), 1, "v")
    asked = msgspec.structs.replace(call(cap), choices=choices)
    held = _worst_case(plan, asked, principal())
    everything = Usage(input=len(asked.body) // 3, output=choices * cap)
    assert rate(everything, PRICE) <= held


@pytest.mark.parametrize(
    ("known", "bytes_out", "prompt", "completion"),
    [
        (Usage(input=7, output=5), 10_000, 7, 5),
        (Usage(), 0, 0, 0),
        (Usage(), 1, 12, 1),
        (Usage(), 400, 12, 100),
    ],
)
def test_a_pod_that_died_is_metered_by_what_it_told_or_by_its_bytes_and_flagged(
    known: Usage, bytes_out: int, prompt: int, completion: int
) -> None:
    asked = msgspec.structs.replace(call(), body=b"x" * 48)
    guessed = estimate(known, asked, bytes_out)
    assert (guessed.prompt_tokens, guessed.completion_tokens, guessed.estimated) == (prompt, completion, True)
