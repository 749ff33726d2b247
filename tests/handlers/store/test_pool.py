"""The pool against a real server, with a proxy between them that can lose, delay and cut."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from handlers.errors import Unavailable
from handlers.store import session as session_module
from handlers.store import statements
from handlers.store.connection import open_connection
from handlers.store.dsn import Dsn
from handlers.store.pool import Pool
from handlers.store.refusals import StatementRefused
from handlers.store.statements import Statement
from tests.database import Database

ECHO = Statement("test_echo", "select :tag || ''", 3_000)
ECHO_SLOWLY = Statement("test_echo_slowly", "select :tag || '' from pg_sleep(:seconds)", 300)
ECHO_BRIEFLY = Statement("test_echo_briefly", "select :tag || '' from pg_sleep(:seconds)", 50)
WAIT = Statement("test_wait", "select :tag || '' from pg_advisory_xact_lock_shared(1)", 30_000)
FAIL = Statement("test_fail", "select 1 / :zero::int", 3_000)
BACKEND = Statement("test_backend", "select pg_backend_pid()", 3_000)


@pytest.fixture(autouse=True)
def _statements(monkeypatch: pytest.MonkeyPatch) -> None:
    for statement in (ECHO, ECHO_SLOWLY, ECHO_BRIEFLY, WAIT, FAIL, BACKEND):
        monkeypatch.setitem(statements.STATEMENTS, statement.name, statement)


@contextlib.contextmanager
def nobody_is_answered(database: Database) -> Iterator[None]:
    """Until the end whoever asks `test_wait` waits."""
    with contextlib.closing(open_connection(database.superuser, timeout_s=30)) as connection:
        connection.run("select pg_advisory_lock(1)")
        yield


def await_waiting(database: Database, count: int) -> None:
    """Return once so many wait."""
    while database.query("select count(*) from pg_locks where locktype = 'advisory' and not granted") != [[count]]:
        time.sleep(0.01)


class Proxy:
    """Forwards bytes between clients and the server's socket; `cut_after` ends a connection amid an answer."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.silent = threading.Event()
        self.cut_chance = 0.0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server = socket.socket(socket.AF_UNIX)
                try:
                    server.connect(self._target)
                except OSError:
                    client.close()
                    server.close()
                    continue
                self._open += [client, server]
                threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                while answers and self.silent.is_set():
                    time.sleep(0.01)
                if answers and random.random() < self.cut_chance:
                    target.sendall(data[: random.randrange(len(data))])
                    break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.silent.clear()
        self._listener.close()
        for end in self._open:
            end.close()


@pytest.fixture
def proxy(database: Database) -> Iterator[Proxy]:
    dsn = database.dsn("gateway")
    proxy = Proxy(f"{dsn.socket_dir}/.s.PGSQL.{dsn.port}")
    yield proxy
    proxy.close()


@pytest.fixture
def proxied(database: Database, proxy: Proxy) -> Iterator[Pool]:
    dsn = database.dsn("gateway")
    pool = Pool(
        Dsn(user=dsn.user, password=dsn.password, database=dsn.database, host="127.0.0.1", port=proxy.port, local=True),
        connections_max=4,
        queue_max=200,
    )
    yield pool
    pool.close()


def test_a_statement_is_prepared_once_and_its_connection_reused(database: Database) -> None:
    pool = database.pool("gateway", connections_max=1)
    assert pool.run("test_echo", tag="a") == [("a",)]
    assert pool.run("test_echo", tag="b") == [("b",)]
    backends = {pool.run("test_backend")[0][0] for _ in range(5)}
    assert len(backends) == 1


def test_a_database_error_keeps_the_connection_and_shows_neither_value_nor_message(database: Database) -> None:
    pool = database.pool("gateway", connections_max=1)
    before = pool.run("test_backend")
    with pytest.raises(StatementRefused) as refused:
        pool.run("test_fail", zero="0")
    assert refused.value.sqlstate == "22012"
    with pytest.raises(StatementRefused) as refused:
        pool.run("test_fail", zero="a secret value")
    assert refused.value.sqlstate == "22P02"
    chain = [refused.value, refused.value.__cause__]
    assert "secret" not in "".join(map(repr, chain))
    assert refused.value.__suppress_context__
    assert pool.run("test_backend") == before


def test_a_slow_statement_ends_at_its_own_limit_and_the_connection_lives_on(database: Database) -> None:
    pool = database.pool("gateway", connections_max=1)
    before = pool.run("test_backend")
    started = time.monotonic()
    with pytest.raises(Unavailable):
        pool.run("test_echo_slowly", tag="x", seconds=5)
    assert 0.25 < time.monotonic() - started < 2
    assert pool.run("test_backend") == before
    assert pool.faults["57014"] == 1


