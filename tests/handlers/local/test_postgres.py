"""The launcher with the real binaries: first start, second start, crash, and each way in which it can go wrong."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from handlers.local import postgres
from handlers.local.postgres import PostgresServer, free_port
from handlers.local.postgres_identity import PostgresFailed
from handlers.store.connection import open_connection
from handlers.store.migrate import apply_migrations
from tests.database import Database

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path that user `nobody` may enter."""
    directory = Path(tempfile.mkdtemp(prefix="therouter-launch-"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def server(home: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(home / "data", port=0, socket_dir=home / "s", durable=False)
    yield server
    server.stop()


def _ask(server: PostgresServer, sql: str) -> object:
    with closing(open_connection(server.superuser(), timeout_s=10)) as connection:
        return connection.run(sql)


def test_a_second_start_finds_the_data_of_the_first(server: PostgresServer) -> None:
    server.start()
    server.start()
    _ask(server, "create table kept as select 7 as seven")
    server.create_database("extra")
    server.create_database("extra")
    server.stop()
    assert server.pid is None
    server.start()
    assert _ask(server, "select seven from kept") == [[7]]
    assert _ask(server, "select count(*)::int from pg_database where datname = 'extra'") == [[1]]


def test_what_was_committed_survives_a_crash(server: PostgresServer) -> None:
    server.start()
    _ask(server, "create table kept as select 7 as seven")
    server.crash()
    server.start()
    assert _ask(server, "select seven from kept") == [[7]]
    assert b"not properly shut down" in server.log_path.read_bytes()


def test_it_listens_on_loopback_and_a_socket_with_scram_only(server: PostgresServer, home: Path) -> None:
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), 2):
        pass
    assert (home / "s" / f".s.PGSQL.{server.port}").is_socket()
    assert _ask(server, "show listen_addresses") == [["127.0.0.1"]]
    assert _ask(server, "select distinct auth_method from pg_hba_file_rules") == [["scram-sha-256"]]
    assert _ask(
        server, "select datcollate, pg_encoding_to_char(encoding) from pg_database where datname = 'postgres'"
    ) == [["C", "UTF8"]]


def test_secrets_and_data_are_for_their_owners_only(server: PostgresServer, home: Path) -> None:
    server.start()
    assert (home / "data").stat().st_mode & 0o777 == 0o700
    assert (home / "data.password").stat().st_mode & 0o777 == 0o600
    assert server.log_path.stat().st_mode & 0o777 == 0o600
    assert not (home / "data.pwfile").exists()
    password = (home / "data.password").read_bytes()
    assert password not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
    assert password not in Path(f"/proc/{server.pid}/environ").read_bytes()
    assert password.decode() not in repr(server.superuser())


def test_a_busy_port_is_named_with_the_remedy(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        server = PostgresServer(home / "data", port=port, socket_dir=home / "s", durable=False)
        with pytest.raises(PostgresFailed, match=f"Port {port} is in use.*another port"):
            server.start()
    server.start()
    server.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="others let nobody bind beside the one who keeps it")
def test_a_free_port_is_kept_for_the_server_that_it_is_for() -> None:
    port = free_port()
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind(("127.0.0.1", port))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 2)
    for _ in range(2):
        with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port), 2):
            pass


def test_data_of_another_major_version_is_refused(server: PostgresServer, home: Path) -> None:
    server.start()
    server.stop()
    (home / "data" / "PG_VERSION").write_text("12\n", "ascii")
    with pytest.raises(PostgresFailed, match="made by PostgreSQL 12, the binaries are"):
        server.start()


def test_two_supervisors_cannot_run_the_same_data(server: PostgresServer, home: Path) -> None:
    server.start()
    second = PostgresServer(home / "data", port=0, socket_dir=home / "s", durable=False)
    with pytest.raises(PostgresFailed, match="Another process runs a server"):
        second.start()
    assert _ask(server, "select 1") == [[1]]


def test_a_server_left_behind_by_a_killed_supervisor_is_replaced(server: PostgresServer, home: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from handlers.local.postgres import PostgresServer\n"
        "home = Path(sys.argv[1]); s = PostgresServer(home/'data', port=0, socket_dir=home/'s', durable=False); s.start()\n"
        "print(s.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(home)], cwd=PROJECT, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    orphan = int(killed.stdout)
    assert Path(f"/proc/{orphan}").exists()
    server.start()
    assert _ask(server, "select 1") == [[1]]
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and _is_alive(orphan):
        time.sleep(0.02)
    assert not _is_alive(orphan)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_an_interrupted_initdb_leaves_nothing_to_stumble_over(server: PostgresServer, home: Path) -> None:
    (home / "data.new").mkdir()
    (home / "data.new" / "PG_VERSION").write_text("18\n", "ascii")
    server.start()
    assert _ask(server, "select 1") == [[1]]


def test_a_directory_with_other_things_in_it_is_refused(server: PostgresServer, home: Path) -> None:
    (home / "data").mkdir()
    (home / "data" / "holiday.txt").write_text("photos", "ascii")
    with pytest.raises(PostgresFailed, match="not empty"):
        server.start()


def test_a_socket_path_that_is_too_long_is_refused(home: Path) -> None:
    server = PostgresServer(home / "data", port=0, socket_dir=home / ("s" * 100), durable=False)
    with pytest.raises(PostgresFailed, match="too long"):
        server.start()


def test_no_value_of_an_error_is_logged(server: PostgresServer) -> None:
    server.start()
    with (
        closing(open_connection(server.superuser(), timeout_s=10)) as connection,
        pytest.raises(Exception, match="22P02"),
    ):
        connection.run("select cast('a-secret' as int)")
    assert b"a-secret" not in server.log_path.read_bytes()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_runs_it_as_themselves(home: Path) -> None:
    script = (
        "import encodings.ascii, encodings.idna, os, pwd, sys; from pathlib import Path; from handlers.local.postgres import PostgresServer\n"
        "from handlers.store.connection import open_connection\n"
        "nobody = pwd.getpwnam('nobody'); os.setgroups([]); os.setgid(nobody.pw_gid); os.setuid(nobody.pw_uid)\n"
        "home = Path(sys.argv[1]); s = PostgresServer(home/'data', port=0, socket_dir=home/'s', durable=False); s.start()\n"
        "print(os.geteuid(), open_connection(s.superuser(), timeout_s=5).run('select 1')); s.stop()"
    )
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    ran = subprocess.run([sys.executable, "-c", script, str(home)], cwd=PROJECT, capture_output=True, check=False)
    assert ran.stdout.decode().split(maxsplit=1) == [str(nobody.pw_uid), "[[1]]\n"], ran.stderr.decode()


def _system_binaries() -> list[Path]:
    return sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.mark.skipif(not _system_binaries(), reason="no system PostgreSQL here")
def test_a_system_postgresql_serves_as_well(
    database: Database, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Migrations run on every major from 15 on; the embedded one is 18."""
    binaries = _system_binaries()[0]
    monkeypatch.setattr(postgres, "find_binaries", lambda: binaries)
    server.start()
    server.create_database("therouter")
    assert apply_migrations(server.superuser("therouter"))
    assert apply_migrations(server.superuser("therouter")) == []
    assert database.query("show server_version") != _ask(server, "show server_version")
