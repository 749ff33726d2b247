"""Record: usage lines go to the spool before the client hears "finished", and to PostgreSQL as soon as it takes them.

Nothing here is awaited by a request. One settler per process reads the spool from its oldest line, hands batches to the
idempotent `usage_settle`, and commits what the database answered for. A database outage only makes the spool longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from handlers.errors import TheRouterError
from handlers.gateway.spool import SYNC_GROUP_S, Spool
from handlers.gateway.usage_line import UsageLine, encode_usage_line, lease_of
from handlers.telemetry.logs import (
    Dependency,
    DependencyBack,
    DependencyLost,
    Level,
    Log,
    RecordRejected,
    SpoolReplayed,
    identifier,
)

BATCH_LINES = 1_000
SETTLE_DELAY_S = 0.2
"""How long lines gather before they are settled together. Each batch costs a dozen hand-overs between threads, whatever
its size; a process that dies meanwhile loses nothing, since the lines are in its spool."""
BUSY_LINES, BUSY_DELAY_S = 10, 1.0
"""After a batch of so many lines the next ones gather longer: on a busy process each hand-over delays somebody's request."""
RETRY_S_MIN, RETRY_S_MAX = 0.1, 5.0

Settle = Callable[[list[bytes]], Awaitable[list[tuple[str, str]]]]
"""Takes JSON lines; returns (request id, outcome) at least for those that are rejected:<reason>."""


class Recorder:
    """Owns the spool of this process and its settler."""

    def __init__(self, spool: Spool, settle: Settle, log: Log, *, settled: Callable[[str], None] | None = None) -> None:
        self._spool = spool
        self._settle = settle
        self._log = log
        self._settled = settled
        self._wake = asyncio.Event()
        self._unwritten: list[bytes] = []
        self._syncing: asyncio.TimerHandle | None = None
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="spool-sync")
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._asleep = False
        """The settler waits for a line."""
        self.lost_database = False

    @property
    def can_write(self) -> bool:
        """False while the disk refuses lines: admit nothing new, so that nothing goes unrecorded."""
        return not self._unwritten

    def start(self) -> None:
        """Begin to settle, oldest segments first."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def record(self, line: UsageLine) -> None:
        """Put one line on disk; returns when the operating system has it."""
        payload = encode_usage_line(line)
        if self._unwritten:
            self._unwritten.append(payload)
            return
        try:
            self._spool.append(payload)
        except OSError as error:
            self._unwritten.append(payload)
            self._tell_disk(error)
        if self._syncing is None:
            self._syncing = asyncio.get_running_loop().call_later(SYNC_GROUP_S, self._sync)
        if self._asleep:
            self._wake.set()

    def _sync(self) -> None:
        self._syncing = None
        asyncio.get_running_loop().run_in_executor(self._threads, self._sync_in_thread)

    def _sync_in_thread(self) -> None:
        try:
            self._spool.sync()
        except OSError as error:
            self._tell_disk(error)

    def _tell_disk(self, error: OSError) -> None:
        code = identifier(str(error.errno))
        self._log.emit(DependencyLost(level=Level.ERROR, dependency=Dependency.SPOOL, code=code))

    async def stop(self, patience_s: float) -> None:
        """Settle what can be settled within the patience, then close; the rest waits for the next start."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=patience_s)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._syncing is not None:
            self._syncing.cancel()
        self._threads.shutdown(wait=True)
        self._spool.close()

    async def _run(self) -> None:
        replaying, replayed, torn = self._spool.adopted > 0, 0, 0
        retry_s = RETRY_S_MIN
        while True:
            self._write_again()
            batch = self._spool.batch(BATCH_LINES)
            if batch is None:
                if replaying:
                    self._log.emit(SpoolReplayed(lines=replayed, torn_bytes=torn))
                    replaying = False
                if self._stopping:
                    return
                self._wake.clear()
                self._asleep = True
                await self._wake.wait()
                self._asleep = False
                await self._gather(SETTLE_DELAY_S)
                continue
            segment, payloads, offset, damaged = batch
            torn += damaged
            try:
                outcomes = await self._settle(payloads) if payloads else []
            except TheRouterError:
                self._tell_database(lost=True)
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, RETRY_S_MAX)
                continue
            self._tell_database(lost=False)
            retry_s = RETRY_S_MIN
            replayed += len(payloads)
            self._look_at(outcomes)
            self._spool.commit(segment, offset)
            if self._settled is not None:
                for payload in payloads:
                    self._settled(lease_of(payload))
            if len(payloads) < BATCH_LINES and not replaying:
                await self._gather(BUSY_DELAY_S if len(payloads) >= BUSY_LINES else SETTLE_DELAY_S)

    async def _gather(self, delay_s: float) -> None:
        """Let lines come together; a process that stops does not wait for more."""
        if not self._stopping:
            await asyncio.sleep(delay_s)

    def _write_again(self) -> None:
        while self._unwritten:
            try:
                self._spool.append(self._unwritten[0])
            except OSError:
                asyncio.get_running_loop().call_later(RETRY_S_MAX, self._wake.set)
                return
            self._unwritten.pop(0)

    def _look_at(self, outcomes: list[tuple[str, str]]) -> None:
        for request_id, outcome in outcomes:
            if outcome.startswith("rejected"):
                reason = identifier(outcome.partition(":")[2] or "unknown")
                self._log.emit(RecordRejected(level=Level.ERROR, request_id=identifier(request_id), reason=reason))

    def _tell_database(self, *, lost: bool) -> None:
        if lost != self.lost_database:
            self.lost_database = lost
            kind = DependencyLost(level=Level.ERROR, dependency=Dependency.DATABASE)
            self._log.emit(kind if lost else DependencyBack(dependency=Dependency.DATABASE))
