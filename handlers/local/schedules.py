"""`python -m handlers.local.schedules`: what the clouds' schedulers start, started here by a clock of our own.

A duty that fails is told and comes again at its next time; the others go on.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from handlers.clouds import open_secret_store
from handlers.errors import TheRouterError
from handlers.settings import FunctionSettings
from handlers.store.dsn import dsn_of
from handlers.store.operations import OperationsStore
from handlers.store.pool import Pool
from handlers.telemetry.logs import Dependency, DependencyLost, Level, Log


class Duty(NamedTuple):
    """What to do, and how many seconds lie between two times."""

    period_s: float
    run: Callable[[], object]


def duties(store: OperationsStore) -> list[Duty]:
    """Everything that has to happen by itself."""
    return [Duty(10.0, store.reap), Duty(3_600.0, store.create_partitions)]


def serve(settings: FunctionSettings, stop: threading.Event) -> None:
    """Do every duty at its times until told to stop; the first time at once."""
    log = Log(Level(settings.deployment.log_level))
    role = settings.database.role
    password = open_secret_store(settings.deployment).get(f"database/{role}").text()
    pool = Pool(dsn_of(settings.database, password, local=settings.deployment.cloud == "local"), connections_max=1)
    due = [(0.0, duty) for duty in duties(OperationsStore(pool))]
    while not stop.is_set():
        now = time.monotonic()
        for place, (at, duty) in enumerate(due):
            if now >= at:
                due[place] = (now + duty.period_s, duty)
                try:
                    duty.run()
                except TheRouterError:
                    log.emit(DependencyLost(level=Level.WARNING, dependency=Dependency.DATABASE))
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
