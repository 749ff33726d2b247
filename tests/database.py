"""A real PostgreSQL for tests: one server per test process, one fresh database per test."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from handlers.local.postgres import PostgresServer
from handlers.store.connection import open_connection
from handlers.store.dsn import Dsn
from handlers.store.migrate import ROOMS, apply_migrations, set_passwords
from handlers.store.pool import Pool

TEMPLATE = "therouter_template"
NAME = "therouter_test"


class Database:
    """A migrated, empty database and the ways into it."""

    def __init__(self, server: PostgresServer, passwords: dict[str, str]) -> None:
        self.server = server
        self._passwords = passwords
        self._pools: list[Pool] = []

    @property
    def superuser(self) -> Dsn:
        return self.server.superuser(NAME)

    def dsn(self, role: str) -> Dsn:
        return self.server.dsn(role, self._passwords[role], NAME)

    def pool(self, role: str, *, connections_max: int = 4, queue_max: int = 64) -> Pool:
        """A pool that is closed when the test ends."""
        pool = Pool(self.dsn(role), connections_max=connections_max, queue_max=queue_max)
        self._pools.append(pool)
        return pool

    def query(self, sql: str, **parameters: object) -> list[list[object]]:
        """Ask as superuser: for looking behind the walls."""
        with closing(open_connection(self.superuser, timeout_s=30)) as connection:
            rows: list[list[object]] | None = connection.run(sql, **parameters)
            return rows or []

    def close(self) -> None:
        for pool in self._pools:
            pool.close()


@pytest.fixture(scope="session")
def migrated_server() -> Iterator[tuple[PostgresServer, dict[str, str]]]:
    """A server with a migrated template database, and the rooms' passwords."""
    home = Path(tempfile.mkdtemp(prefix="therouter-pg-"))  # not pytest's: user `nobody` must be able to enter it
    server = PostgresServer(home / "data", port=0, socket_dir=home / "socket", durable=False)
    try:
        server.start()
        server.create_database(TEMPLATE)
        apply_migrations(server.superuser(TEMPLATE))
        passwords = {room: secrets.token_urlsafe(12) for room in ROOMS}
        set_passwords(server.superuser(TEMPLATE), passwords)
        yield server, passwords
    finally:
        server.stop()
        shutil.rmtree(home)


@pytest.fixture
def database(migrated_server: tuple[PostgresServer, dict[str, str]]) -> Iterator[Database]:
    """A fresh copy of the migrated database; the server runs again after a test that stopped it."""
    server, passwords = migrated_server
    server.start()
    with closing(open_connection(server.superuser(), timeout_s=30)) as connection:
        connection.run("drop database if exists therouter_test with (force)")
        connection.run("create database therouter_test template therouter_template")
    apply_migrations(server.superuser(NAME))  # rights on a database are not copied with it
    fresh = Database(server, passwords)
    yield fresh
    fresh.close()
