"""What the schedules ask of PostgreSQL."""

from __future__ import annotations

from handlers.store.pool import Pool

REAP_BATCH = 1_000
PARTITION_DAYS_AHEAD = 14


class OperationsStore:
    """The operations room's façade; blocking."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def reap(self) -> int:
        """Void expired leases; returns how many."""
        total = 0
        while True:
            reaped = int(self._pool.run("credit_reap", limit=REAP_BATCH)[0][0])
            total += reaped
            if reaped < REAP_BATCH:
                return total

    def create_partitions(self, days_ahead: int = PARTITION_DAYS_AHEAD) -> int:
        """Make the coming days' partitions; returns how many were missing."""
        return int(self._pool.run("operations_create_partitions", days_ahead=days_ahead)[0][0])
