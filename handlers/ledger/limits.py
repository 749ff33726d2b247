"""Requests and tokens per minute, and concurrent requests, per subject: a key, a user or a tenant.

Rules
    In any 60 seconds a subject gets at most its limit, exactly: no second helping at the turn of a minute.
    A limit counts requests that were admitted; a refusal costs nothing and says when to come back.

Theory of operation
    Each subject has a window of one-second slots. A slot counts until it lies 60 whole seconds back, so the window is never
    shorter than a minute and at most a second longer. Tokens are known only when a request is over: until then an
    estimate from its bytes is reserved, so that a burst cannot pass the limit all at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import msgspec

from handlers.errors import RateLimited

WINDOW_S = 60
BYTES_PER_TOKEN = 4
SUBJECTS_MAX = 50_000


class Limits(Protocol):
    """The part of a subject's limits that this file knows; see handlers.keys.principal.SubjectLimits. None: no limit."""

    @property
    def scope(self) -> str:
        """What is limited: key | user | tenant."""
        ...

    @property
    def subject(self) -> str:
        """Whose windows these are."""
        ...

    @property
    def requests_per_minute(self) -> int | None:
        """How many may begin in any minute."""
        ...

    @property
    def tokens_per_minute(self) -> int | None:
        """How many may be used in any minute."""
        ...

    @property
    def concurrent_requests(self) -> int | None:
        """How many may be open at once."""
        ...


class Standing(msgspec.Struct, frozen=True):
    """What is left of limits, for headers; None where there is no limit."""

    requests_limit: int | None = None
    requests_remaining: int | None = None
    tokens_limit: int | None = None
    tokens_remaining: int | None = None
    reset_s: int = 0
    """Seconds until everything counted now has left the window."""


class _Window:
    """A sum over the last minute in slots of one second."""

    __slots__ = ("_slots", "total")

    def __init__(self) -> None:
        self._slots: deque[list[int]] = deque()
        self.total = 0

    def forget(self, now: float) -> None:
        oldest = int(now) - WINDOW_S
        while self._slots and self._slots[0][0] < oldest:
            self.total -= self._slots.popleft()[1]

    def add(self, amount: int, now: float) -> None:
        second = int(now)
        if self._slots and self._slots[-1][0] >= second:
            self._slots[-1][1] += amount
        else:
            self._slots.append([second, amount])
        self.total += amount

    def take_back(self) -> None:
        """One less, of the newest."""
        for slot in reversed(self._slots):
            if slot[1]:
                slot[1] -= 1
                self.total -= 1
                return

    def wait_s(self, excess: int, now: float) -> int:
        """Whole seconds until at least `excess` has left the window."""
        for second, amount in self._slots:
            excess -= amount
            if excess <= 0:
                return max(1, second + WINDOW_S + 1 - int(now))
        return WINDOW_S + 1

    def reset_s(self, now: float) -> int:
        return max(0, self._slots[-1][0] + WINDOW_S + 1 - int(now)) if self._slots else 0


class _Usage:
    __slots__ = ("active", "requests", "reserved", "tokens")

    def __init__(self) -> None:
        self.requests = _Window()
        self.tokens = _Window()
        self.active = 0
        self.reserved = 0


