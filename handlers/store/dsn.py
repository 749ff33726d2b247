"""Where a database is and how to prove that it is the right one."""

from __future__ import annotations

import ssl

import msgspec

from handlers.settings import DatabaseSettings
from handlers.store.logins import read_login


class Dsn(msgspec.Struct, frozen=True, kw_only=True):
    """One role's way into one database. Its representation hides the password.

    Either `socket_dir` (a Unix socket, this machine only) or `host` is set. Without `tls`, only a connection that
    stays on this machine is allowed, and only when `local` says that this is the one-machine system.
    """

    user: str
    password: str
    database: str
    host: str = ""
    port: int = 5432
    socket_dir: str = ""
    tls: str = ""
    """Path of the CA bundle that signs the server's certificate; the host name is checked against it."""
    local: bool = False
    door: str = ""
    """Host (and `:port`, if it is another) to connect to in the server's place; the certificate is still `host`'s."""

    def __post_init__(self) -> None:
        if bool(self.host) == bool(self.socket_dir):
            raise ValueError("a DSN names either a host or a socket directory")
        stays_here = bool(self.socket_dir) or self.host in {"127.0.0.1", "::1", "localhost"}
        if not self.tls and not (self.local and stays_here):
            raise ValueError("a database connection without TLS is allowed on one machine only: set `tls`")

    @property
    def address(self) -> tuple[str, int]:
        """Where the connection is made: the door, or the server itself."""
        host, _, port = self.door.partition(":")
        return (host or self.host, int(port or self.port))

    def __repr__(self) -> str:
        return f"Dsn({self.user}@{self.host or self.socket_dir}:{self.port}/{self.database})"

    def tls_context(self) -> ssl.SSLContext | None:
        """A context that verifies certificate and host name, or None for a connection that stays on this machine."""
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.tls)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


def dsn_of(settings: DatabaseSettings, secret: str, *, local: bool) -> Dsn:
    """The DSN that a room's settings and its secret `database/<role>` describe; `local`: everything runs on one machine.

    ValueError when the secret is malformed.
    """
    is_socket = settings.host.startswith("/")
    login = read_login(settings.role, secret)
    return Dsn(
        user=login.user,
        password=login.password,
        database=settings.name,
        host="" if is_socket else settings.host,
        socket_dir=settings.host if is_socket else "",
        port=settings.port,
        tls=settings.authorities,
        local=local,
        door=settings.door,
    )
