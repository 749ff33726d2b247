"""`python -m handlers.local.schedules`: what the clouds' schedulers start, started here by a clock of our own.

The deployed functions, called as the region's cloud calls them (platforms.py), only more often. A duty that fails is told and
comes again at its next time; the others go on.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Mapping
from typing import NamedTuple

from handlers.clouds.function_compute import Handler
from handlers.clouds.renewal import hurry
from handlers.errors import TheRouterError
from handlers.local.platforms import scheduled
from handlers.operations import checkpoint, purge, reap, reconcile, spending
from handlers.operations.database import open_store
from handlers.operations.sealing import open_sealer
from handlers.settings import FunctionSettings
from handlers.telemetry.logs import Dependency, DependencyLost, Level, Log, Room


class Duty(NamedTuple):
    """What to do, with what event, and how many seconds lie between two times."""

    period_s: float
    handler: Handler
    event: Mapping[str, object] = {}


RETENTION = {"retention_days_default": 90, "retention_days_min": 1, "retention_days_max": 730}
AUDIT_DAYS = 730
DUTIES = (
    Duty(10.0, reap.handler),
    Duty(3_600.0, purge.handler, RETENTION),
    Duty(20.0, checkpoint.handler),
    Duty(86_400.0, checkpoint.handler, {"rebuild": True, "keep_days": AUDIT_DAYS}),
    Duty(60.0, spending.handler),
    Duty(3_600.0, reconcile.handler),
)
"""Everything that has to happen by itself."""


def serve(settings: FunctionSettings, stop: threading.Event) -> None:
    """Do every duty at its times until told to stop; the first time at once."""
    log = Log(Level(settings.deployment.log_level))
    open_store(), open_sealer()  # wrong settings and secrets stop the start
    calls = [(duty, scheduled(settings.deployment.region, duty.handler)) for duty in DUTIES]
    due = [0.0] * len(calls)
    while not stop.is_set():
        now = time.monotonic()
        for place, (duty, call) in enumerate(calls):
            if now >= due[place]:
                due[place] = now + duty.period_s
                try:
                    call(duty.event)
                except TheRouterError:
                    log.emit(DependencyLost(level=Level.WARNING, dependency=Dependency.DATABASE))
                except Exception as error:  # noqa: BLE001 - an alarm in a cloud, a log line here
                    log.fault(Room.OPERATIONS, error)
        stop.wait(1.0)


def main() -> int:
    """The process."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, lambda *_: hurry())
    serve(FunctionSettings.parse(), stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
