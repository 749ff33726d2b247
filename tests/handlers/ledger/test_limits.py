from __future__ import annotations

import random
import timeit

import pytest

from handlers.errors import RateLimited
from handlers.keys.principal import SubjectLimits
from handlers.ledger.limits import Limiter, Standing

Windows = tuple[SubjectLimits, ...]


def windows(subject: str = "key-1", scope: str = "key", **limits: int | None) -> Windows:
    return (SubjectLimits(scope, subject, limits.get("rpm"), limits.get("tpm"), limits.get("concurrent")),)


def admitted(limiter: Limiter, key: Windows, now: float, body_bytes: int = 0) -> bool:
    try:
        limiter.admit(key, body_bytes, now)
    except RateLimited:
        return False
    return True


def test_a_key_without_limits_is_never_refused_and_never_remembered() -> None:
    limiter = Limiter()
    assert all(admitted(limiter, (), 0.0, 10**9) for _ in range(1_000))
    limiter.settle((), 5, 0.0)
    assert limiter._usage == {}


def test_sixty_a_minute_admits_exactly_sixty() -> None:
    limiter, key = Limiter(), windows(rpm=60)
    assert sum(admitted(limiter, key, 10.0) for _ in range(200)) == 60


def test_in_any_minute_at_most_the_limit_and_in_the_long_run_nearly_all_of_it() -> None:
    chance = random.Random(60)
    limiter, key = Limiter(), windows(rpm=30)
    now, times = 1_000.0, []
    while now < 1_000.0 + 1_800:
        now += chance.expovariate(2.0)
        if admitted(limiter, key, now):
            times.append(now)
            limiter.settle(key, 0, now)
    worst = max(sum(start <= other < start + 60 for other in times[i:]) for i, start in enumerate(times))
    assert worst == 30
    assert len(times) >= 30 * 29


def test_a_refusal_says_when_to_come_back_and_that_is_true() -> None:
    limiter, key = Limiter(), windows(rpm=2)
    limiter.admit(key, 0, 5.5)
    limiter.admit(key, 0, 20.9)
    with pytest.raises(RateLimited) as caught:
        limiter.admit(key, 0, 30.2)
    wait_s = caught.value.retry_after_s
    assert wait_s is not None
    assert caught.value.http_status == 429
    assert not admitted(limiter, key, 30.2 + wait_s - 2)
    assert admitted(limiter, key, 30.2 + wait_s)


def test_a_refused_request_does_not_count() -> None:
    limiter, key = Limiter(), windows(rpm=1)
    limiter.admit(key, 0, 0.0)
    assert not any(admitted(limiter, key, float(second)) for second in range(1, 60))
    assert admitted(limiter, key, 61.0)


def test_concurrent_requests_hold_their_place_until_they_are_settled() -> None:
    limiter, key = Limiter(), windows(concurrent=2)
    assert [admitted(limiter, key, 0.0) for _ in range(3)] == [True, True, False]
    limiter.settle(key, 0, 100.0)
    assert [admitted(limiter, key, 100.0) for _ in range(2)] == [True, False]


def test_tokens_are_reserved_by_bytes_and_counted_by_fact() -> None:
    limiter, key = Limiter(), windows(tpm=1_000)
    limiter.admit(key, 3_600, 0.0)
    assert not admitted(limiter, key, 0.0, 800)
    limiter.settle(key, 100, 1.0)
    assert admitted(limiter, key, 1.0, 3_200)
    limiter.settle(key, 5_000, 2.0)
    assert not admitted(limiter, key, 50.0)
    assert admitted(limiter, key, 63.0)


def test_reservations_end_with_their_requests() -> None:
    chance = random.Random(3)
    limiter, key = Limiter(), windows(tpm=10**9)
    active = 0
    for turn in range(2_000):
        if active and chance.random() < 0.5:
            limiter.settle(key, chance.randrange(50), float(turn))
            active -= 1
        else:
            limiter.admit(key, chance.randrange(10_000), float(turn))
            active += 1
    for _ in range(active):
        limiter.settle(key, 0, 2_000.0)
    assert (limiter._usage[key[0].subject].reserved, limiter._usage[key[0].subject].active) == (0, 0)


def test_a_settle_without_its_admission_is_harmless() -> None:
    limiter, key = Limiter(), windows(concurrent=1)
    limiter.settle(key, 10, 0.0)
    limiter.admit(key, 0, 0.0)
    limiter.settle(key, 10, 0.0)
    limiter.settle(key, 10, 0.0)
    assert [admitted(limiter, key, 0.0) for _ in range(2)] == [True, False]


def test_keys_do_not_share_limits() -> None:
    limiter = Limiter()
    assert admitted(limiter, windows("one", rpm=1), 0.0)
    assert admitted(limiter, windows("two", rpm=1), 0.0)


def test_a_request_counts_in_all_of_its_windows_or_in_none() -> None:
    limiter = Limiter()
    shared = windows("tenant:t", "tenant", rpm=5)
    first, second = windows("one", rpm=3) + shared, windows("two", rpm=4) + shared
    assert [admitted(limiter, first, 0.0) for _ in range(5)] == [True] * 3 + [False] * 2
    with pytest.raises(RateLimited) as refused:
        limiter.admit(first, 0, 0.0)
    assert refused.value.detail == {"limit": "requests_per_minute", "scope": "key"}
    assert [admitted(limiter, second, 0.0) for _ in range(4)] == [True] * 2 + [False] * 2
    with pytest.raises(RateLimited, match="This account may make 5 requests a minute") as refused:
        limiter.admit(second, 0, 0.0)
    assert refused.value.detail == {"limit": "requests_per_minute", "scope": "tenant"}
    assert limiter._usage["two"].requests.total == 2


def test_standing_tells_headers_what_is_left() -> None:
    limiter, key = Limiter(), windows(rpm=10, tpm=1_000)
    assert limiter.standing(key[0], 0.0) == Standing(10, 10, 1_000, 1_000, 0)
    limiter.admit(key, 400, 0.0)
    assert limiter.standing(key[0], 1.0) == Standing(10, 9, 1_000, 900, 60)
    limiter.settle(key, 300, 30.0)
    assert limiter.standing(key[0], 30.0) == Standing(10, 9, 1_000, 700, 61)
    assert limiter.standing(windows("free")[0], 30.0) == Standing()


def test_idle_keys_are_forgotten_when_there_are_many() -> None:
    limiter = Limiter(subjects_max=10)
    for number in range(100):
        key = windows(f"key-{number}", rpm=5)
        limiter.admit(key, 0, number * 100.0)
        limiter.settle(key, 1, number * 100.0)
    assert len(limiter._usage) <= 11


def test_it_costs_microseconds() -> None:
    limiter, key = Limiter(), windows(rpm=10**9, tpm=10**12)

    def once() -> None:
        limiter.admit(key, 400, 5.0)
        limiter.settle(key, 10, 5.0)

    assert min(timeit.repeat(once, number=1_000, repeat=10)) / 1_000 < 20e-6
