"""What is known of each endpoint, per credential: breakers, cool-downs, quarantine; live figures are in figures.py.

Rules (security.md 4.3)
    A breaker opens at >= 20 attempts in 30 s of which >= 50 % failed, from >= 3 accounts, so one tenant cannot poison an
    endpoint for others (A74); a BYOK credential has its own. It stays open 5 s x 2^n, at most 120 s, with full jitter; then
    one live request probes it. A 429 cools the credential down for its Retry-After (clamped to 60 s) and is no failure. A
    credential that the provider refused is quarantined until a success or 10 minutes pass. A client's bad input never counts.
    Time and randomness are arguments.
"""

from __future__ import annotations

import random
from collections import deque
from enum import Enum

from handlers.errors import FAILURES, FailureClass
from handlers.gateway.figure_shapes import EndpointFigures
from handlers.gateway.figures import LiveFigures

WINDOW_S = 30.0
ATTEMPTS_MIN = 20
FAILURE_RATIO = 0.5
ACCOUNTS_MIN = 3
OPEN_S, OPEN_S_MAX = 5.0, 120.0
COOL_DOWN_S, COOL_DOWN_S_MAX = 2.0, 60.0
QUARANTINE_S = 600.0
SHAKY_S = 30.0


class Condition(Enum):
    """How fit an endpoint is; `rank` orders attempts."""

    OK = 0
    SHAKY = 1
    """It failed this account's own last attempt: others are tried first by this account, nobody else is concerned."""
    PROBING = 2
    """It was broken and may have recovered: the next request that would choose it if it were well finds out."""
    COOLING = 3
    OPEN = 4
    QUARANTINED = 5

    @property
    def rank(self) -> int:
        """Lower is tried first."""
        return 0 if self is Condition.PROBING else self.value


class _Record:
    """The recent history of one (endpoint, credential)."""

    __slots__ = ("attempts", "cooling_until", "last_failed", "open_until", "opened", "probing", "quarantined_until")

    def __init__(self) -> None:
        self.attempts: deque[tuple[float, str, bool]] = deque(maxlen=2_048)
        self.last_failed: dict[str, float] = {}
        self.open_until = 0.0
        self.opened = 0
        self.probing = False
        self.cooling_until = 0.0
        self.quarantined_until = 0.0

    def condition(self, now: float) -> Condition:
        if now < self.quarantined_until:
            return Condition.QUARANTINED
        if now < self.open_until:
            return Condition.OPEN
        if now < self.cooling_until:
            return Condition.COOLING
        if self.opened:
            return Condition.OPEN if self.probing else Condition.PROBING
        return Condition.OK


class HealthSnapshot:
    """The condition of every endpoint at one moment; a value for the planner."""

    __slots__ = ("_conditions", "_figures", "_shaky")

    def __init__(
        self,
        conditions: dict[tuple[str, str], Condition],
        figures: dict[str, EndpointFigures] | None = None,
        shaky: frozenset[tuple[str, str, str]] = frozenset(),
    ) -> None:
        self._conditions = conditions
        self._figures = figures or {}
        self._shaky = shaky

    def condition(self, endpoint: str, credential: str, account: str = "") -> Condition:
        """OK unless something is known."""
        condition = self._conditions.get((endpoint, credential), Condition.OK)
        if condition is Condition.OK and (endpoint, credential, account) in self._shaky:
            return Condition.SHAKY
        return condition

    def figures(self, endpoint: str) -> EndpointFigures | None:
        """What all replicas have measured; None when nothing is known."""
        return self._figures.get(endpoint)

    def throughput(self, endpoint: str) -> float:
        """Median output tokens per second over the last five minutes; 0 when unknown."""
        figures = self._figures.get(endpoint)
        return figures.throughput[0] if figures else 0.0

    def latency_ms(self, endpoint: str) -> float:
        """Median milliseconds to the first event over the last five minutes; infinite when unknown."""
        figures = self._figures.get(endpoint)
        return (figures.latency_ms[0] if figures else 0.0) or float("inf")

    @property
    def broken(self) -> int:
        """How many (endpoint, credential) are open or quarantined."""
        return sum(condition.rank >= Condition.OPEN.rank for condition in self._conditions.values())


