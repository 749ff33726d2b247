"""When this process cannot keep up, it refuses new work in a stated order and finishes what has started.

Theory of operation
    A tick measures by how much it came late: the time that everything else on the loop waited. Lateness beyond STRAINED_MS
    on every tick for STEP_S raises the level by one, calm for as long lowers it by one; a pause of one tick means nothing.
    Memory beyond MEMORY_SHARE of what the process may have, and files beyond FILES_SHARE, count as strain too.

        0 CALM       everything is admitted
        1 STRANGERS  keys that are not known yet are refused: proving them costs a thread and the database
        2 FREE       requests that cost nothing are refused, too
        3 ALL        every new request is refused

    A refusal is a 503 with a Retry-After by chance, so that clients do not come back together.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
from enum import IntEnum
from pathlib import Path

from handlers.errors import Unavailable

TICK_S = 0.25
STEP_S = 2.0
STRAINED_MS = 100.0
CALM_MS = 50.0
MEMORY_SHARE = 0.75
FILES_SHARE = 0.80
RETRY_S = (1, 5)
_CONTROL_GROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_RESIDENT = Path("/proc/self/statm")
_FILES = Path("/proc/self/fd")
_RESOURCES_EVERY_TICKS = 8


class Level(IntEnum):
    """What is refused: this, and everything below it."""

    CALM = 0
    STRANGERS = 1
    FREE = 2
    ALL = 3


class Overload:
    """The level of one process. All methods belong to the event loop's thread."""

    def __init__(self) -> None:
        self.level = Level.CALM
        self.lag_ms = 0.0
        """Of the last tick."""
        self._since = 0.0
        """When the present run of strained, or of calm, ticks began."""
        self._was_strained = False
        self._ticks = 0
        self._is_scarce = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to tick."""
        self._since = loop.time()
        self._timer = loop.call_later(TICK_S, self._tick, loop, loop.time() + TICK_S)

    def stop(self) -> None:
        """Tick no longer."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self._ticks += 1
        if self._ticks % _RESOURCES_EVERY_TICKS == 0:
            self._is_scarce = is_scarce()
        self.observe((now - due) * 1000, now, scarce=self._is_scarce)
        self._timer = loop.call_later(TICK_S, self._tick, loop, now + TICK_S)

    def observe(self, lag_ms: float, now: float, *, scarce: bool = False) -> None:
        """One tick came so late; step up or down when it has been so for long enough."""
        self.lag_ms = lag_ms
        strained = scarce or lag_ms > STRAINED_MS
        if strained != self._was_strained or (not strained and lag_ms > CALM_MS):
            self._was_strained, self._since = strained, now
        elif now - self._since >= STEP_S:
            self._since = now
            self.level = Level(min(self.level + 1, Level.ALL) if strained else max(self.level - 1, Level.CALM))

    def refuse_from(self, level: Level) -> None:
        """Raise Unavailable if work of this level is refused now."""
        if self.level >= level:
            raise Unavailable(
                "TheRouter is overloaded at the moment; retry with back-off.",
                code="overloaded",
                retry_after_s=random.randint(*RETRY_S),  # noqa: S311 - jitter
            )


def is_scarce() -> bool:
    """Memory or files are nearly used up. What this machine does not tell is taken to be plenty."""
    files_max = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        if files_max != resource.RLIM_INFINITY and sum(1 for _ in _FILES.iterdir()) > FILES_SHARE * files_max:
            return True
        limit = _CONTROL_GROUP_LIMIT.read_text("ascii").strip()
        resident = int(_RESIDENT.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return limit.isdecimal() and resident > MEMORY_SHARE * int(limit)
    except (OSError, ValueError, IndexError):
        return False
