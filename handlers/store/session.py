"""One pooled connection and what it has prepared.

Rule: a session is used again only after success or a `DatabaseError`. After anything else its next answer could be
somebody else's, so whoever sees another exception calls `discard` and never touches it again.
"""

from __future__ import annotations

import select
import time
from collections.abc import Mapping
from typing import Any

from pg8000.exceptions import DatabaseError

from handlers.store.connection import discard, open_connection
from handlers.store.dsn import Dsn
from handlers.store.refusals import PREPARE_AGAIN_STATES
from handlers.store.statements import TIMEOUT_MS, Statement

ANSWER_MARGIN_S = 3.0
"""The server's own limit strikes first; this long after it we stop listening."""
IDLE = b"I"
ALLOW = Statement("allow", "select set_config('statement_timeout', :ms, false)", TIMEOUT_MS)


class InDoubt(Exception):
    """The connection cannot be trusted any more."""


class Session:
    """An open connection, ready for statements. Raises whatever pg8000 and the socket raise."""

    def __init__(self, dsn: Dsn) -> None:
        self.born_at = time.monotonic()
        self._timeout_ms = TIMEOUT_MS
        self._prepared: dict[str, Any] = {}
        self._connection = open_connection(
            dsn, timeout_s=TIMEOUT_MS / 1000 + ANSWER_MARGIN_S, statement_timeout_ms=TIMEOUT_MS
        )
        try:
            in_recovery = self._connection.run("select pg_is_in_recovery()")
        except BaseException:
            self.discard()
            raise
        if in_recovery != [[False]]:
            self.discard()
            raise InDoubt("the server is a replica")

    def execute(self, statement: Statement, parameters: Mapping[str, object]) -> list[list[Any]]:
        """Run one statement in its own transaction; one round trip once it is prepared."""
        if statement.timeout_ms != self._timeout_ms:
            self._allow(statement.timeout_ms)
        try:
            rows = self._run(statement, parameters)
        except DatabaseError as error:
            if sqlstate_of(error) not in PREPARE_AGAIN_STATES:
                raise
            self._prepared.pop(statement.name, None)
            rows = self._run(statement, parameters)
        if self._connection._transaction_status != IDLE:  # noqa: SLF001  pg8000 does not show it otherwise
            raise InDoubt("a transaction was left open")
        return rows

    def is_quiet(self) -> bool:
        """Nothing arrived while nobody listened: neither the end of the connection nor a stray answer."""
        sock = self._connection._usock  # noqa: SLF001  as above
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Say goodbye and close."""
        try:
            self._connection.close()
        except Exception:  # noqa: BLE001  it is over in any case
            self.discard()

    def discard(self) -> None:
        """Close without a word."""
        discard(self._connection)

    def _run(self, statement: Statement, parameters: Mapping[str, object]) -> list[list[Any]]:
        prepared = self._prepared.get(statement.name)
        if prepared is None:
            prepared = self._prepared[statement.name] = self._connection.prepare(statement.sql)
        rows: list[list[Any]] = prepared.run(**parameters)
        return rows

    def _allow(self, timeout_ms: int) -> None:
        self._run(ALLOW, {"ms": str(timeout_ms)})
        self._connection._usock.settimeout(timeout_ms / 1000 + ANSWER_MARGIN_S)  # noqa: SLF001  as above
        self._timeout_ms = timeout_ms


def sqlstate_of(error: DatabaseError) -> str:
    """The five characters that say what happened; the rest of the error is never read."""
    return _field(error, "C")


def constraint_of(error: DatabaseError) -> str:
    """The name of the constraint that was violated, or empty."""
    return _field(error, "n")


def _field(error: DatabaseError, name: str) -> str:
    fields = error.args[0] if error.args else None
    return str(fields.get(name, "")) if isinstance(fields, dict) else ""
