"""Brings the database up to date: migrations, the roles' passwords, and once the first tenant with its first management key.

It stands where the database can be reached, runs only when `therouter bootstrap` calls it, and is the one function that signs in
as the master user. The master's password is the database service's own secret, named in the event; the roles' passwords are
the secrets that their rooms read.
"""

from __future__ import annotations

from collections.abc import Mapping

import boto3
import msgspec

from handlers.clouds import open_secret_store
from handlers.keys.rotation import make_password
from handlers.operations.alarms import REGION
from handlers.operations.beginning import Founder, begin
from handlers.operations.journal import Outcome, read_event, report
from handlers.settings import FunctionSettings
from handlers.store.dsn import Dsn, dsn_of
from handlers.store.logins import read_login
from handlers.store.migrate import apply_migrations, set_passwords, take_password
from handlers.store.pool import Pool
from handlers.workloads import DATABASE_ROLES

FOUNDER = "founder"


class MigrateEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the master's password is, and who begins."""

    master_secret: str = ""
    founder: Founder | None = None


class Migrated(Outcome, frozen=True, kw_only=True):
    """The migrations that were applied now, the roles whose passwords were set, and whether somebody has begun."""

    applied: tuple[str, ...]
    roles: tuple[str, ...]
    founded: bool = False


class _MasterSecret(msgspec.Struct, frozen=True):
    password: str


def bring_up(settings: FunctionSettings, master_password: str, founder: Founder | None) -> Migrated:
    """All of it, as the master; safe to repeat, also while a rotation is under way: a secret says whose login it is."""
    secrets = open_secret_store(settings.deployment)
    logins = [read_login(role, secrets.get(f"database/{role}").text()) for role in DATABASE_ROLES]
    dsn = dsn_of(settings.database, master_password, local=settings.deployment.cloud == "local")
    applied = apply_migrations(dsn)
    set_passwords(dsn, {login.user: login.password for login in logins})
    founded = founder is not None and _begin(dsn, founder)
    return Migrated(applied=tuple(applied), roles=DATABASE_ROLES, founded=founded)


def _begin(master: Dsn, founder: Founder) -> bool:
    """Under a password that exists for this moment."""
    password = make_password().decode()
    set_passwords(master, {FOUNDER: password})
    pool = Pool(msgspec.structs.replace(master, user=FOUNDER, password=password), connections_max=1)
    try:
        return begin(pool, founder)
    finally:
        pool.close()
        take_password(master, FOUNDER)


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Called by the operator's bootstrap, and by nothing else."""
    wanted = read_event(event, MigrateEvent)
    answer = boto3.client("secretsmanager", region_name=REGION).get_secret_value(SecretId=wanted.master_secret)
    master = msgspec.json.decode(answer["SecretString"], type=_MasterSecret)
    return report(bring_up(FunctionSettings.parse(), master.password, wanted.founder))
