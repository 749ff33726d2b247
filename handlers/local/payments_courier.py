"""Brings a stand-in's notifications to the payments room as a payment company does, or, on request, badly.

Each try is signed anew, and a notification is tried again until it is answered 2xx.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Mapping
from enum import StrEnum

import httpx

DELAYS_S = (1, 2, 5, 10, 30, 60, 300)
"""Before the second, third, ... try; the companies' own go on for days."""
TIMEOUT_S = 5.0


class Fault(StrEnum):
    """What may go wrong on the way."""

    NONE = "none"
    LOST = "lost"
    """Never delivered."""
    REPLAY = "replay"
    """Delivered five times."""
    DELAY = "delay"
    """Delivered half a minute later."""
    REORDER = "reorder"
    """Later ones first."""
    WRONG_AMOUNT = "wrong-amount"
    """Says that less was paid; the stand-in itself plays this one."""


class Courier:
    """Delivers in the background.

    Args:
        url: where to; empty: nothing is delivered.
        sign: the headers for a body, made at the time of the try.
        fault: what to do wrong.
    """

    def __init__(self, url: str, sign: Callable[[bytes], Mapping[str, str]], fault: Fault = Fault.NONE) -> None:
        self._url = url
        self._sign = sign
        self._fault = fault
        self._queue: list[tuple[float, int, int, bytes]] = []
        self._numbers = itertools.count()
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="courier", daemon=True)
        self._thread.start()

    def send(self, body: bytes) -> None:
        """Take a notification."""
        if not self._url or self._fault is Fault.LOST:
            return
        number = next(self._numbers)
        delay_s = {Fault.DELAY: 30.0, Fault.REORDER: max(0.1, 2.0 - 0.5 * number)}.get(self._fault, 0.0)
        for _ in range(5 if self._fault is Fault.REPLAY else 1):
            self._put(time.monotonic() + delay_s, 0, body)

    def close(self) -> None:
        """Stop; what was not delivered is not delivered."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _put(self, at: float, tries: int, body: bytes) -> None:
        with self._wake:
            heapq.heappush(self._queue, (at, next(self._numbers), tries, body))
            self._wake.notify()

    def _take(self) -> tuple[int, bytes] | None:
        with self._wake:
            while not self._closed:
                wait_s = self._queue[0][0] - time.monotonic() if self._queue else None
                if wait_s is not None and wait_s <= 0:
                    _, _, tries, body = heapq.heappop(self._queue)
                    return tries, body
                self._wake.wait(wait_s)
            return None

    def _work(self) -> None:
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
            while (taken := self._take()) is not None:
                tries, body = taken
                if not self._deliver(client, body) and tries < len(DELAYS_S):
                    self._put(time.monotonic() + DELAYS_S[tries], tries + 1, body)

    def _deliver(self, client: httpx.Client, body: bytes) -> bool:
        headers = {"content-type": "application/json", **self._sign(body)}
        try:
            return client.post(self._url, content=body, headers=headers).is_success
        except httpx.HTTPError:
            return False
