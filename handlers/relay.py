"""`python -m handlers.relay [--within NETWORK ...] PORT=HOST[:PORT] ...`: a port for each host, bytes passed through.

Two rooms run it. *relay* is the only way out of the cluster: its ports lead to hosts in the internet, on port 443. *door* is the
functions' only way to the database: its one port leads to the database's host, `--within` the database's networks.

Theory of operation
    A network policy knows pods, ports and addresses, not host names. So each host has a port here, and the policy of a pod allows the
    ports of its own hosts. A connection to a port is joined with one to its host, and bytes go both ways
    unread: TLS, with its certificate check, is between the caller and the host. The relay holds no secret and no key.

Rules
    A port leads to its host and nowhere else; what the caller sends has no say in it.
    A name that resolves to a private, link-local or loopback address is refused, so that nobody's name server can turn a
    port into a way inside. With `--within` it is the other way round: only addresses in those networks are called.
    Each side is read only as fast as the other takes it. When one side ends, the other gets what is left and is closed.
    On SIGTERM no more connections are taken, and those that are there may finish.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, cast

import uvloop

TLS_PORT = 443
CONNECT_S_MAX = 10.0
CONNECTIONS_MAX = 20_000
BUFFER_BYTES_MAX = 64 * 1024
DRAIN_S_MAX = 600.0
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class RouteError(ValueError):
    """A word on the command line is malformed; the message names it and the form."""


class Target(NamedTuple):
    """Where a port leads."""

    host: str
    port: int = TLS_PORT


def parse_routes(words: Sequence[str]) -> dict[int, Target]:
    """`PORT=HOST` and `PORT=HOST:PORT` words as port -> target."""
    routes: dict[int, Target] = {}
    for word in words:
        port, _, target = word.partition("=")
        host, _, upstream = target.partition(":")
        if not _is_port(port) or not host or int(port) in routes or not (_is_port(upstream) or target == host):
            raise RouteError(f"route {word!r}: write PORT=HOST, each port once, as in 10443=api.example.com")
        routes[int(port)] = Target(host, int(upstream or TLS_PORT))
    if not routes:
        raise RouteError("no route is given: write PORT=HOST, as in 10443=api.example.com")
    return routes


def parse_networks(words: Sequence[str]) -> tuple[Network, ...]:
    """The networks of `--within`."""
    try:
        return tuple(ipaddress.ip_network(word) for word in words)
    except ValueError:
        raise RouteError("--within names no network: write it as in 10.64.80.0/26") from None


def _is_port(text: str) -> bool:
    return text.isdecimal() and 0 < int(text) < 65_536


def is_public(address: str) -> bool:
    """Whether an address lies in the public internet."""
    return ipaddress.ip_address(address).is_global


def inside(networks: Sequence[Network]) -> Callable[[str], bool]:
    """Whether an address lies in one of the networks."""
    return lambda address: any(ipaddress.ip_address(address) in network for network in networks)


class Half(asyncio.Protocol):
    """One side of a joined connection: what it receives, the other side sends."""

    def __init__(
        self, on_made: Callable[[Half], None] = lambda _half: None, on_lost: Callable[[Half], None] = lambda _half: None
    ) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: Half | None = None
        self.ended = False
        self.early = b""
        self._on_made = on_made
        self._on_lost = on_lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport; the caller's side is not read further until the host's is there."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=BUFFER_BYTES_MAX)
        if self.other is None:
            self.transport.pause_reading()
        self._on_made(self)

    def join(self, other: Half) -> None:
        """Connect the two sides and start reading."""
        self.other, other.other = other, self
        for half in (self, other):
            early, half.early = half.early, b""
            if early:
                half.data_received(early)
            if half.ended:
                half.eof_received()
            elif half.transport is not None:
                half.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Pass on, unread. What arrives before the other side is there (event loops may read once more) is kept."""
        if self.other is None:
            self.early += data
            if self.transport is not None:
                self.transport.pause_reading()
        elif self.other.transport is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """The sender has finished; the other direction may go on, and when both have, the connection is over."""
        self.ended = True
        if self.other is not None and self.other.ended:
            if self.other.transport is not None:
                self.other.transport.close()
            return False
        if self.other is not None and self.other.transport is not None and self.other.transport.can_write_eof():
            with suppress(OSError, RuntimeError):
                self.other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        """This side takes no more: stop reading the other."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """This side takes more again."""
        if self.other is not None and self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, _error: Exception | None) -> None:
        """Close the other side once it has sent what is left."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()
        self._on_lost(self)


