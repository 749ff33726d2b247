"""A database as a cloud makes it: empty, its master user no superuser; and the migrate function beside it."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from handlers.clouds.local import ORIGIN_FILE
from handlers.clouds.secrets import Origin
from handlers.local.postgres import PostgresServer
from handlers.store.connection import open_connection
from handlers.workloads import MASTER_USER

MASTER_PASSWORD = "made-up-" * 4


@contextmanager
def fresh_database() -> Iterator[PostgresServer]:
    home = Path(tempfile.mkdtemp(prefix="therouter-fresh-"))
    server = PostgresServer(home / "data", port=0, socket_dir=home / "s", durable=False)
    try:
        server.start()
        with closing(open_connection(server.superuser(), timeout_s=10)) as connection:
            connection.run(f"create role {MASTER_USER} login createrole createdb password '{MASTER_PASSWORD}'")
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)


def another(server: PostgresServer) -> str:
    """One more empty database; its name."""
    name = f"fresh_{secrets.token_hex(4)}"
    with closing(open_connection(server.superuser(), timeout_s=10)) as connection:
        connection.run(f"create database {name} owner {MASTER_USER}")
    return name


def environment(
    server: PostgresServer, name: str, folder: Path, region: str, values: Mapping[str, str]
) -> dict[str, str]:
    """What the function is told, with the secrets of its row in a folder."""
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / ORIGIN_FILE).write_bytes(msgspec.json.encode(Origin(region, "production")))
    for secret, value in values.items():
        path = folder / secret
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(value)
        path.chmod(0o600)
    return {
        "THEROUTER_CLOUD": "local",
        "THEROUTER_REGION": region,
        "THEROUTER_ENVIRONMENT": "production",
        "THEROUTER_SECRETS": str(folder),
        "THEROUTER_DATABASE_HOST": str(server.socket_dir),
        "THEROUTER_DATABASE_PORT": str(server.port),
        "THEROUTER_DATABASE_NAME": name,
        "THEROUTER_DATABASE_ROLE": MASTER_USER,
    }
