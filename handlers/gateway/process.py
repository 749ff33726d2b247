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
from handlers.clouds import KeptSecrets, SecretError, SecretStore, open_secret_store
from handlers.clouds.epoch import announced_epoch
from handlers.gateway.makers import PURPOSE
from handlers.gateway.room import POD_CONNECTIONS_MAX, Gateway
from handlers.gateway.spool import Spool
from handlers.hardening import harden_process, settle_memory
from handlers.keys.grammar import MintKeys
from handlers.keys.hashing import BcryptPool
from handlers.keys.verification import KeyVerifier
from handlers.settings import GatewaySettings
from handlers.store.dsn import Dsn, dsn_of
from handlers.store.gateway import GatewayStore
from handlers.store.pool import Pool
from handlers.telemetry.logs import Dependency, DependencyLost, Level, Log, identifier
from handlers.transport.wire_client import WireClient

DRAIN_S = 600.0
"""Streams that are open at SIGTERM may go on for so long (security.md 4.4)."""


def serve(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises SettingError, CatalogError or OSError when the gateway cannot start."""
    harden_process()
    uvloop.run(_serve(settings))


async def _serve(settings: GatewaySettings) -> None:
    secrets = open_secret_store(settings.deployment)
    gateway, pool = build(settings, secrets)
    await run(gateway, pool, settings, secrets)


async def run(gateway: Gateway, pool: Pool, settings: GatewaySettings, secrets: KeptSecrets | None = None) -> None:
    """Serve with a room that is built, until SIGTERM or SIGINT; then drain. At SIGHUP and now and then, read the secrets again."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(gateway.loop_fault)
    await gateway.start(settings.listen, settings.operator_listen)
    settle_memory()
    told = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, told.set)
    if secrets is not None:
        loop.add_signal_handler(signal.SIGHUP, lambda: gateway.spawn(renew(gateway, pool, settings, secrets)))
        gateway.spawn(_keep_renewing(gateway, pool, settings, secrets))
    await told.wait()
    await gateway.stop(DRAIN_S)
    pool.close()


async def _keep_renewing(gateway: Gateway, pool: Pool, settings: GatewaySettings, secrets: KeptSecrets) -> None:
    while True:
        await asyncio.sleep(settings.deployment.secrets_refresh_s)
        try:
            await renew(gateway, pool, settings, secrets)
        except (SecretError, ValueError):
            gateway.log.emit(DependencyLost(level=Level.ERROR, dependency=Dependency.SECRETS))


async def renew(gateway: Gateway, pool: Pool, settings: GatewaySettings, secrets: KeptSecrets) -> None:
    """Read all secrets again and use them from now on: a rotation needs no restart and breaks no stream.

    What cannot be read keeps its last good value, and so does everything while one of them is malformed, but for the announcement
    of a restore: that one waits for nothing.
    """
    stale = await asyncio.to_thread(secrets.refresh)
    for name in stale:
        gateway.log.emit(DependencyLost(level=Level.WARNING, dependency=Dependency.SECRETS, name=identifier(name)))
    gateway.revocation.restoration.epoch_outside = announced_epoch(secrets)
    mint_keys = _mint_keys(secrets)
    wire_keys = {slug: _wire_key(secrets, slug) for slug in settings.providers}
    pool.renew(_dsn(settings, secrets))
    gateway.verifier.renew(mint_keys)
    gateway.makers.renew(gateway.verifier.subkeys(PURPOSE))
    gateway.wire_keys.update(wire_keys)


def _dsn(settings: GatewaySettings, secrets: SecretStore) -> Dsn:
    password = secrets.get(f"database/{settings.database.role}").text()
    return dsn_of(settings.database, password, local=settings.deployment.cloud == "local")


def build(settings: GatewaySettings, secrets: KeptSecrets | None = None) -> tuple[Gateway, Pool]:
    """The room and its database pool, from settings and secrets."""
    deployment = settings.deployment
    secrets = secrets or open_secret_store(deployment)
    epoch = announced_epoch(secrets)
    pool = Pool(_dsn(settings, secrets))
    store = GatewayStore(pool, pod=settings.listen[-64:])
    gateway = Gateway(
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
        behind_edge=deployment.cloud != "local",
    )
    gateway.revocation.restoration.epoch_outside = epoch
    return gateway, pool


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