class Limiter:
    """The limits of all subjects in this process. Times are seconds of one monotonic clock."""

    def __init__(self, subjects_max: int = SUBJECTS_MAX) -> None:
        self._subjects_max = subjects_max
        self._usage: dict[str, _Usage] = {}

    def admit(self, windows: Sequence[Limits], body_bytes: int, now: float) -> None:
        """Count one request into all windows, or raise RateLimited with the time to wait. Every admission needs one `settle`."""
        estimate = body_bytes // BYTES_PER_TOKEN
        usages = [self._of(limits.subject, now) for limits in windows]
        for limits, usage in zip(windows, usages, strict=True):
            _check(limits, usage, estimate, now)
        for usage in usages:
            usage.requests.add(1, now)
            usage.active += 1
            usage.reserved += estimate

    def settle(self, windows: Sequence[Limits], tokens: int, now: float) -> None:
        """An admitted request is over: free its place, count what it used."""
        for limits in windows:
            usage = self._usage.get(limits.subject)
            if usage is None:
                continue
            if usage.active:
                # Each request gives back its share; when none is active, nothing is reserved.
                usage.reserved -= usage.reserved // usage.active
                usage.active -= 1
            usage.tokens.add(max(tokens, 0), now)

    def withdraw(self, windows: Sequence[Limits], now: float) -> None:
        """An admitted request was refused elsewhere: it does not count."""
        self.settle(windows, 0, now)
        for limits in windows:
            usage = self._usage.get(limits.subject)
            if usage is not None:
                usage.requests.take_back()

    def active(self, subject: str) -> int:
        """How many requests of a subject are open."""
        usage = self._usage.get(subject)
        return usage.active if usage is not None else 0

    def standing(self, limits: Limits, now: float) -> Standing:
        """What is left of one subject's limits, without counting anything."""
        usage = self._usage.get(limits.subject) or _Usage()
        usage.requests.forget(now)
        usage.tokens.forget(now)
        rpm, tpm = limits.requests_per_minute, limits.tokens_per_minute
        return Standing(
            requests_limit=rpm,
            requests_remaining=None if rpm is None else max(0, rpm - usage.requests.total),
            tokens_limit=tpm,
            tokens_remaining=None if tpm is None else max(0, tpm - usage.tokens.total - usage.reserved),
            reset_s=max(usage.requests.reset_s(now), usage.tokens.reset_s(now)),
        )

    def _of(self, subject: str, now: float) -> _Usage:
        usage = self._usage.get(subject)
        if usage is None:
            if len(self._usage) >= self._subjects_max:
                self._sweep(now)
            usage = self._usage[subject] = _Usage()
        usage.requests.forget(now)
        usage.tokens.forget(now)
        return usage

    def _sweep(self, now: float) -> None:
        """Drop subjects whose window is empty: forgetting them changes nothing."""
        for subject, usage in list(self._usage.items()):
            usage.requests.forget(now)
            usage.tokens.forget(now)
            if not (usage.active or usage.requests.total or usage.tokens.total):
                del self._usage[subject]


_WHO = {"key": "This key", "user": "This user", "tenant": "This account"}
_SAYS = {
    "places": ("concurrent_requests", "may have {} requests open at once; wait for one to end"),
    "requests": ("requests_per_minute", "may make {} requests a minute; wait, or ask an administrator for more"),
    "tokens": ("tokens_per_minute", "may use {} tokens a minute; wait, or send a shorter request"),
}


def refusal(limits: Limits, kind: str, wait_s: int) -> RateLimited:
    """Which limit is reached (kind: places | requests | tokens), whose it is, and when to come back."""
    name, says = _SAYS[kind]
    return RateLimited(
        f"{_WHO[limits.scope]} {says.format(getattr(limits, name))}.",
        retry_after_s=wait_s,
        detail={"limit": name, "scope": limits.scope},
    )


def _check(limits: Limits, usage: _Usage, estimate: int, now: float) -> None:
    rpm, tpm, concurrent = limits.requests_per_minute, limits.tokens_per_minute, limits.concurrent_requests
    if concurrent is not None and usage.active >= concurrent:
        raise refusal(limits, "places", 1)
    if rpm is not None and usage.requests.total >= rpm:
        raise refusal(limits, "requests", usage.requests.wait_s(usage.requests.total - rpm + 1, now))
    if tpm is None:
        return
    excess = usage.tokens.total + usage.reserved + max(estimate, 1) - tpm
    if excess > 0:
        raise refusal(limits, "tokens", usage.tokens.wait_s(excess, now))