class Relay:
    """Listens on the routes' ports. `reachable` says which addresses may be connected to."""

    def __init__(self, routes: Mapping[int, Target], *, reachable: Callable[[str], bool] = is_public) -> None:
        self._routes = routes
        self._reachable = reachable
        self._servers: list[asyncio.Server] = []
        self._callers: set[Half] = set()
        self._empty = asyncio.Event()
        self._dials: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """How many callers are connected."""
        return len(self._callers)

    async def start(self, address: str = "0.0.0.0") -> list[int]:
        """Listen; returns the ports, which are the routes' own unless a route names port 0."""
        loop = asyncio.get_running_loop()
        for port, target in self._routes.items():
            self._servers.append(await loop.create_server(self._accepting(target), address, port, backlog=1024))
        return [server.sockets[0].getsockname()[1] for server in self._servers]

    async def drain(self, seconds_max: float = DRAIN_S_MAX) -> None:
        """Take no more connections, let those that are there finish, and cut what is left after the time."""
        for server in self._servers:
            server.close()
        if self._callers:
            self._empty.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds_max):
                    await self._empty.wait()
        for caller in tuple(self._callers):
            if caller.transport is not None:
                caller.transport.abort()

    def _forget(self, caller: Half) -> None:
        self._callers.discard(caller)
        if not self._callers:
            self._empty.set()

    def _accepting(self, target: Target) -> Callable[[], Half]:
        def dial(caller: Half) -> None:
            self._callers.add(caller)
            task = asyncio.get_running_loop().create_task(self._dial(caller, target))
            self._dials.add(task)
            task.add_done_callback(self._dials.discard)

        return lambda: Half(dial, self._forget)

    async def _dial(self, caller: Half, target: Target) -> None:
        try:
            if len(self._callers) > CONNECTIONS_MAX:
                raise ConnectionRefusedError
            async with asyncio.timeout(CONNECT_S_MAX):
                upstream = await self._connect(target)
        except (OSError, TimeoutError):
            if caller.transport is not None:
                caller.transport.abort()
            return
        if caller.transport is None or caller.transport.is_closing():
            if upstream.transport is not None:
                upstream.transport.abort()
            return
        caller.join(upstream)

    async def _connect(self, target: Target) -> Half:
        """A connection to the host, at the first of its addresses that may be called and answers."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        error: OSError = ConnectionRefusedError()
        for address in [row[4][0] for row in found if self._reachable(str(row[4][0]))]:
            try:
                _, half = await loop.create_connection(Half, str(address), target.port)
            except OSError as failed:
                error = failed
            else:
                return half
        raise error


async def serve(routes: Mapping[int, Target], reachable: Callable[[str], bool]) -> None:
    """Run until SIGTERM, then drain."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    relay = Relay(routes, reachable=reachable)
    await relay.start()
    await stop.wait()
    await relay.drain()


def main(argv: Sequence[str] | None = None) -> int:
    """The process."""
    parser = argparse.ArgumentParser(prog="python -m handlers.relay")
    parser.add_argument("routes", nargs="*", metavar="PORT=HOST[:PORT]")
    parser.add_argument("--within", action="append", default=[], metavar="NETWORK", help="call these networks alone")
    options = parser.parse_args(argv)
    try:
        routes, networks = parse_routes(options.routes), parse_networks(options.within)
    except RouteError as refused:
        sys.stderr.write(f"{refused}\n")
        return 2
    uvloop.run(serve(routes, inside(networks) if networks else is_public))
    return 0


if __name__ == "__main__":
    sys.exit(main())
