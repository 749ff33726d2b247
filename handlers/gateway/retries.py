"""The retry budget: an outage is not amplified, and a healthy alternative is never refused.

Falling back costs upstream attempts only when it fails too. So what is bounded, per endpoint, is failed fallbacks: at most a
tenth of the requests of the window, with a small floor for quiet times. Once a fallback to an endpoint has failed, those
that are still under way count as failed until one succeeds, so that many at once cannot overdraw the budget. While
everything is down, requests fail at once instead of trying every provider in vain; while the alternative answers, every
request may use it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from handlers.errors import FailureClass

WINDOW_S = 10.0
SHARE = 0.1
FLOOR = 3
_EVENTS_MAX = 100_000
ABOUT_THE_REQUEST = frozenset(
    {
        FailureClass.INVALID_REQUEST,
        FailureClass.CONTEXT_LENGTH,
        FailureClass.CONTENT_POLICY,
        FailureClass.UNSUPPORTED,
        FailureClass.CANCELLED,
    }
)
"""Failures that say nothing about the provider."""


class _Fallbacks:
    """To one endpoint."""

    __slots__ = ("failed_at", "is_failing", "under_way")

    def __init__(self) -> None:
        self.failed_at: deque[float] = deque(maxlen=_EVENTS_MAX)
        self.under_way = 0
        self.is_failing = False
        """The last one that ended has failed."""


class RetryBudget:
    """Counts requests, and failed fallbacks per endpoint, over the window."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._requests: deque[float] = deque(maxlen=_EVENTS_MAX)
        self._fallbacks: dict[str, _Fallbacks] = {}

    def requested(self) -> None:
        """A request makes its first attempt."""
        self._requests.append(self._monotonic())

    def allow(self, endpoint: str, after: FailureClass) -> bool:
        """Whether a failed attempt may be followed by one at this endpoint.

        If so, it is under way until it has succeeded or failed. What failed because of the request itself amplifies no outage, and may always be tried elsewhere.
        """
        to_it = self._fallbacks.setdefault(endpoint, _Fallbacks())
        if to_it.is_failing and after not in ABOUT_THE_REQUEST:
            now = self._monotonic()
            for series in (to_it.failed_at, self._requests):
                while series and now - series[0] > WINDOW_S:
                    series.popleft()
            if len(to_it.failed_at) + to_it.under_way >= max(FLOOR, SHARE * len(self._requests)):
                return False
        to_it.under_way += 1
        return True

    def succeeded(self, endpoint: str, *, is_fallback: bool) -> None:
        """The endpoint has served a request: it may be fallen back to again."""
        to_it = self._fallbacks.get(endpoint)
        if to_it is not None:
            to_it.is_failing = False
            to_it.under_way -= is_fallback

    def failed(self, endpoint: str, failure: FailureClass) -> None:
        """A fallback to this endpoint has failed."""
        to_it = self._fallbacks[endpoint]
        to_it.under_way -= 1
        if failure not in ABOUT_THE_REQUEST:
            to_it.is_failing = True
            to_it.failed_at.append(self._monotonic())
