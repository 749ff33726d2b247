from __future__ import annotations

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import scramp
from pg8000.exceptions import Error

from handlers.local.postgres import PostgresServer
from handlers.store.connection import open_connection
from handlers.store.migrate import MIGRATIONS, MigrationChanged, apply_migrations, scram_verifier, set_passwords
from tests.database import Database


@pytest.fixture
def empty(database: Database) -> Database:
    """The database before its first migration."""
    database.altered = True
    database.query("drop schema therouter cascade")
    return database


def test_first_run_applies_everything_in_order_and_second_run_nothing(empty: Database) -> None:
    applied = apply_migrations(empty.superuser)
    assert applied == sorted(path.name for path in MIGRATIONS.glob("*.sql") if path.name != "0000_roles.sql")
    assert apply_migrations(empty.superuser) == []
    assert [row[0] for row in empty.query("select name from therouter.migration order by name")] == applied


def test_two_runs_at_once_apply_each_file_once(empty: Database) -> None:
    with ThreadPoolExecutor(2) as threads:
        runs = list(threads.map(lambda _: apply_migrations(empty.superuser), range(2)))
    assert sorted(map(bool, runs)) == [False, True]


def test_an_edited_file_stops_the_run_and_names_itself(empty: Database, tmp_path: Path) -> None:
    shutil.copytree(MIGRATIONS, tmp_path / "m")
    apply_migrations(empty.superuser, tmp_path / "m")
    edited = tmp_path / "m" / "0005_leases.sql"
    edited.write_text(edited.read_text("utf-8") + "\n-- a word more\n", "utf-8")
    with pytest.raises(MigrationChanged, match="0005_leases"):
        apply_migrations(empty.superuser, tmp_path / "m")


def test_a_missing_file_stops_the_run(empty: Database, tmp_path: Path) -> None:
    shutil.copytree(MIGRATIONS, tmp_path / "m")
    apply_migrations(empty.superuser, tmp_path / "m")
    (tmp_path / "m" / "0009_walls.sql").unlink()
    with pytest.raises(MigrationChanged, match="0009_walls"):
        apply_migrations(empty.superuser, tmp_path / "m")


def test_a_failing_file_leaves_nothing_behind(empty: Database, tmp_path: Path) -> None:
    shutil.copytree(MIGRATIONS, tmp_path / "m")
    (tmp_path / "m" / "0099_broken.sql").write_text("create table half (a int); select 1/0;", "utf-8")
    with pytest.raises(Exception, match="22012"):
        apply_migrations(empty.superuser, tmp_path / "m")
    assert empty.query("select to_regclass('therouter.tenant')") == [[None]]
    assert apply_migrations(empty.superuser)


def test_everything_belongs_to_the_owner_that_nobody_logs_in_as(database: Database) -> None:
    strangers = database.query(
        "select c.relname from pg_class c join pg_roles r on r.oid = c.relowner "
        "where c.relnamespace = 'therouter'::regnamespace and r.rolname <> 'therouter_owner'"
    )
    assert strangers == []
    assert database.query("select rolcanlogin, rolsuper from pg_roles where rolname = 'therouter_owner'") == [
        [False, False]
    ]


def test_a_room_logs_in_with_its_password_and_not_with_another(database: Database) -> None:
    with closing(open_connection(database.dsn("payments"), timeout_s=5)) as connection:
        assert connection.run("select current_user") == [["payments"]]
    wrong = database.server.dsn("payments", "wrong", "therouter_test")
    with pytest.raises(Error):
        open_connection(wrong, timeout_s=5)


def test_our_verifier_is_the_one_that_scram_defines() -> None:
    salt = b"sixteen bytes ..."
    mechanism = scramp.ScramMechanism("SCRAM-SHA-256")
    _, stored, server, iterations = mechanism.make_auth_info("secret", iteration_count=4096, salt=salt)
    ours = scram_verifier("secret", salt)
    assert ours.startswith(f"SCRAM-SHA-256${iterations}:")
    assert ours.endswith(f"${scramp.utils.b64enc(stored)}:{scramp.utils.b64enc(server)}")


def test_the_migrating_role_need_not_be_a_superuser() -> None:
    """As on a managed database, whose master user may create roles and databases and is no superuser."""
    home = Path(tempfile.mkdtemp(prefix="therouter-master-"))
    server = PostgresServer(home / "data", port=0, socket_dir=home / "s", durable=False)
    try:
        server.start()
        with closing(open_connection(server.superuser(), timeout_s=10)) as connection:
            connection.run("create role master login createrole createdb password 'made-up'")
            connection.run("create database managed owner master")
        master = server.dsn("master", "made-up", "managed")
        applied = apply_migrations(master)
        assert applied == sorted(path.name for path in MIGRATIONS.glob("*.sql") if path.name != "0000_roles.sql")
        assert apply_migrations(master) == []
        set_passwords(master, {"gateway": "also-made-up"})
        with closing(open_connection(server.dsn("gateway", "also-made-up", "managed"), timeout_s=10)) as connection:
            assert connection.run("select * from therouter.gateway_watch()") == [[0, 0]]
    finally:
        server.stop()
        shutil.rmtree(home)
