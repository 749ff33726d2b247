"""The process of one provider: assembles the room from settings, catalogue and secrets, and serves the wire until SIGTERM.

SIGHUP makes it read its secrets again, and so does the clock, so that a rotation needs no restart and breaks no stream.
"""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import msgspec
import uvloop

from handlers.catalog.discovery import with_models
from handlers.catalog.elsewhere import hosts_elsewhere
from handlers.catalog.entries import Catalog, Provider
from handlers.catalog.loading import load_catalog
from handlers.clouds import open_secret_store
from handlers.compiled import is_in_use
from handlers.hardening import harden_process, settle_memory
from handlers.messages import speak_of_failures
from handlers.provider.credentials import Credentials, load_credentials
from handlers.provider.kinds import ServedEndpoint
from handlers.provider.room import ProviderRoom
from handlers.settings import PodSettings, SettingError, Variable
from handlers.telemetry.logs import Dependency, DependencyLost, Level, Log, Room, Started, Stopped, identifier
from handlers.transport.client import UpstreamPool
from handlers.transport.wire_server import WireServer

DRAIN_S = 600.0
"""Streams that are open at SIGTERM may go on for so long (security.md 4.4)."""
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def serve(settings: PodSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises SettingError, CatalogError or OSError when the pod cannot start."""
    harden_process()
    speak_of_failures()
    uvloop.run(_serve(settings))


async def _serve(settings: PodSettings) -> None:
    level = Level(settings.deployment.log_level)
    log = Log(level)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: _tell_fault(log, context))
    catalog = pod_catalog(settings)
    provider = catalog.providers[settings.provider]
    base_url = choose_address(provider, settings)
    store = open_secret_store(settings.deployment)

    def load() -> Credentials:
        return load_credentials(provider, base_url, settings.deployment, store, log)

    async def renew() -> None:
        await asyncio.to_thread(store.refresh)
        try:
            room.renew_credentials(load())
        except SettingError:  # the last good ones stay in use
            log.emit(DependencyLost(level=Level.ERROR, dependency=Dependency.SECRETS, name=identifier(provider.slug)))

    pool = UpstreamPool()
    room = ProviderRoom(load(), served_endpoints(catalog, provider), pool, log, verbose=level is Level.DEBUG)
    server = WireServer(room.serve, on_fault=lambda error: log.fault(Room.PROVIDER, error))
    address = await server.listen(settings.listen)
    settle_memory()
    log.emit(
        Started(
            room=Room.PROVIDER,
            listen=identifier(address),
            provider=identifier(provider.slug),
            compiled=is_in_use(),
        )
    )
    await _until_terminated(renew, settings.deployment.secrets_refresh_s)
    told_at = monotonic()
    await server.drain(DRAIN_S)
    log.emit(Stopped(room=Room.PROVIDER, drained=monotonic() - told_at < DRAIN_S))
    await pool.close()


def _tell_fault(log: Log, context: dict[str, Any]) -> None:
    """What nobody caught: its type and place, never the traceback that the loop would print."""
    error = context.get("exception")
    if isinstance(error, BaseException):
        log.fault(Room.PROVIDER, error)


async def _until_terminated(renew: Callable[[], Coroutine[None, None, None]], refresh_s: float) -> None:
    """Wait for SIGTERM or SIGINT; renew at each SIGHUP and after so many seconds without one, one renewal at a time."""
    told: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(name, told.put_nowait, name)
    while True:
        try:
            heard = await asyncio.wait_for(told.get(), refresh_s)
        except TimeoutError:
            heard = signal.SIGHUP
        if heard is not signal.SIGHUP:
            return
        await renew()


def pod_catalog(settings: PodSettings) -> Catalog:
    """The region's catalogue, reduced to this pod's provider; models found at run time included."""
    slug = settings.provider
    catalog = load_catalog(settings.deployment.region, enabled=frozenset({slug}))
    if settings.models:
        found = msgspec.json.decode(Path(settings.models).read_bytes(), type=dict[str, list[str]])
        if slug in found:
            catalog = with_models(catalog, slug, found[slug])
    return catalog


def served_endpoints(catalog: Catalog, provider: Provider) -> dict[str, ServedEndpoint]:
    """The provider's endpoints by id, and nobody else's."""
    return {
        endpoint.id: ServedEndpoint.of(provider, endpoint)
        for model in catalog.models.values()
        for endpoint in model.endpoints
        if endpoint.provider == provider.slug
    }


def choose_address(provider: Provider, settings: PodSettings) -> str:
    """Where the provider is called: the catalogue's address, or an override that cannot send anything elsewhere.

    An override is on this machine, or fills the placeholders of the catalogue's address, or the provider is self-hosted.
    """
    address = settings.base_url or provider.base_url
    template = re.escape(provider.base_url)
    filled = re.fullmatch(re.sub(r"\\\{[a-z_]+\\\}", "[A-Za-z0-9-]{1,63}", template), address)
    host = urlsplit(address).hostname
    if (host or "").rstrip(".") in hosts_elsewhere(settings.deployment.region):
        raise SettingError(f"{Variable.BASE_URL} is an address that only the other region calls (region_restricted)")
    if not (filled or host in _LOOPBACK or (provider.country == "--" and host)):
        raise SettingError(
            f"{Variable.BASE_URL} must be on this machine or fill the placeholders of {provider.base_url}"
        )
    return address.rstrip("/")
