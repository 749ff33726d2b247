"""The operations room's way into the database: one connection, one role, opened when a function first needs it."""

from __future__ import annotations

import functools

from handlers.clouds import open_secret_store
from handlers.settings import FunctionSettings
from handlers.store.dsn import dsn_of
from handlers.store.operations import OperationsStore
from handlers.store.pool import Pool


@functools.cache
def open_store() -> OperationsStore:
    """The store of this process, kept between calls."""
    settings = FunctionSettings.parse()
    deployment, database = settings.deployment, settings.database
    password = open_secret_store(deployment).get(f"database/{database.role}").text()
    return OperationsStore(Pool(dsn_of(database, password, local=deployment.cloud == "local"), connections_max=1))
