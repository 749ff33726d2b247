"""The deployed function: `handler(event, context)` answers one ALB event under /admin/*.

In a cloud the room is put together when the process starts, so that a missing or malformed secret fails the deployment and not
a customer; elsewhere at the first call.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from handlers.admin.cookies import Cookies
from handlers.admin.identity import Issuer
from handlers.admin.room import Room
from handlers.admin.routing import open_resolver
from handlers.admin.scanning import Scanner
from handlers.clouds import KeptSecrets, open_secret_store
from handlers.clouds.epoch import announced_epoch
from handlers.clouds.mail import open_mailbox
from handlers.clouds.renewal import Renewed
from handlers.clouds.resolver import IsolatedResolver
from handlers.keys.digests import DigestKeys
from handlers.keys.grammar import MintKeys
from handlers.keys.hashing import BcryptPool
from handlers.keys.sealing import SealingKey, parse_public_keys
from handlers.keys.verification import KeyVerifier
from handlers.keys.waiting import WaitingVerifier
from handlers.settings import Doors, FunctionSettings, SettingError
from handlers.store.control import ControlStore
from handlers.store.dsn import Dsn, dsn_of
from handlers.store.gateway import GatewayStore
from handlers.store.pool import Pool
from handlers.store.restoration import RestoreGate, Watch
from handlers.telemetry.logs import Level, Log

PLATFORMS = ("AWS_LAMBDA_FUNCTION_NAME", "FC_FUNCTION_NAME")
"""Set by Lambda and by Function Compute."""


class Deployed(NamedTuple):
    """The room, and what of it is renewed in place when secrets are rotated."""

    room: Room
    resolver: IsolatedResolver
    pool: Pool
    keys: KeyVerifier


def open_deployed_room(environment: Mapping[str, str]) -> Room:
    """The room of these settings.

    Raises:
        SettingError: a setting or a secret is missing or wrong; the message names it.
        SecretError: a secret cannot be read.
    """
    settings = FunctionSettings.parse(environment)
    return _deploy(open_secret_store(settings.deployment, environment), settings, environment).room


def _deploy(secrets: KeptSecrets, settings: FunctionSettings, environment: Mapping[str, str]) -> Deployed:
    deployment = settings.deployment
    doors = Doors.parse(environment, deployment)
    mint_keys, sealing_keys, digests = _read_keys(secrets)
    pool = Pool(_dsn(secrets, settings))
    keys = KeyVerifier(
        find_key=GatewayStore(pool, pod="admin").find_key,
        bcrypt_pool=BcryptPool(),
        mint_keys=mint_keys,
        region=deployment.region,
        environment=deployment.environment,
    )
    verifier = WaitingVerifier(keys)
    room = Room(
        region=deployment.region,
        environment=deployment.environment,
        behind_edge=deployment.cloud != "local",
        public_url=settings.public_url,
        store=ControlStore(pool),
        verifier=verifier,
        gate=RestoreGate(Watch(pool), verifier, announced_epoch(secrets)),
        mint_keys=mint_keys,
        sealing_keys=sealing_keys,
        digests=digests,
        log=Log(Level(deployment.log_level)),
        cookies=Cookies(secure=not settings.public_url.startswith("http://127.0.0.1")),
        issuer=open_issuer(doors, settings.public_url, digests.newest_first()),
        scanner=Scanner(doors.scanning_keys) if doors.scanning_keys else None,
        mailbox=open_mailbox(deployment, environment),
    )
    return Deployed(room, open_resolver(room), pool, keys)


def _renew(secrets: KeptSecrets, settings: FunctionSettings, before: Deployed) -> Deployed:
    """The same room with the secrets that rotate; requests under way end with those that they began with."""
    before.room.gate.announce(announced_epoch(secrets))  # whatever else is malformed
    mint_keys, sealing_keys, digests = _read_keys(secrets)
    if before.room.issuer is not None:
        before.room.issuer.renew(digests.newest_first())
    before.pool.renew(_dsn(secrets, settings))
    before.keys.renew(mint_keys)
    room = replace(before.room, mint_keys=mint_keys, sealing_keys=sealing_keys, digests=digests)
    return Deployed(room, open_resolver(room), before.pool, before.keys)


def _read_keys(secrets: KeptSecrets) -> tuple[MintKeys, dict[str, SealingKey], DigestKeys]:
    try:
        return (
            MintKeys.parse(secrets.get("keys/mint").reveal()),
            parse_public_keys(secrets.get("seal/public").reveal()),
            DigestKeys.parse(secrets.get("audit/digest").reveal()),
        )
    except ValueError as error:
        raise SettingError(f"a secret of the admin room is malformed: {error}") from None


def _dsn(secrets: KeptSecrets, settings: FunctionSettings) -> Dsn:
    secret = secrets.get(f"database/{settings.database.role}").text()
    return dsn_of(settings.database, secret, local=settings.deployment.cloud == "local")


def open_issuer(doors: Doors, public_url: str, keys: tuple[bytes, ...]) -> Issuer | None:
    """The identity provider, if one is set; SettingError for one that cannot be used."""
    if not doors.issuer:
        return None
    return Issuer(
        doors.issuer,
        doors.issuer_client,
        callback=f"{public_url}/admin/sign-in/callback",
        keys=keys,
        groups=doors.groups,
        hosts=doors.hosts,
    )


@functools.cache
def _deployed() -> Renewed[Deployed]:
    settings = FunctionSettings.parse(os.environ)
    deployment = settings.deployment

    def make(secrets: KeptSecrets, before: Deployed | None) -> Deployed:
        return _renew(secrets, settings, before) if before else _deploy(secrets, settings, os.environ)

    return Renewed(open_secret_store(deployment), deployment.secrets_refresh_s, make)


def resolver() -> IsolatedResolver:
    """The resolver of this process, as the secrets are now."""
    return _deployed().get().resolver


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Answer one ALB event."""
    return resolver().resolve(event, context)


if any(name in os.environ for name in PLATFORMS):
    resolver()
