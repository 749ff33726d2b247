"""The gateway as a process: reads its settings and secrets, builds the room, serves until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import msgspec
import uvloop

from handlers.catalog.discovery import with_models
from handlers.catalog.elsewhere import models_elsewhere
from handlers.catalog.entries import Catalog
from handlers.catalog.loading import load_catalog
from handlers.clouds import SecretStore, open_secret_store
from handlers.gateway.room import POD_CONNECTIONS_MAX, Gateway
from handlers.gateway.spool import Spool
from handlers.hardening import harden_process, settle_memory
from handlers.keys.grammar import MintKeys
from handlers.keys.hashing import BcryptPool
from handlers.keys.verification import KeyVerifier
from handlers.settings import GatewaySettings
from handlers.store.dsn import dsn_of
from handlers.store.gateway import GatewayStore
from handlers.store.pool import Pool
from handlers.telemetry.logs import Level, Log
from handlers.transport.wire_client import WireClient

DRAIN_S = 600.0
"""Streams that are open at SIGTERM may go on for so long (security.md 4.4)."""


def serve(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises SettingError, CatalogError or OSError when the gateway cannot start."""
    harden_process()
    uvloop.run(_serve(settings))


async def _serve(settings: GatewaySettings) -> None:
    gateway, pool = build(settings)
    await run(gateway, pool, settings)


async def run(gateway: Gateway, pool: Pool, settings: GatewaySettings) -> None:
    """Serve with a room that is built, until SIGTERM or SIGINT; then drain."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(gateway.loop_fault)
    await gateway.start(settings.listen, settings.operator_listen)
    settle_memory()
    told = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, told.set)
    await told.wait()
    await gateway.stop(DRAIN_S)
    pool.close()


def build(settings: GatewaySettings) -> tuple[Gateway, Pool]:
    """The room and its database pool, from settings and secrets."""
    deployment = settings.deployment
    secrets = open_secret_store(deployment)
    dsn = dsn_of(
        settings.database, secrets.get(f"database/{settings.database.role}").text(), local=deployment.cloud == "local"
    )
    pool = Pool(dsn)
    store = GatewayStore(pool, pod=settings.listen[-64:])
    return (
        Gateway(
            catalog=_catalog(settings),
            enabled=frozenset(settings.providers),
            store=store,
            verifier=KeyVerifier(
                find_key=store.find_key,
                bcrypt_pool=BcryptPool(),
                mint_keys=_mint_keys(secrets),
                region=deployment.region,
                environment=deployment.environment,
            ),
            wire_keys={slug: _wire_key(secrets, slug) for slug in settings.providers},
            pods={
                slug: WireClient(settings.wire.replace("{provider}", slug), connections_max=POD_CONNECTIONS_MAX)
                for slug in settings.providers
            },
            spool=Spool(Path(settings.spool)),
            log=Log(Level(deployment.log_level)),
        ),
        pool,
    )


def _catalog(settings: GatewaySettings) -> Catalog:
    catalog = load_catalog(settings.deployment.region, enabled=frozenset(settings.providers))
    models_elsewhere(settings.deployment.region)  # made now, so that no request waits for it
    if settings.models:
        found = msgspec.json.decode(Path(settings.models).read_bytes(), type=dict[str, list[str]])
        for provider, names in found.items():
            if provider in settings.providers:
                catalog = with_models(catalog, provider, names)
    return catalog


def _mint_keys(secrets: SecretStore) -> MintKeys:
    return MintKeys.parse(secrets.get("keys/mint").reveal())


def _wire_key(secrets: SecretStore, provider: str) -> bytes:
    return secrets.get(f"wire/{provider}").reveal()
