"""Waiting for what a test depends on. How long is for a busy machine alone: nothing is asserted about it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

PATIENCE_S = 60.0
"""Also for the answers of processes under test: httpx's own five seconds are not always enough for three workers on two cores."""


def until(holds: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Return as soon as it holds; fail the test if it does not in the end."""
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {patience_s:.0f} s"
        time.sleep(0.05)


async def eventually(holds: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """The same on an event loop; TimeoutError if it does not hold in the end."""
    async with asyncio.timeout(patience_s):
        while not holds():  # noqa: ASYNC110 the condition belongs to the code under test, which sets no event
            await asyncio.sleep(0.002)
