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
from handlers.store.migrate import LOGINS, apply_migrations, set_passwords
from handlers.store.pool import Pool

TEMPLATE = "therouter_template"
NAME = "therouter_test"
# Copying a database costs half a second of processor time, emptying one some milliseconds.
KEEP_SEEDS = """
create schema test_seed;
do $$
declare
  name text;
  is_seeded boolean;
begin
  for name in select relname from pg_class where relnamespace = 'therouter'::regnamespace and relkind = 'r' loop
    execute format('select exists (select from therouter.%I)', name) into is_seeded;
    if is_seeded then
      execute format('create table test_seed.%I as table therouter.%I', name, name);
    end if;
  end loop;
end $$
"""
EMPTY = """
do $$
declare
  name text;
begin
  perform pg_terminate_backend(pid, 5000) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend';
  set local session_replication_role = replica;
  for name in select relname from pg_class where relnamespace = 'therouter'::regnamespace and relkind = 'r' loop
    execute format('delete from therouter.%I', name);
    if to_regclass(format('test_seed.%I', name)) is not null then
      execute format('insert into therouter.%I select * from test_seed.%I', name, name);
    end if;
  end loop;
  for name in select seqrelid::regclass::text from pg_sequence loop
    perform setval(name, 1, false);
  end loop;
end $$
"""


class Database:
    """A migrated, empty database and the ways into it."""

    def __init__(self, server: PostgresServer, passwords: dict[str, str]) -> None:
        self.server = server
        self.altered = False
        """Set by a test that changed more than rows."""
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


class Cluster:
    """The server of this test process, and the one database that its tests use in turn."""

    def __init__(self, home: Path) -> None:
        self.server = PostgresServer(home / "data", port=0, socket_dir=home / "socket", durable=False)
        self.passwords = {role: secrets.token_urlsafe(12) for role in LOGINS}
        self._is_made = False

    def start(self) -> None:
        """Start, and migrate the template."""
        self.server.start()
        self.server.create_database(TEMPLATE)
        apply_migrations(self.server.superuser(TEMPLATE))
        set_passwords(self.server.superuser(TEMPLATE), self.passwords)

    def hand_out(self) -> Database:
        """The database as its migrations left it; the server runs again after a test that stopped it."""
        self.server.start()
        if not self._is_made:
            with closing(open_connection(self.server.superuser(), timeout_s=60)) as connection:
                connection.run("drop database if exists therouter_test with (force)")
                connection.run("create database therouter_test template therouter_template")
            apply_migrations(self.server.superuser(NAME))  # rights on a database are not copied with it
            self._is_made = True
            self._run(KEEP_SEEDS)
        return Database(self.server, self.passwords)

    def take_back(self, database: Database) -> None:
        """Empty it, or, after a test that altered more than rows, forget it."""
        database.close()
        self.server.start()
        self._is_made = not database.altered
        if self._is_made:
            self._run(EMPTY)

    def _run(self, sql: str) -> None:
        with closing(open_connection(self.server.superuser(NAME), timeout_s=60)) as connection:
            connection.run(sql)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A server with a migrated template database."""
    home = Path(tempfile.mkdtemp(prefix="therouter-pg-"))  # not pytest's: user `nobody` must be able to enter it
    cluster = Cluster(home)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.server.stop()
        shutil.rmtree(home)


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Database]:
    """A migrated database without rows. A test that alters more than rows sets `altered`."""
    database = cluster.hand_out()
    yield database
    cluster.take_back(database)
