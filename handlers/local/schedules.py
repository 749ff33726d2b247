"""`python -m handlers.local.schedules`: what the clouds' schedulers start, started here by a clock of our own.

A duty that fails is told and comes again at its next time; the others go on.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from handlers.clouds import open_secret_store
from handlers.errors import TheRouterError
from handlers.operations.checkpoint import TrailTampered, seal_trail
from handlers.operations.purge import PurgeEvent, purge
from handlers.operations.sealing import Sealer, open_sealer
from handlers.settings import FunctionSettings
from handlers.store.dsn import dsn_of
from handlers.store.operations import OperationsStore
from handlers.store.pool import Pool
from handlers.telemetry.logs import Dependency, DependencyLost, Level, Log, Room


class Duty(NamedTuple):
    """What to do, and how many seconds lie between two times."""

    period_s: float
    run: Callable[[], object]


def duties(store: OperationsStore, sealer: Sealer) -> list[Duty]:
    """Everything that has to happen by itself."""
    retention = PurgeEvent(retention_days_default=90, retention_days_min=1, retention_days_max=730)
    return [
        Duty(10.0, store.reap),
        Duty(3_600.0, lambda: purge(store, retention, datetime.now(UTC), sealer)),
        Duty(60.0, lambda: seal_trail(store, sealer)),
    ]


def serve(settings: FunctionSettings, stop: threading.Event) -> None:
    """Do every duty at its times until told to stop; the first time at once."""
    log = Log(Level(settings.deployment.log_level))
    role = settings.database.role
    password = open_secret_store(settings.deployment).get(f"database/{role}").text()
    pool = Pool(dsn_of(settings.database, password, local=settings.deployment.cloud == "local"), connections_max=1)
    due = [(0.0, duty) for duty in duties(OperationsStore(pool), open_sealer())]
    while not stop.is_set():
        now = time.monotonic()
        for place, (at, duty) in enumerate(due):
            if now >= at:
                due[place] = (now + duty.period_s, duty)
                try:
                    duty.run()
                except TheRouterError:
                    log.emit(DependencyLost(level=Level.WARNING, dependency=Dependency.DATABASE))
                except TrailTampered as error:
                    log.fault(Room.OPERATIONS, error)
        stop.wait(1.0)
    pool.close()


def main() -> int:
    """The process."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    serve(FunctionSettings.parse(), stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
