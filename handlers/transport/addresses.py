"""Where a server listens and a client connects: `unix:/path`, `host:port` or `[v6 address]:port`."""

from __future__ import annotations

import asyncio
import socket
import ssl as tls
from collections.abc import Callable
from typing import NamedTuple

BACKLOG = 1024
LARGE_BYTES = 1024 * 1024

# First probe after 10 s of silence, then every 5 s; the third one unanswered ends the connection.
_PROBES = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}


class Address(NamedTuple):
    """A Unix path, or a host with its port; the other part is empty."""

    path: str
    host: str
    port: int


def parse_address(address: str) -> Address:
    """Read an address; ValueError names what is wrong with it."""
    scheme, separator, path = address.partition(":")
    if scheme == "unix" and separator:
        if not path:
            raise ValueError("a unix: address needs a path")
        return Address(path, "", 0)
    host, separator, port = address.rpartition(":")
    if not (separator and host and port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError("an address is unix:/path or host:port")
    return Address("", host.removeprefix("[").removesuffix("]"), int(port))


async def listen(
    factory: Callable[[], asyncio.Protocol],
    address: str,
    *,
    ssl: tls.SSLContext | None = None,
    reuse_port: bool = False,
) -> asyncio.Server:
    """Serve an address with one protocol object per connection. Raises OSError when the address is taken."""
    loop = asyncio.get_running_loop()
    path, host, port = parse_address(address)
    if path:
        return await loop.create_unix_server(factory, path, ssl=ssl, backlog=BACKLOG)
    # A False that is passed explicitly would switch the option off on platforms that lack it; None leaves it alone.
    return await loop.create_server(factory, host, port, ssl=ssl, reuse_port=reuse_port or None, backlog=BACKLOG)


async def connect(factory: Callable[[], asyncio.Protocol], address: str) -> None:
    """Open one connection; the protocol's `connection_made` has run when this returns. Raises OSError."""
    loop = asyncio.get_running_loop()
    path, host, port = parse_address(address)
    if path:
        await loop.create_unix_connection(factory, path)
    else:
        await dial(factory, host, port)


async def dial(
    factory: Callable[[], asyncio.Protocol], host: str, port: int, *, ssl: tls.SSLContext | None = None
) -> None:
    """Connect to the first of a host's addresses that answers; with `ssl`, its name is verified. Raises OSError or ValueError.

    Names are looked up here and not within `create_connection`: there, a look-up that outlives its caller tells its failure
    to the loop, as nobody's.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    error: OSError = ConnectionRefusedError()
    for address in dict.fromkeys(str(row[4][0]) for row in found):
        try:
            await loop.create_connection(factory, address, port, ssl=ssl, server_hostname=host if ssl else None)
        except tls.SSLError:
            raise  # somebody answered, and is not whom we called
        except OSError as failed:
            error = failed
        else:
            return
    raise error


def widen(transport: asyncio.BaseTransport) -> None:
    """Let a large request leave a Unix socket in few system calls; the kernel grants what it thinks right. No-op on TCP."""
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is not None and connection.family == socket.AF_UNIX:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGE_BYTES)


def notice_silent_loss(transport: asyncio.BaseTransport) -> None:
    """Let the kernel probe a quiet TCP connection: a machine that vanishes says no goodbye. No-op on Unix sockets."""
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is None or connection.family == socket.AF_UNIX:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _PROBES.items():
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


def bound_address(server: asyncio.Server) -> str:
    """Where a server really listens, in our notation: the port that the system chose for port 0."""
    name = server.sockets[0].getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    host, port = name[0], name[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
