"""`therouter restore`: after a database was put back, what was revoked and purged since is taken away again before any request.

therouter restore begin      rooms with a database stop serving until the procedure is done (the epoch is a file beside it)
...                          put the old database back, start the system
therouter restore replay     take away again what the diary tells; then all serve
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from handlers.audit.notes import parse_signing_key
from handlers.clouds.epoch import EPOCH
from handlers.clouds.local_keeping import write_private
from handlers.local.access import Access, NotRunning, open_pool
from handlers.local.aws import read_secret
from handlers.local.home import Home
from handlers.local.schedules import RETENTION
from handlers.local.system import Running
from handlers.operations.purge import PurgeEvent
from handlers.operations.restore import Restored, restore
from handlers.operations.sealing import Sealer
from handlers.store.operations import OperationsStore


class _Noted(msgspec.Struct):
    outcome: str
    entries: tuple[str, ...] | int = ()


def begin(options: argparse.Namespace) -> int:
    """`therouter restore begin`."""
    home = Home.of(options.region)
    epoch = announce(home.secrets)
    try:
        access = Access.open(home)
        access.close()
        os.kill(access.running.supervisor, signal.SIGUSR1)
    except NotRunning:
        pass
    print(f"epoch {epoch}: rooms with a database refuse requests until `therouter restore replay`; now put it back")
    return 0


def replay(options: argparse.Namespace) -> int:
    """`therouter restore replay [--diary FILE]`."""
    access = Access.open(Home.of(options.region))
    access.close()
    diary = Path(options.diary) if options.diary else access.home.diary
    try:
        entries = read_diary(diary)
    except OSError as error:
        print(f"therouter: {diary} cannot be read ({error.strerror})", file=sys.stderr)
        return 1
    done = replay_entries(access.home.secrets, access.running, entries)
    print(f"{done.entries} entries replayed, {done.rows} rows purged; all rooms serve in epoch {done.epoch}")
    return 0


def announce(folder: Path) -> int:
    """The next epoch, written outside the database."""
    epoch = int(read_secret(folder, EPOCH)) + 1
    write_private(folder / EPOCH, str(epoch).encode())
    return epoch


def read_diary(path: Path) -> list[str]:
    """What was taken away, oldest first, as the checkpoints have reported it."""
    rows = (msgspec.json.decode(line, type=_Noted) for line in path.read_bytes().splitlines())
    return [
        entry
        for row in rows
        if row.outcome == "RevocationsNoted" and not isinstance(row.entries, int)
        for entry in row.entries
    ]


def replay_entries(folder: Path, running: Running, entries: Iterable[str]) -> Restored:
    """The procedure, over the database that runs here."""
    sealer = Sealer(running.region, parse_signing_key(read_secret(folder, "audit/checkpoint")))
    event = PurgeEvent(**RETENTION)
    epoch = int(read_secret(folder, EPOCH))
    with closing(open_pool(folder, running, "operations")) as pool:
        return restore(OperationsStore(pool), entries, event, epoch, datetime.now(UTC), sealer)
