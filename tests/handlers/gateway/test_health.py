"""Breakers, cool-downs and quarantine: who may be concerned by whose failures, and for how long."""

from __future__ import annotations

import pytest

from handlers.errors import FAILURES, FailureClass
from handlers.gateway.health import ATTEMPTS_MIN, OPEN_S_MAX, QUARANTINE_S, Condition, Health

E = "author/model@provider"


def condition(health: Health, now: float, account: str = "", credential: str = "shared") -> Condition:
    return health.snapshot(now).condition(E, credential, account)


def fail(
    health: Health, count: int, now: float, *, accounts: int = 3, failure: FailureClass = FailureClass.SERVER_ERROR
) -> None:
    for number in range(count):
        health.failed(E, "shared", f"account-{number % accounts}", failure, 0.0, now)


def test_a_breaker_opens_and_closes_through_a_probe() -> None:
    health = Health(seed=1)
    fail(health, ATTEMPTS_MIN, now=100.0)
    assert condition(health, 100.1) is Condition.OPEN
    assert condition(health, 106.0) is Condition.PROBING
    health.begin(E, "shared")
    assert condition(health, 106.1) is Condition.OPEN, "one probe at a time"
    health.succeeded(E, "shared", "account-0", 106.5)
    assert condition(health, 107.0) is Condition.OK


def test_a_failed_probe_opens_it_for_longer() -> None:
    health = Health(seed=1)
    fail(health, ATTEMPTS_MIN, now=0.0)
    now, spans = 0.0, []
    for _ in range(8):
        opened = now
        while condition(health, now) is not Condition.PROBING:
            now += 0.6
        spans.append(now - opened)
        health.begin(E, "shared")
        health.failed(E, "shared", "account-1", FailureClass.TIMEOUT, 0.0, now)
    assert spans[3] > spans[0]
    assert max(spans) <= OPEN_S_MAX + 1.2


@pytest.mark.claim("A74")
def test_a74_one_account_cannot_open_the_breaker_for_others() -> None:
    health = Health(seed=1)
    fail(health, 10_000, now=5.0, accounts=2)
    assert condition(health, 5.1) is Condition.OK
    assert condition(health, 5.1, "account-0") is Condition.SHAKY
    assert condition(health, 5.1, "somebody else") is Condition.OK


@pytest.mark.claim("A74")
def test_a74_a_dead_byok_key_concerns_nobody_else() -> None:
    health = Health(seed=1)
    for _ in range(10_000):
        health.failed(E, "byok:1", "a", FailureClass.UNAUTHENTICATED_UPSTREAM, 0.0, 1.0)
    assert condition(health, 2.0, credential="byok:1") is Condition.QUARANTINED
    assert condition(health, 2.0) is Condition.OK


@pytest.mark.parametrize("failure", [f for f, rule in FAILURES.items() if not rule.counts_for_health])
def test_what_is_not_the_endpoints_fault_never_opens_it(failure: FailureClass) -> None:
    health = Health(seed=1)
    fail(health, 1_000, now=5.0, failure=failure)
    assert condition(health, 5.1) in {Condition.OK, Condition.COOLING, Condition.QUARANTINED}


@pytest.mark.claim("A83")
@pytest.mark.parametrize(("told_s", "waited_s"), [(7.0, 7.0), (1e9, 60.0), (-1.0, 2.0), (0.0, 2.0)])
def test_a83_cool_down_follows_retry_after_within_bounds(told_s: float, waited_s: float) -> None:
    health = Health(seed=1)
    health.failed(E, "shared", "a", FailureClass.RATE_LIMITED, told_s, 100.0)
    assert condition(health, 100.0 + waited_s - 0.6) is Condition.COOLING
    assert condition(health, 100.0 + waited_s + 0.6) is Condition.OK


def test_quarantine_ends_by_itself() -> None:
    health = Health(seed=1)
    health.failed(E, "shared", "a", FailureClass.UNAUTHENTICATED_UPSTREAM, 0.0, 0.0)
    assert condition(health, QUARANTINE_S - 1) is Condition.QUARANTINED
    assert condition(health, QUARANTINE_S + 1) is Condition.OK


def test_few_failures_among_many_successes_change_nothing() -> None:
    health = Health(seed=1)
    fail(health, 15, now=1.0)
    for number in range(40):
        health.succeeded(E, "shared", f"account-{number}", 1.0)
    fail(health, 10, now=2.0)
    assert condition(health, 2.1) is Condition.OK


def test_figures_are_medians_of_the_last_minutes() -> None:
    health = Health(seed=1)
    for first, rate in ((100, 10), (200, 30), (900, 20)):
        health.measured(E, first, rate)
    snapshot = health.snapshot(2.0)
    assert snapshot.latency_ms(E) == pytest.approx(200, rel=0.13)
    assert snapshot.throughput(E) == pytest.approx(20, rel=0.13)
    assert snapshot.latency_ms("another") == float("inf")


def test_a_recovering_endpoint_is_found_out_by_one_request_in_its_usual_place() -> None:
    health = Health(seed=1)
    fail(health, ATTEMPTS_MIN, now=100.0)
    assert condition(health, 100.1).rank > Condition.SHAKY.rank
    assert condition(health, 106.0).rank == Condition.OK.rank
    health.begin(E, "shared")
    assert condition(health, 106.1).rank > Condition.SHAKY.rank