def test_overload_is_unavailable_at_once(database: Database) -> None:
    pool = database.pool("gateway", connections_max=1, queue_max=2)

    async def overload() -> list[object]:
        with nobody_is_answered(database):
            calls = [asyncio.ensure_future(pool.call("test_wait", tag=str(i))) for i in range(6)]
            await asyncio.wait(calls[3:])
        return list(await asyncio.gather(*calls, return_exceptions=True))

    answers = asyncio.run(overload())
    assert [isinstance(answer, Unavailable) for answer in answers] == [False] * 3 + [True] * 3
    assert pool.run("test_echo", tag="after") == [("after",)]


@pytest.mark.claim("A70")
def test_a70_no_answer_reaches_another_question_however_callers_and_connections_die(
    proxied: Pool, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "ANSWER_MARGIN_S", 0.2)
    monkeypatch.setattr("handlers.store.pool.BACKOFF_S_FIRST", 0.001)
    monkeypatch.setattr("handlers.store.pool.BACKOFF_S_MAX", 0.002)
    dice = random.Random(70)
    counts = {"right": 0, "wrong": 0, "failed": 0, "cancelled": 0}

    async def ask(tag: str) -> None:
        slow = dice.random() < 0.1
        call = (
            proxied.call("test_echo_briefly", tag=tag, seconds=dice.choice([0.001, 0.1]))
            if slow
            else proxied.call("test_echo", tag=tag)
        )
        task = asyncio.ensure_future(call)
        if dice.random() < 0.3:
            asyncio.get_running_loop().call_later(dice.random() * 0.01, task.cancel)
        try:
            answer = await task
        except asyncio.CancelledError:
            counts["cancelled"] += 1
        except Unavailable:
            counts["failed"] += 1
        else:
            counts["right" if answer == [(tag,)] else "wrong"] += 1

    async def storm() -> None:
        proxy.cut_chance = 0.02
        for batch in range(30):
            await asyncio.gather(*(ask(f"tenant-{i % 50}-{batch}-{i}") for i in range(50)))
        proxy.cut_chance = 0.0
        await asyncio.sleep(0.05)
        for i in range(100):
            with contextlib.suppress(Unavailable):
                assert await proxied.call("test_echo", tag=f"after-{i}") == [(f"after-{i}",)]

    asyncio.run(storm())
    assert counts["wrong"] == 0, counts
    assert counts["right"] > 300, counts
    assert counts["cancelled"] > 100, counts
    assert counts["failed"] > 10, counts


def test_a_silent_server_is_given_up_and_its_late_answer_is_never_read(
    proxied: Pool, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.store.pool.BACKOFF_S_MAX", 0.001)
    assert proxied.run("test_echo", tag="before") == [("before",)]
    (session,) = proxied._idle
    session._connection._usock.settimeout(0.3)  # instead of six seconds
    proxy.silent.set()
    with pytest.raises(Unavailable):
        proxied.run("test_echo", tag="lost")
    proxy.silent.clear()
    assert proxied.run("test_echo", tag="after") == [("after",)]
    assert proxied.faults["network"] == 1


def test_a_network_error_drops_all_idle_connections(database: Database, proxied: Pool, proxy: Proxy) -> None:
    async def spread() -> None:
        with nobody_is_answered(database):
            calls = [asyncio.ensure_future(proxied.call("test_wait", tag="x")) for _ in range(4)]
            await asyncio.to_thread(await_waiting, database, 4)
        await asyncio.gather(*calls)

    asyncio.run(spread())
    assert len(proxied._idle) == 4
    proxy.cut_chance = 1.0
    with pytest.raises(Unavailable):
        proxied.run("test_echo", tag="cut")
    assert proxied._idle == []


def test_a_restarted_server_is_noticed_before_its_connection_is_used(database: Database) -> None:
    pool = database.pool("gateway")
    assert pool.run("test_echo", tag="before") == [("before",)]
    database.server.crash()
    with pytest.raises(Unavailable):
        pool.run("test_echo", tag="down")
    database.server.start()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(Unavailable):
            assert pool.run("test_echo", tag="back") == [("back",)]
            break
        time.sleep(0.02)
    else:
        pytest.fail("the pool did not recover")


def test_an_outage_costs_its_callers_no_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda _low, high: high)
    dsn = database.dsn("gateway")
    pool = Pool(Dsn(user=dsn.user, password="x", database=dsn.database, host="127.0.0.1", port=9, local=True))
    started = time.monotonic()
    for _ in range(200):
        with pytest.raises(Unavailable):
            pool.run("test_echo", tag="x")
    assert time.monotonic() - started < 1
    assert pool._failed_connects < 8
    pool.close()


def test_a_connection_is_replaced_when_it_is_old(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = database.pool("gateway", connections_max=1)
    first = pool.run("test_backend")
    monkeypatch.setattr("handlers.store.pool.AGE_S_MAX", 0.0)
    assert pool.run("test_backend") != first


def test_a_closed_pool_is_unavailable(database: Database) -> None:
    pool = database.pool("gateway")
    pool.run("test_echo", tag="a")
    pool.close()
    with pytest.raises(Unavailable):
        pool.run("test_echo", tag="b")
