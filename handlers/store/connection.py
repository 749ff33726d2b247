"""One connection to PostgreSQL, with the socket that we want and nothing that pg8000 would choose for us.

Why our own socket: pg8000 sets neither TCP_NODELAY (a batch of 8-64 KB would stall for 44 ms) nor usable keep-alive times,
and without a context it would accept an unverified or plain connection.
"""

from __future__ import annotations

import socket
from typing import Any

import pg8000.native

from handlers.store.dsn import Dsn

CONNECT_TIMEOUT_S = 5.0
KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 10_000}
"""Seconds, seconds, probes, milliseconds: a dead peer is noticed within about ten seconds. Linux names."""


def open_connection(dsn: Dsn, *, timeout_s: float, statement_timeout_ms: int = 0) -> pg8000.native.Connection:
    """Connect and authenticate.

    Args:
        dsn: where, as whom, and how the server proves itself.
        timeout_s: the longest wait for any byte of an answer, once connected.
        statement_timeout_ms: the server's own limit for a statement; 0: none.

    Raises whatever pg8000, ssl and socket raise: `pool` maps it.

    """
    sock = _connect(dsn)
    try:
        connection = pg8000.native.Connection(
            dsn.user,
            host=dsn.host or None,
            database=dsn.database,
            password=dsn.password,
            sock=sock,
            ssl_context=dsn.tls_context() or False,
            application_name="therouter",
            startup_params={"statement_timeout": str(statement_timeout_ms), "timezone": "UTC"},
        )
    except BaseException:
        sock.close()
        raise
    # The TLS handshake may have wrapped the socket: the time-out belongs on what is read from now on.
    connection._usock.settimeout(timeout_s)  # noqa: SLF001  pg8000 has no public way to reach its socket
    return connection


def discard(connection: Any) -> None:
    """Close the socket without a word: for connections whose state is in doubt."""
    sock, connection._usock = connection._usock, None  # noqa: SLF001  as above
    connection._sock = None  # noqa: SLF001  as above
    if sock is not None:
        sock.close()


def _connect(dsn: Dsn) -> socket.socket:
    if dsn.socket_dir:
        local = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            local.settimeout(CONNECT_TIMEOUT_S)
            local.connect(f"{dsn.socket_dir}/.s.PGSQL.{dsn.port}")
        except OSError:
            local.close()
            raise
        return local
    remote = socket.create_connection(dsn.address, CONNECT_TIMEOUT_S)
    remote.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    remote.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            remote.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return remote
