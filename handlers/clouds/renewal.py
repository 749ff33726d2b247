"""Keeping what was made from secrets true while they are rotated, in processes without an event loop of their own.

A function asks `Renewed.get` for each call. Once in a while that reads the secrets again, in the call that comes first, and makes the
value anew when one of them has changed. A store that cannot be reached, or a value that is malformed, leaves everything as it was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from handlers.clouds.secrets import KeptSecrets, SecretError

T = TypeVar("T")
_hurried = [0]


def hurry() -> None:
    """Read secrets again at the next call, in this process: somebody knows that they have changed."""
    _hurried[0] += 1


class Renewed(Generic[T]):
    """A value that follows its secrets.

    Args:
        secrets: what `make` reads.
        period_s: how long a change may go unnoticed.
        make: makes the value; called again with the value before when a secret has changed. What it raises at the first time is
            the caller's, later it is swallowed and the value before stays.
    """

    def __init__(self, secrets: KeptSecrets, period_s: float, make: Callable[[KeptSecrets, T | None], T]) -> None:
        self._secrets, self._period_s, self._make = secrets, period_s, make
        self._lock = threading.Lock()
        self._value = make(secrets, None)
        self._changes, self._hurry = secrets.changes, _hurried[0]
        self._due_at = time.monotonic() + period_s

    def get(self) -> T:
        """The value; it may be called by several threads, of which one looks after the secrets."""
        if (time.monotonic() >= self._due_at or self._hurry != _hurried[0]) and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        return self._value

    def _look(self) -> None:
        self._hurry = _hurried[0]
        self._due_at = time.monotonic() + self._period_s
        self._secrets.refresh()
        if self._secrets.changes == self._changes:
            return
        try:
            self._value = self._make(self._secrets, self._value)
        except (SecretError, ValueError):  # as it was, until the secrets make sense again
            return
        self._changes = self._secrets.changes
