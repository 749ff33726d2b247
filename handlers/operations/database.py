"""The operations room's way into the database: one connection, one role, opened when a function first needs it."""

from __future__ import annotations

import functools

from handlers.clouds import KeptSecrets, open_secret_store
from handlers.clouds.renewal import Renewed
from handlers.settings import FunctionSettings
from handlers.store.dsn import dsn_of
from handlers.store.operations import OperationsStore
from handlers.store.pool import Pool


def open_store() -> OperationsStore:
    """The store of this process, kept between calls."""
    return OperationsStore(open_pool())


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
