"""How the other commands reach a running system: as the founder over the database's socket, with the secrets from their files.

Who can read those files owns the machine; no room has this role (migrations/0700).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

import msgspec

from handlers.keys.grammar import MintKeys, generate_key
from handlers.keys.hashing import hash_secret
from handlers.keys.principal import KeyLimits
from handlers.local.aws import read_secret
from handlers.local.home import Home
from handlers.local.system import DATABASE, ENVIRONMENT, Running
from handlers.store.admin import AdminStore
from handlers.store.dsn import Dsn
from handlers.store.logins import read_login
from handlers.store.pool import Pool

LOCAL_TENANT = uuid.UUID("00000000-0000-7000-8000-00006c6f6361")
LOCAL_USER = uuid.UUID("00000000-0000-7000-8000-000075736572")
LOCAL_EMAIL = "you@localhost"
LOCAL_CREDIT_NANO = 100 * 1_000_000_000
"""What the local tenant starts with, so that paid providers can be tried; adjusted, not paid."""


class NotRunning(RuntimeError):
    """No system is up in this folder."""


@dataclass(frozen=True)
class Access:
    """One open way to a running system."""

    home: Home
    running: Running
    store: AdminStore
    pool: Pool

    @classmethod
    def open(cls, home: Home) -> Access:
        """Connect, or raise NotRunning with the remedy."""
        if not home.running.exists():
            raise NotRunning("nothing is running here; start it with `make up` (or `therouter up`) in another terminal")
        running = msgspec.json.decode(home.running.read_bytes(), type=Running)
        pool = open_pool(home.secrets, running, "founder")
        return cls(home, running, AdminStore(pool), pool)

    def close(self) -> None:
        """Let go of the database."""
        self.pool.close()

    def ensure_tenant(self) -> bool:
        """Make the local tenant and its user if they are not there; True when they were made now."""
        if any(tenant.tenant_id == str(LOCAL_TENANT) for tenant in self.store.list_tenants()):
            return False
        self.store.create_tenant(str(LOCAL_TENANT), "local")
        self.store.create_user(str(LOCAL_USER), str(LOCAL_TENANT), LOCAL_EMAIL, "owner")
        self.store.adjust_credit("local-start", str(LOCAL_TENANT), LOCAL_CREDIT_NANO, "local")
        return True

    def create_key(self, name: str, limits: KeyLimits | None = None, expires_at: int | None = None) -> str:
        """Make a key for the local user; the token is returned once and stored nowhere."""
        mint_keys = MintKeys.parse(read_secret(self.home.secrets, "keys/mint"))
        made = generate_key(self.running.region, ENVIRONMENT, mint_keys)
        self.store.create_key(
            made.key_id,
            str(LOCAL_TENANT),
            str(LOCAL_USER),
            name,
            hash_secret(made.secret),
            limits=limits,
            expires_at=expires_at,
        )
        return made.token

    def create_management_key(self, name: str) -> str:
        """Make the local tenant's first management key; Conflict when it has one that works."""
        made = generate_key(
            self.running.region, ENVIRONMENT, MintKeys.parse(read_secret(self.home.secrets, "keys/mint"))
        )
        self.store.create_first_management_key(
            made.key_id, str(LOCAL_TENANT), str(LOCAL_USER), name, hash_secret(made.secret)
        )
        return made.token


def open_pool(folder: Path, running: Running, role: str) -> Pool:
    """One connection to the database that runs here, as a role whose password is in this folder of secrets."""
    login = read_login(role, read_secret(folder, f"database/{role}").decode())
    dsn = Dsn(
        user=login.user,
        password=login.password,
        database=DATABASE,
        socket_dir=running.database_folder,
        port=running.database_port,
        local=True,
    )
    return Pool(dsn, connections_max=1)
