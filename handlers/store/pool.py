"""A small pool of PostgreSQL connections behind a thread pool: pg8000 is synchronous, the callers are not.

Rules
    Destroy on doubt: a connection goes back only after success or a `DatabaseError`. A caller that is cancelled never
    interrupts an answer: the thread reads it to its end and puts the connection back itself.
    The queue is bounded, and a call that waited too long in it is not started: overload is `Unavailable`, at once.
    A network error drops every idle connection, because what broke one has probably broken all (a fail-over).
    After a failed connect the next attempt waits for a random time up to 50 ms, 100 ms ... 2 s; meanwhile calls fail at
    once, so that an outage of the database costs its callers no time.
    Errors cross this border as ours (`handlers.errors`), with neither text nor cause of the foreign ones.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pg8000.exceptions import DatabaseError

from handlers.store.dsn import Dsn
from handlers.store.refusals import RETRY_STATES, database_unavailable, explain
from handlers.store.session import Session, constraint_of, sqlstate_of
from handlers.store.statements import STATEMENTS, Statement

AGE_S_MAX = 600.0
QUEUE_S_MAX = 2.0
BACKOFF_S_FIRST = 0.05
BACKOFF_S_MAX = 2.0
TRIES_MAX = 4
"""Of a statement that met a deadlock; each try is a transaction that did nothing."""

Row = tuple[Any, ...]


class Pool:
    """Runs named statements (`statements.STATEMENTS`) as one role.

    `call` is for coroutines, `run` for threads. Both raise `Unavailable` for every outage and overload, the errors of
    `refusals.REFUSALS` for values that the database refuses, `StatementRefused` for faults of ours.
    """

    def __init__(self, dsn: Dsn, *, connections_max: int = 8, queue_max: int = 64) -> None:
        self._dsn = dsn
        self._threads = ThreadPoolExecutor(connections_max, thread_name_prefix="store")
        self._places = threading.BoundedSemaphore(connections_max + queue_max)
        self._lock = threading.Lock()
        self._idle: list[Session] = []
        self._epoch = 0
        self._failed_connects = 0
        self._connect_after = 0.0
        self.faults: Counter[str] = Counter()
        """How often what went wrong: SQLSTATE, or `network`, `connect`, `overload`."""

    async def call(self, name: str, /, **parameters: object) -> list[Row]:
        """Run a statement without holding up the event loop."""
        return await asyncio.wrap_future(self._submit(STATEMENTS[name], parameters))

    def run(self, name: str, /, **parameters: object) -> list[Row]:
        """Run a statement and wait for it."""
        return self._submit(STATEMENTS[name], parameters).result()

    def renew(self, dsn: Dsn) -> None:
        """Open connections with these settings from now on (another password); those that are open serve to their end."""
        self._dsn = dsn

    def close(self) -> None:
        """Wait for the statements under way, then close every connection."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for session in self._forget_idle():
            session.close()

    def _submit(self, statement: Statement, parameters: Mapping[str, object]) -> Future[list[Row]]:
        if not self._places.acquire(blocking=False):
            self.faults["overload"] += 1
            raise database_unavailable()
        try:
            future = self._threads.submit(self._serve, statement, parameters, time.monotonic() + QUEUE_S_MAX)
        except RuntimeError:  # closed
            self._places.release()
            raise database_unavailable() from None
        future.add_done_callback(lambda _: self._places.release())
        return future

    def _serve(self, statement: Statement, parameters: Mapping[str, object], start_before: float) -> list[Row]:
        if time.monotonic() > start_before:
            self.faults["overload"] += 1
            raise database_unavailable()
        for remaining in reversed(range(TRIES_MAX)):
            try:
                return self._execute(statement, parameters)
            except DatabaseError as error:
                state = sqlstate_of(error)
                self.faults[state] += 1
                if state not in RETRY_STATES or not remaining:
                    raise explain(state, constraint_of(error)) from None
                time.sleep(random.uniform(0.001, 0.02))  # noqa: S311  spreads retries, guards nothing
        raise database_unavailable()

    def _execute(self, statement: Statement, parameters: Mapping[str, object]) -> list[Row]:
        session, epoch = self._borrow()
        try:
            rows = session.execute(statement, parameters)
        except DatabaseError:
            self._give_back(session, epoch)
            raise
        except Exception:  # noqa: BLE001  whatever it is, this connection's next answer could be the wrong one
            session.discard()
            self._distrust_all()
            self.faults["network"] += 1
            raise database_unavailable() from None
        except BaseException:
            session.discard()
            raise
        self._give_back(session, epoch)
        return [tuple(row) for row in rows]

    def _borrow(self) -> tuple[Session, int]:
        while True:
            with self._lock:
                epoch = self._epoch
                session = self._idle.pop() if self._idle else None
            if session is None:
                return self._open(), epoch
            if time.monotonic() - session.born_at > AGE_S_MAX:
                session.close()
            elif session.is_quiet():
                return session, epoch
            else:
                session.discard()

    def _open(self) -> Session:
        if time.monotonic() < self._connect_after:
            self.faults["connect"] += 1
            raise database_unavailable()
        try:
            session = Session(self._dsn)
        except Exception:  # noqa: BLE001  refused, timed out, wrong certificate, wrong password, starting up, a replica
            self._back_off()
            raise database_unavailable() from None
        self._failed_connects = 0
        return session

    def _back_off(self) -> None:
        with self._lock:
            self.faults["connect"] += 1
            ceiling = min(BACKOFF_S_MAX, BACKOFF_S_FIRST * 2 ** min(self._failed_connects, 10))
            self._failed_connects += 1
            self._connect_after = time.monotonic() + random.uniform(0, ceiling)  # noqa: S311  as above

    def _give_back(self, session: Session, epoch: int) -> None:
        with self._lock:
            if epoch == self._epoch:
                self._idle.append(session)
                return
        session.discard()

    def _distrust_all(self) -> None:
        for session in self._forget_idle():
            session.discard()

    def _forget_idle(self) -> list[Session]:
        with self._lock:
            self._epoch += 1
            idle, self._idle = self._idle, []
        return idle
