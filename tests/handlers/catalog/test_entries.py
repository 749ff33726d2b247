from __future__ import annotations

from datetime import UTC, datetime

import pytest

from handlers.catalog.entries import Period, Price, Rates

CHEAP, DEAR, NEW = Rates(input=1), Rates(input=2), Rates(input=3)


def moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_the_last_tier_that_is_reached_applies() -> None:
    price = Price("t", ((0, CHEAP), (100, DEAR), (200, NEW)))
    assert [price.rates_at(tokens).input for tokens in (0, 99, 100, 199, 200, 10**9)] == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("when", "rate"),
    [
        ("2026-11-22T02:00", 1),  # Sunday
        ("2026-11-23T00:59", 1),
        ("2026-11-23T01:00", 2),
        ("2026-11-23T03:59", 2),
        ("2026-11-23T04:00", 1),
        ("2026-11-27T02:00", 2),  # Friday
        ("2026-11-28T02:00", 1),  # Saturday
    ],
)
def test_peak_hours_on_weekdays(when: str, rate: int) -> None:
    peak = Period(minute_start=60, minute_end=240, weekdays=(0, 1, 2, 3, 4))
    price = Price("t", ((0, CHEAP),), ((peak, ((0, DEAR),)),))
    assert price.at(moment(when)).rates_at(0).input == rate


def test_a_window_may_pass_midnight() -> None:
    night = Period(minute_start=16 * 60 + 30, minute_end=30)
    assert night.includes(moment("2026-01-01T16:30"))
    assert night.includes(moment("2026-01-01T00:29"))
    assert not night.includes(moment("2026-01-01T00:30"))
    assert not night.includes(moment("2026-01-01T16:29"))


@pytest.mark.claim("A66")
def test_a66_a_price_taken_at_admission_never_changes() -> None:
    later = Period(since_s=int(moment("2027-01-01T00:00")))
    price = Price("t/1", ((0, CHEAP),), ((later, ((0, DEAR),)),))
    admitted = price.at(moment("2026-12-31T23:59"))
    assert admitted == Price("t/1", ((0, CHEAP),))
    assert admitted.at(moment("2027-06-01T00:00")) is admitted
    assert price.at(moment("2027-01-01T00:00")).rates_at(0) == DEAR


def test_of_overlapping_periods_the_last_wins() -> None:
    price = Price("t", ((0, CHEAP),), ((Period(), ((0, DEAR),)), (Period(since_s=100), ((0, NEW),))))
    assert price.at(50).rates_at(0) == DEAR
    assert price.at(100).rates_at(0) == NEW
