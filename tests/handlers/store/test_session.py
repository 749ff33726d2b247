from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from handlers.store import session as session_module
from handlers.store.session import InDoubt, Session, constraint_of, sqlstate_of
from handlers.store.statements import Statement
from tests.database import Database

ONE = Statement("one", "select :word || ''", 3_000)
PATIENT = Statement("patient", "select current_setting('statement_timeout')", 20_000)


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    session = Session(database.dsn("gateway"))
    yield session
    session.close()


def test_each_statement_has_its_own_limit(session: Session) -> None:
    assert session.execute(PATIENT, {}) == [["20s"]]
    assert session.execute(PATIENT._replace(name="default", timeout_ms=3_000), {}) == [["3s"]]
    assert session._connection._usock.gettimeout() == 3.0 + session_module.ANSWER_MARGIN_S


def test_a_lost_prepared_statement_is_prepared_again(session: Session) -> None:
    assert session.execute(ONE, {"word": "a"}) == [["a"]]
    session._connection.run("deallocate all")
    assert session.execute(ONE, {"word": "b"}) == [["b"]]


def test_a_transaction_left_open_puts_the_session_in_doubt(session: Session) -> None:
    session._connection.run("begin")
    with pytest.raises(InDoubt):
        session.execute(ONE, {"word": "a"})


def test_a_session_that_the_server_ended_is_not_quiet(database: Database, session: Session) -> None:
    assert session.is_quiet()
    database.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'gateway'")
    deadline = time.monotonic() + 5
    while session.is_quiet() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not session.is_quiet()


def test_a_replica_is_not_used(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    class Replica:
        _usock = None
        _sock = None

        def run(self, _sql: str) -> list[list[bool]]:
            return [[True]]

    monkeypatch.setattr(session_module, "open_connection", lambda *_, **__: Replica())
    monkeypatch.setattr(session_module, "discard", lambda _: closed.append(True))
    with pytest.raises(InDoubt):
        Session(database.dsn("gateway"))
    assert closed == [True]


def test_of_an_error_only_code_and_constraint_are_read(session: Session) -> None:
    with pytest.raises(Exception, match="22012") as divided:
        session.execute(Statement("divide", "select 1 / :zero::int", 3_000), {"zero": "0"})
    error = divided.value
    assert (sqlstate_of(error), constraint_of(error)) == ("22012", "")
    assert sqlstate_of(type(error)("no fields")) == ""
