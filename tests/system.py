"""The whole system as real processes, for tests: supervisor, database, pods and gateway over a scripted upstream."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from handlers.keys.grammar import MintKeys, generate_key
from handlers.keys.hashing import hash_secret
from handlers.keys.principal import KeyLimits
from handlers.local.access import Access
from handlers.local.aws import read_secret
from handlers.local.home import Home
from handlers.local.system import LocalSystem, Options
from tests.acceptance.cast import PLAYED, REGION

CANARY = os.environ.get("THEROUTER_TEST_CANARY", "")
"""What only this region's run is told (tests/faults/sovereignty.py)."""
KEPT = os.environ.get("THEROUTER_TEST_ROOT", "")
"""Folder in which systems leave what they wrote; empty: nothing is left."""
CREDENTIAL = f"upstream-credential-of-the-tests{CANARY}"


@dataclass
class RunningSystem:
    """A system that serves, and the way into its control plane."""

    local: LocalSystem
    access: Access

    @property
    def port(self) -> int:
        """The gateway's port on 127.0.0.1."""
        return self.local.port

    @property
    def url(self) -> str:
        """The gateway's address."""
        return self.local.url

    def new_key(self, name: str = "test", limits: KeyLimits | None = None) -> str:
        """A fresh API key of the local tenant."""
        return self.access.create_key(f"{name}{CANARY}", limits)

    def new_account(self, name: str, credit_nano: int = 10**12) -> str:
        """A fresh API key of a tenant of its own."""
        store, tenant, user = self.access.store, str(uuid.uuid4()), str(uuid.uuid4())
        store.create_tenant(tenant, name)
        store.create_user(user, tenant, f"owner@{tenant}.example", "owner")
        if credit_nano:
            store.adjust_credit(f"start-{tenant}", tenant, credit_nano, "local")
        mint_keys = MintKeys.parse(read_secret(self.access.home.secrets, "keys/mint"))
        made = generate_key(self.access.running.region, "local", mint_keys)
        store.create_key(made.key_id, tenant, user, name, hash_secret(made.secret))
        return made.token

    def logs(self) -> str:
        """What all processes have said so far."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.local.home.logs.glob("*.log")))


@contextmanager
def running_system(
    addresses: Mapping[str, str],
    *,
    region: str = REGION,
    log_level: str = "info",
    secrets_refresh_s: int = 60,
    sign_in: bool = False,
    payments: bool = False,
) -> Iterator[RunningSystem]:
    """Start everything with these providers (slug -> base URL of the upstream that plays them); stop it at the end."""
    assert region in PLAYED, f"a run of {REGION} starts no system of {region}"
    # Short and passable: the database's own user has to get to its sockets.
    root = Path(tempfile.mkdtemp(prefix="tr-", dir=KEPT or "/tmp"))
    root.chmod(0o711)
    options = Options(
        region=region,
        port=0,
        model=False,
        addresses=dict(addresses),
        credentials=dict.fromkeys(addresses, CREDENTIAL),
        durable=False,
        log_level=log_level,
        secrets_refresh_s=secrets_refresh_s,
        sign_in=sign_in,
        payments=payments,
    )
    local = LocalSystem(Home(root / region), options)
    try:
        local.start()
        access = Access.open(local.home)
        try:
            access.ensure_tenant()
            yield RunningSystem(local, access)
        finally:
            access.close()
    finally:
        local.stop()
        if not KEPT:
            shutil.rmtree(root, ignore_errors=True)
