"""The retry budget: an outage is not amplified, and a healthy alternative is never refused.

Falling back costs upstream attempts only when it fails too. So what is bounded, per provider, is failed fallbacks: at most a
tenth of the requests of the window, with a small floor for quiet times. While everything is down, requests fail at once
instead of trying every provider in vain; while the alternative answers, every request may use it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

WINDOW_S = 10.0
SHARE = 0.1
FLOOR = 3
_EVENTS_MAX = 100_000


class RetryBudget:
    """Counts requests, and failed fallbacks per provider, over the window."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._requests: deque[float] = deque(maxlen=_EVENTS_MAX)
        self._failures: dict[str, deque[float]] = {}

    def requested(self) -> None:
        """A request makes its first attempt."""
        self._requests.append(self._monotonic())

    def allow(self, provider: str) -> bool:
        """Whether a failed attempt may be followed by one at this provider."""
        failures = self._failures.get(provider)
        if not failures:
            return True
        now = self._monotonic()
        for series in (failures, self._requests):
            while series and now - series[0] > WINDOW_S:
                series.popleft()
        return len(failures) < max(FLOOR, SHARE * len(self._requests))

    def failed(self, provider: str) -> None:
        """A fallback to this provider failed as well."""
        self._failures.setdefault(provider, deque(maxlen=_EVENTS_MAX)).append(self._monotonic())
