"""The operations room's way into the database: one connection, one role, opened when a function first needs it."""

from __future__ import annotations

import functools
import os

from handlers.clouds import KeptSecrets, open_secret_store
from handlers.clouds.epoch import announced_epoch
from handlers.clouds.renewal import Renewed
from handlers.settings import Deployment, FunctionSettings
from handlers.store.dsn import dsn_of
from handlers.store.operations import OperationsStore
from handlers.store.pool import Pool
from handlers.store.restoration import being_restored


def open_store() -> OperationsStore:
    """The store of this process, kept between calls."""
    return OperationsStore(open_pool())


def open_restored_store() -> OperationsStore:
    """The same for what acts upon customers and their rows: a retention, a person or a budget may be back that is no more.

    Raises:
        Unavailable: the database was put back, and what was revoked and purged since is not gone again.
    """
    store = open_store()
    if store.restore_epoch() < announced_epoch(open_secret_store(Deployment.parse(os.environ))):
        raise being_restored()
    return store


def open_pool() -> Pool:
    """The one connection of this process; the next one that it opens knows the password of that time."""
    return _pool().get()


@functools.cache
def _pool() -> Renewed[Pool]:
    settings = FunctionSettings.parse()
    deployment, database = settings.deployment, settings.database

    def make(secrets: KeptSecrets, before: Pool | None) -> Pool:
        secret = secrets.get(f"database/{database.role}").text()
        dsn = dsn_of(database, secret, local=deployment.cloud == "local")
        if before is None:
            return Pool(dsn, connections_max=1)
        before.renew(dsn)
        return before

    return Renewed(open_secret_store(deployment), deployment.secrets_refresh_s, make)
