"""An outage is not amplified; a healthy alternative is always allowed."""

from __future__ import annotations

import pytest

from handlers.errors import FailureClass
from handlers.gateway.retries import FLOOR, WINDOW_S, RetryBudget

DOWN = FailureClass.SERVER_ERROR


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_healthy_alternative_serves_every_request() -> None:
    budget = RetryBudget(Clock())
    for _ in range(1_000):
        budget.requested()
        assert budget.allow("healthy", DOWN)  # none of them has ended yet


@pytest.mark.claim("A80")
def test_a80_in_a_total_outage_attempts_stay_within_a_fifth_more() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    requests, attempts = 5_000, 0
    for _ in range(requests):
        clock.now += 0.01
        budget.requested()
        attempts += 1
        if budget.allow("second", DOWN):
            attempts += 1
            budget.failed("second", DOWN)
    assert attempts <= 1.2 * requests


def test_a_quiet_gateway_may_fall_back_a_few_times_and_again_later() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    allowed = 0
    for _ in range(10):
        if budget.allow("p", DOWN):
            allowed += 1
            budget.failed("p", DOWN)
    assert allowed == FLOOR
    clock.now += WINDOW_S + 1
    assert budget.allow("p", DOWN)


def test_fallbacks_under_way_cannot_overdraw_the_budget_together() -> None:
    budget = RetryBudget(Clock())
    for _ in range(100):
        budget.requested()
    assert budget.allow("p", DOWN)
    budget.failed("p", DOWN)
    assert sum(budget.allow("p", DOWN) for _ in range(100)) == 9


def test_one_success_opens_the_way_again() -> None:
    budget = RetryBudget(Clock())
    while budget.allow("p", DOWN):
        budget.failed("p", DOWN)
    budget.succeeded("p", is_fallback=True)
    assert all(budget.allow("p", DOWN) for _ in range(100))


def test_a_client_that_leaves_says_nothing_about_the_provider() -> None:
    budget = RetryBudget(Clock())
    for _ in range(100):
        assert budget.allow("p", DOWN)
        budget.failed("p", FailureClass.CANCELLED)


def test_what_the_request_itself_made_fail_may_always_be_tried_elsewhere() -> None:
    budget = RetryBudget(Clock())
    while budget.allow("p", DOWN):
        budget.failed("p", DOWN)
    assert budget.allow("p", FailureClass.UNSUPPORTED)
    budget.failed("p", FailureClass.CONTEXT_LENGTH)
    assert not budget.allow("p", DOWN), "and says nothing about whether the provider is back"


def test_a_provider_that_serves_others_may_be_fallen_back_to_again() -> None:
    budget = RetryBudget(Clock())
    while budget.allow("p", DOWN):
        budget.failed("p", DOWN)
    budget.succeeded("p", is_fallback=False)
    assert budget.allow("p", DOWN)
