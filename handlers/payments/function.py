"""The deployed function: `handler(event, context)` answers one ALB event under /payments/*, or does what a schedule asks.

In a cloud the room is put together when the process starts, so that a missing, default or short secret fails the deployment and
not a customer; elsewhere at the first call.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from handlers.clouds import KeptSecrets, open_secret_store
from handlers.clouds.epoch import announced_epoch
from handlers.clouds.renewal import Renewed
from handlers.keys.grammar import MintKeys
from handlers.keys.hashing import BcryptPool
from handlers.keys.verification import KeyVerifier
from handlers.payments.authentication import KeyAuthenticator
from handlers.payments.composition import Room, mode_of, open_company, open_room
from handlers.payments.questions import PASSES, PAUSE_S, make_passes
from handlers.settings import FunctionSettings, SettingError, Variable
from handlers.store.dsn import Dsn, dsn_of
from handlers.store.payments import PaymentStore
from handlers.store.pool import Pool
from handlers.store.restoration import RestoreGate, Watch
from handlers.telemetry.logs import Level, Log

MINT_SECRET = "keys/mint"  # noqa: S105 -- the name of a secret
PLATFORMS = ("AWS_LAMBDA_FUNCTION_NAME", "FC_FUNCTION_NAME")
"""Set by Lambda and by Function Compute."""


def open_deployed_room(environment: Mapping[str, str]) -> Room:
    """The room of these settings.

    Raises:
        SettingError: a setting or a secret is missing or wrong; the message names it.
        SecretError: a secret cannot be read.
    """
    settings = FunctionSettings.parse(environment)
    return _deploy(open_secret_store(settings.deployment, environment), settings, environment).room


class Deployed(NamedTuple):
    """The room, and what of it is renewed in place when secrets are rotated."""

    room: Room
    pool: Pool
    keys: KeyVerifier


def _deploy(secrets: KeptSecrets, settings: FunctionSettings, environment: Mapping[str, str]) -> Deployed:
    deployment = settings.deployment
    company, wallet = open_company(
        deployment,
        lambda name: secrets.get(name).reveal(),
        public_url=settings.public_url,
        base_url=environment.get(Variable.BASE_URL, ""),
    )
    mint_keys = _mint_keys(secrets)
    pool = Pool(_dsn(secrets, settings))
    store = PaymentStore(pool)
    verifier = KeyVerifier(
        find_key=store.find_key,
        bcrypt_pool=BcryptPool(),
        mint_keys=mint_keys,
        region=deployment.region,
        environment=deployment.environment,
    )
    authenticator = KeyAuthenticator(verifier, store.role)
    room = open_room(
        store,
        company,
        wallet,
        authenticator,
        RestoreGate(Watch(pool), authenticator.verifier, announced_epoch(secrets)),
        mode=mode_of(deployment),
        log=Log(Level(deployment.log_level)),
    )
    return Deployed(room, pool, verifier)


def _mint_keys(secrets: KeptSecrets) -> MintKeys:
    try:
        return MintKeys.parse(secrets.get(MINT_SECRET).reveal())
    except ValueError as error:
        raise SettingError(f"secret {MINT_SECRET}: {error}") from None


def _dsn(secrets: KeptSecrets, settings: FunctionSettings) -> Dsn:
    secret = secrets.get(f"database/{settings.database.role}").text()
    return dsn_of(settings.database, secret, local=settings.deployment.cloud == "local")


@functools.cache
def _deployed() -> Renewed[Deployed]:
    settings = FunctionSettings.parse(os.environ)

    def make(secrets: KeptSecrets, before: Deployed | None) -> Deployed:
        """What rotates is renewed in place. The company's credentials are put by a person, who deploys the room again."""
        if before is None:
            return _deploy(secrets, settings, os.environ)
        before.room.gate.announce(announced_epoch(secrets))  # whatever else is malformed
        before.keys.renew(_mint_keys(secrets))
        before.pool.renew(_dsn(secrets, settings))
        return before

    return Renewed(open_secret_store(settings.deployment), settings.deployment.secrets_refresh_s, make)


def room() -> Room:
    """The room of this process."""
    return _deployed().get().room


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Answer one ALB event, or do what a schedule asks for, which no load balancer can send.

    A schedule's work fails while the database is one that was put back, and is done the next time: it would charge for standing
    orders that were ended since.

    {"task": "repair", "passes": 3, "pause_s": 20}    every minute; see `questions`
    {"task": "reconcile", "day": "2026-11-22"}        every day, by default for all that are due; see `reconciliation`
    """
    match event.get("task"):
        case "repair":
            room().gate.check()
            passes, pause_s = int(event.get("passes", PASSES)), float(event.get("pause_s", PAUSE_S))
            return msgspec.structs.asdict(make_passes(room().questions, passes, pause_s))
        case "reconcile":
            room().gate.check()
            reconciliation, day = room().reconciliation, event.get("day")
            return msgspec.structs.asdict(reconciliation.run(day) if day else reconciliation.run_due(time.time()))
        case _:
            return room().answer(event, context)


if any(name in os.environ for name in PLATFORMS):
    room()
