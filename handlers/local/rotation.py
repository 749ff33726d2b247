"""`therouter rotate`: the next version of a secret, and every process told, while requests go on."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from handlers.keys.rotation import make_password, rotate_mint_keys, rotate_sealing_keys
from handlers.local.access import Access
from handlers.local.aws import ROLES, ensure_secrets, read_secret
from handlers.local.home import Home
from handlers.local.system import DATABASE, ENVIRONMENT, LocalSystem
from handlers.store.migrate import set_passwords


def rotate(options: argparse.Namespace) -> int:
    """`therouter rotate NAME`: keys/mint, seal/<provider>, or database/<role>."""
    access = Access.open(Home.of(options.region))
    access.close()
    folder = access.home.secrets
    try:
        replace_secret(folder, options.name, next_version(folder, options.name))
    except ValueError as error:
        print(f"therouter: {error}", file=sys.stderr)
        return 1
    os.kill(access.running.supervisor, signal.SIGUSR1)
    print(f"{options.name} has a new version; all processes use it within seconds")
    return 0


def next_version(folder: Path, name: str) -> bytes:
    """What follows a secret; ValueError for one that does not rotate here."""
    kind, _, subject = name.partition("/")
    if name == "keys/mint":
        return rotate_mint_keys(read_secret(folder, name))
    if kind == "seal" and subject != "public":
        return rotate_sealing_keys(read_secret(folder, name))
    if kind == "database" and subject in ROLES:
        return make_password()
    raise ValueError("what rotates here is keys/mint, seal/<provider> and database/<role>")


def replace_secret(folder: Path, name: str, content: bytes) -> None:
    """Put a new value into a secret's file, whole or not at all."""
    path = folder / name
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)


def renew_secrets(system: LocalSystem) -> None:
    """Use the secrets as their files are now: pods and gateway read them again, the others start again."""
    secrets = ensure_secrets(system.home.secrets, system.options.region, ENVIRONMENT, system.enabled)
    if system.aws is not None:
        system.aws.renew()
    set_passwords(system.postgres.superuser(DATABASE), {role: secrets[f"database/{role}"] for role in ROLES})
    for child in (*system.pods.values(), system.gateway):
        os.kill(child.pid, signal.SIGHUP)
    for function in (system.admin, system.schedules):
        if function is not None:
            function.stop()
            function.start()