EVERYTHING_OK = HealthSnapshot({})


class Health:
    """Collects outcomes of attempts and makes snapshots of what they mean."""

    def __init__(self, seed: int) -> None:
        self._records: dict[tuple[str, str], _Record] = {}
        self.figures = LiveFigures()
        self._random = random.Random(seed)  # noqa: S311 - jitter
        self._snapshot = EVERYTHING_OK
        self._stale = False
        self._taken_at = 0.0

    def snapshot(self, now: float) -> HealthSnapshot:
        """The current conditions; the same object until something changes or half a second passes."""
        if self._stale or now - self._taken_at > 0.5:
            conditions: dict[tuple[str, str], Condition] = {}
            shaky: set[tuple[str, str, str]] = set()
            for key, record in self._records.items():
                condition = record.condition(now)
                if condition is not Condition.OK:
                    conditions[key] = condition
                record.last_failed = {a: at for a, at in record.last_failed.items() if now - at <= SHAKY_S}
                shaky.update((*key, account) for account in record.last_failed)
            self._snapshot = HealthSnapshot(conditions, self.figures.snapshot(now), frozenset(shaky))
            self._stale, self._taken_at = False, now
        return self._snapshot

    def begin(self, endpoint: str, credential: str) -> None:
        """An attempt starts: if the breaker is half open, this is its probe."""
        record = self._records.get((endpoint, credential))
        if record is not None and record.opened:
            record.probing = True
            self._stale = True

    def succeeded(self, endpoint: str, credential: str, account: str, now: float) -> None:
        """An attempt was completed."""
        self.figures.succeeded(endpoint)
        record = self._records.get((endpoint, credential))
        if record is None:
            return
        record.attempts.append((now, account, True))
        if record.last_failed.pop(account, None) is not None:
            self._stale = True
        if record.opened or record.quarantined_until:
            record.opened, record.probing = 0, False
            record.open_until = record.quarantined_until = 0.0
            record.attempts.clear()
            self._stale = True

    def failed(
        self, endpoint: str, credential: str, account: str, failure: FailureClass, retry_after_s: float, now: float
    ) -> None:
        """An attempt failed for a reason that may say something about the endpoint."""
        record = self._records.setdefault((endpoint, credential), _Record())
        was_probe, record.probing = record.probing, False
        if failure is FailureClass.RATE_LIMITED:
            record.cooling_until = now + min(max(retry_after_s, 0.0) or COOL_DOWN_S, COOL_DOWN_S_MAX)
        elif failure in {FailureClass.UNAUTHENTICATED_UPSTREAM, FailureClass.QUOTA}:
            record.quarantined_until = now + QUARANTINE_S
        elif FAILURES[failure].counts_for_health:
            self.figures.failed(endpoint)
            record.attempts.append((now, account, False))
            record.last_failed[account] = now
            if was_probe or self._is_broken(record, now):
                record.opened += 1
                span = min(OPEN_S * 2 ** (record.opened - 1), OPEN_S_MAX)
                record.open_until = now + span * (0.5 + self._random.random() / 2)
        else:
            return
        self._stale = True

    def measured(self, endpoint: str, first_event_ms: float, tokens_per_s: float) -> None:
        """The figures of one completed request."""
        self.figures.measured(endpoint, first_event_ms, tokens_per_s)

    def _is_broken(self, record: _Record, now: float) -> bool:
        recent = [(account, good) for at, account, good in record.attempts if now - at <= WINDOW_S]
        failed = [account for account, good in recent if not good]
        return (
            len(recent) >= ATTEMPTS_MIN
            and len(failed) >= FAILURE_RATIO * len(recent)
            and len(set(failed)) >= ACCOUNTS_MIN
        )
