"""The HTTP/1.1 server: listening, the sweep of deadlines, draining. One connection's life is in server_connection.py."""

from __future__ import annotations

import asyncio
import contextlib
import ssl as tls
from collections.abc import Callable
from time import monotonic

from handlers.errors import TheRouterError
from handlers.transport.addresses import bound_address, listen
from handlers.transport.exchange import Exchange, Headers
from handlers.transport.limits import ServerLimits
from handlers.transport.request_head import RequestHead
from handlers.transport.server_connection import ServerConnection

__all__ = ["Exchange", "Headers", "HttpServer", "RequestHead", "ServerLimits"]


class HttpServer:
    """Serves whole requests to a synchronous handler, for as long as someone holds this object.

    Args:
        handler: called with each complete request; it answers now or later. What it raises becomes an error response.
        admit: called with each head; returns the most bytes of body that the route takes, or raises a TheRouterError,
            which is answered at once.
        render_error: the response (status, headers, body) for an error; the head is None when it could not be read. The
            `__cause__` of a plain TheRouterError is the exception that nobody expected.
        limits: see `ServerLimits`.
    """

    def __init__(
        self,
        handler: Callable[[Exchange], None],
        *,
        admit: Callable[[RequestHead], int],
        render_error: Callable[[TheRouterError, RequestHead | None], tuple[int, Headers, bytes]],
        limits: ServerLimits | None = None,
    ) -> None:
        self.handler = handler
        self.admit = admit
        self.render_error = render_error
        self.limits = limits or ServerLimits()
        self.draining = False
        self._open: set[ServerConnection] = set()
        self._listeners: list[asyncio.Server] = []
        self._empty = asyncio.Event()
        self._empty.set()
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> int:
        """Open client connections."""
        return len(self._open)

    @property
    def open_exchanges(self) -> int:
        """Requests whose response is not complete."""
        return sum(connection.exchange is not None for connection in self._open)

    def create_protocol(self) -> asyncio.Protocol:
        """The protocol object for one new connection."""
        return ServerConnection(self)

    async def listen(self, address: str, *, ssl: tls.SSLContext | None = None, reuse_port: bool = False) -> str:
        """Serve `host:port` or `unix:/path`; returns the address with the real port. Raises OSError when it is taken."""
        listener = await listen(self.create_protocol, address, ssl=ssl, reuse_port=reuse_port)
        self._listeners.append(listener)
        return bound_address(listener)

    async def drain(self, seconds: float) -> None:
        """Stop accepting, let open exchanges end for so long, then drop what is left."""
        self.draining = True
        for listener in self._listeners:
            listener.close()
        for connection in list(self._open):
            connection.close_if_idle()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), seconds)
        for connection in list(self._open):
            connection.kill()
        await self._empty.wait()

    def opened(self, connection: ServerConnection) -> None:
        """A connection exists; the sweep runs while there is one."""
        self._open.add(connection)
        self._empty.clear()
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self.limits.sweep_s, self._sweep)

    def closed(self, connection: ServerConnection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        if not self._open:
            self._empty.set()

    def _sweep(self) -> None:
        now = monotonic()
        for connection in list(self._open):
            if connection.deadline <= now or connection.write_deadline <= now:
                connection.expire(now)
        if self._open:
            self._sweeper = asyncio.get_running_loop().call_later(self.limits.sweep_s, self._sweep)
        else:
            self._sweeper = None
