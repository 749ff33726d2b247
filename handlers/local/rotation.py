"""`therouter rotate`: a secret is replaced, step by step and while requests go on, by the code that does it in the clouds.

Here the files are the truth: each step changes them, and the supervisor gives them to the stand-in and tells every process to read
its secrets again. What waits for minutes and days in a cloud waits for seconds here.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from handlers.clouds.local_keeping import LocalKeeper
from handlers.keys.sealing import parse_public_rows
from handlers.local.access import Access, open_pool
from handlers.local.aws import read_secret
from handlers.local.home import Home
from handlers.local.system import LocalSystem, Running
from handlers.operations.renewal import RenewalEvent, SecretsRenewed, renew, rotated_secrets
from handlers.store.rotation import RotationStore

SETTLE_S, RETIRE_S = 5, 10
PATIENCE_S = 300.0
NEVER_DAYS = 36_500
LAST_STEP = {
    "keys": "use",
    "seal": "retire",
    "wire": "retire",
    "database": "close",
    "audit/checkpoint": "retire",
    "audit/digest": "use",
}
"""Of each kind, or of each secret: after it nothing of the old version is left."""


def rotate(options: argparse.Namespace) -> int:
    """`therouter rotate NAME`: keys/mint, seal/<provider>, wire/<provider>, audit/checkpoint, audit/digest, or database/<role>."""
    access = Access.open(Home.of(options.region))
    access.close()
    folder, running = access.home.secrets, access.running
    if options.name not in rotated_secrets(sorted(parse_public_rows(read_secret(folder, "seal/public")))):
        print(
            "therouter: what rotates is keys/mint, seal/<provider>, wire/<provider>, audit/* and database/<role>",
            file=sys.stderr,
        )
        return 1
    if rotate_until_done(folder, running, options.name, lambda step: print(step, flush=True)):
        return 0
    print("therouter: it is not done yet; the same command goes on with it", file=sys.stderr)
    return 1


def rotate_until_done(folder: Path, running: Running, name: str, tell: Callable[[str], None]) -> bool:
    """Take step after step until nothing of the old version is left; False when that takes too long."""
    begin: tuple[str, ...] = (name,)
    deadline = time.monotonic() + PATIENCE_S
    last = f"{name}:{LAST_STEP.get(name) or LAST_STEP[name.partition('/')[0]]}"
    while time.monotonic() < deadline:
        done = take_steps(folder, running, begin)
        for step in done.steps:
            tell(step)
        if done.failed:
            return False
        if any(step.startswith(f"{name}:") for step in done.steps):
            begin = ()
            os.kill(running.supervisor, signal.SIGUSR1)
        if last in done.steps:
            return True
        time.sleep(1.0)
    return False


def take_steps(folder: Path, running: Running, begin: tuple[str, ...]) -> SecretsRenewed:
    """One run of the rotation, over the files of this machine."""
    event = RenewalEvent(rotate_after_days=NEVER_DAYS, settle_s=SETTLE_S, retire_s=RETIRE_S, begin=begin)
    with closing(open_pool(folder, running, "rotation")) as pool:
        return renew(
            LocalKeeper(folder), lambda name: read_secret(folder, name), RotationStore(pool), event, datetime.now(UTC)
        )


def renew_secrets(system: LocalSystem) -> None:
    """Everybody is to use the secrets as their files are now."""
    if system.aws is not None:
        system.aws.renew()
    payments = [system.payments.server] if system.payments is not None else []
    admin = [system.admin.server] if system.admin is not None else []
    functions = [child for child in (*admin, system.schedules, *payments) if child is not None]
    for child in (*system.pods.values(), system.gateway, *system.replicas, *functions):
        if child.running:
            os.kill(child.pid, signal.SIGHUP)
