"""The budget of races."""

from __future__ import annotations

from handlers.gateway.hedging import FLOOR, SHARE, WINDOW_S, HedgeBudget


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_share_of_the_requests_that_asked_may_race() -> None:
    budget = HedgeBudget(Clock())
    for _ in range(1_000):
        budget.asked()
    assert sum(budget.spend() for _ in range(1_000)) == 1_000 * SHARE


def test_a_few_may_race_in_quiet_times_and_again_later() -> None:
    clock = Clock()
    budget = HedgeBudget(clock)
    budget.asked()
    assert sum(budget.spend() for _ in range(10)) == FLOOR
    clock.now += WINDOW_S + 1
    assert budget.spend()
