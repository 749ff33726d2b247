"""What the schedules ask of PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from handlers.store.pool import Pool

REAP_BATCH = 1_000
PARTITION_DAYS_AHEAD = 14
PURGE_BATCH = 5_000
ROWS_WITHOUT_LIMIT = 2**62
LEAVES_BATCH = 5_000


class PurgeDue(NamedTuple):
    """Rows of one tenant that are past its retention."""

    tenant_id: str
    cutoff: datetime
    rows: int
    allowed: int = ROWS_WITHOUT_LIMIT
    """The most that may go without a person's word."""
    clock: datetime | None = None
    """The database's clock, when the plan was made."""


class PurgePending(NamedTuple):
    """What has gone from a tenant since its last receipt."""

    tenant_id: str
    cutoff: datetime
    rows: int
    cost_nano: int


class Alert(NamedTuple):
    """Something about money that somebody should know."""

    alert_id: int
    tenant_id: str
    kind: str
    """budget | low_balance | key_stopped."""
    scope: str
    """tenant | user | key."""
    subject: str
    """The id of that tenant, user or key."""
    percent: int
    """Of the budget that is spent: the threshold that was passed; 0 where there is none."""
    spent_nano: int
    """Or the balance, or what the key spent in an hour."""
    limit_nano: int
    """Or what is too low a balance, or what the key spends in a usual hour."""


class Reader(NamedTuple):
    """A person whom an alert concerns."""

    user_id: str
    address: str


class Sum(NamedTuple):
    """One sum of the ledger against its counterpart; nano-units, or a count."""

    rule: str
    left: int
    right: int
    difference: int


class SealedTrail(NamedTuple):
    """A checkpoint of the audit trail."""

    size: int
    note: str
    frontier: bytes
    verifier: str
    """The public key that signed it, as text."""
    chain: bytes = b""
    """At its last row; only where the trail begins or shall begin."""


class AuditLeaf(NamedTuple):
    """One row of the audit trail, as far as its tree and chain go."""

    seq: int
    leaf: bytes
    chain: bytes


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

    def expire_credit(self) -> tuple[int, int]:
        """End grants whose time is over; returns (how many, nano-units booked out)."""
        grants, amount_nano = self._pool.run("credit_expire", limit=REAP_BATCH)[0]
        return int(grants), int(amount_nano)

    def raise_alerts(self) -> int:
        """Write down budgets and balances that run out; returns how many are new."""
        return int(self._pool.run("operations_raise_alerts")[0][0])

    def stop_unusual(self) -> int:
        """Stop keys that spend unusually, where their tenant wants that; returns how many."""
        return int(self._pool.run("operations_stop_unusual")[0][0])

    def claim_alerts(self, limit: int) -> list[Alert]:
        """Alerts that nobody has been told of, oldest first; nobody else gets them for ten minutes."""
        return [
            Alert(number, str(tenant), *rest)
            for number, tenant, *rest in self._pool.run("operations_claim_alerts", limit=limit)
        ]

    def alert_readers(self, alert: Alert) -> list[Reader]:
        """Who is to be told of an alert and has not been."""
        rows = self._pool.run("operations_alert_readers", alert=alert.alert_id)
        return [Reader(str(user), address) for user, address in rows]

    def told(self, alert: Alert, reader: Reader) -> None:
        """This person has been told."""
        self._pool.run("operations_told", alert=alert.alert_id, user=reader.user_id)

    def noticed(self, alert: Alert) -> None:
        """Everybody has been told."""
        self._pool.run("operations_noticed", alerts=[alert.alert_id])

    def reconcile(self) -> list[Sum]:
        """Every sum of money that must agree; a difference other than 0 is a fault that pages."""
        return [Sum(rule, int(a), int(b), int(c)) for rule, a, b, c in self._pool.run("operations_reconcile")]

    def create_partitions(self, days_ahead: int = PARTITION_DAYS_AHEAD) -> int:
        """Make the coming days' partitions; returns how many were missing."""
        return int(self._pool.run("operations_create_partitions", days_ahead=days_ahead)[0][0])

    def purge_due(self) -> list[PurgeDue]:
        """What the purge would remove now, by the database's clock, and how much of it is no surprise."""
        return [PurgeDue(str(tenant), *rest) for tenant, *rest in self._pool.run("operations_purge_plan")]

    def purge(self, tenant_id: str, cutoff: datetime, limit: int = PURGE_BATCH) -> tuple[int, int]:
        """Remove a batch of a tenant's rows from before the cutoff; returns (rows, nano-units that they had cost).

        A batch is one transaction and may be repeated or interrupted at will; what it removed awaits its receipt. Conflict
        when the cutoff lies within the tenant's retention.
        """
        rows, cost_nano = self._pool.run("operations_purge_batch", tenant=tenant_id, cutoff=cutoff, limit=limit)[0]
        return int(rows), int(cost_nano)

    def purge_pending(self) -> list[PurgePending]:
        """What has gone without a receipt yet."""
        return [PurgePending(str(tenant), *rest) for tenant, *rest in self._pool.run("operations_purge_pending")]

    def write_receipt(self, gone: PurgePending, receipt: str) -> bool:
        """Put a receipt into the tenant's audit trail; False when more has gone meanwhile, and another is needed."""
        rows = self._pool.run(
            "operations_purge_receipt",
            tenant=gone.tenant_id,
            cutoff=gone.cutoff,
            requests=gone.rows,
            cost_nano=gone.cost_nano,
            receipt=receipt,
        )
        return bool(rows[0][0])

    def audit_beginning(self) -> SealedTrail | None:
        """The checkpoint that stands for rows that are gone; None when none is."""
        rows = self._pool.run("operations_audit_beginning")
        return SealedTrail(*rows[0]) if rows else None

    def audit_ending(self, days: int) -> SealedTrail | None:
        """The last checkpoint whose rows are all older than so many days; None when there is none, or the trail begins there."""
        rows = self._pool.run("operations_audit_ending", days=days)
        return SealedTrail(*rows[0]) if rows else None

    def begin_audit(self, size: int) -> None:
        """Let the trail begin after this checkpoint; Conflict when one of its rows is too young to go."""
        self._pool.run("operations_begin_audit", size=size)

    def end_audit(self, limit: int = LEAVES_BATCH) -> int:
        """Remove a batch of the rows before the beginning; returns how many. It may be repeated and interrupted."""
        return int(self._pool.run("operations_end_audit", limit=limit)[0][0])

    def successions(self) -> list[tuple[str, str, str]]:
        """(key before, key after, note) of every change of the key that signs checkpoints, the oldest first."""
        return [
            (str(before), str(after), str(note)) for before, after, note in self._pool.run("operations_successions")
        ]

    def succeed(self, before: str, after: str, note: str) -> bool:
        """Write down that one key hands over to another; False when that is known."""
        return bool(self._pool.run("operations_succeed", before=before, after=after, note=note)[0][0])

    def last_checkpoint(self) -> SealedTrail | None:
        """The last checkpoint, None when there is none."""
        rows = self._pool.run("operations_last_checkpoint")
        return SealedTrail(*rows[0]) if rows else None

    def audit_leaves(self, after: int, limit: int = LEAVES_BATCH) -> list[AuditLeaf]:
        """Leaves of the audit trail after a number."""
        return [AuditLeaf(*row) for row in self._pool.run("operations_audit_leaves", after=after, limit=limit)]

    def seal_audit(self, size: int, note: str, verifier: str, frontier: bytes) -> bool:
        """Keep a checkpoint; False when there is one of this size. Conflict when the key's successor has signed one already."""
        rows = self._pool.run("operations_seal_audit", size=size, note=note, verifier=verifier, frontier=frontier)
        return bool(rows[0][0])

    def gone(self, after: int, upto: int) -> list[str]:
        """What the rows of the trail after a number took away, for a restore to take away again; see restore.py."""
        return [str(entry) for _, entry in self._pool.run("operations_gone", after=after, upto=upto)]

    def replay(self, entry: str) -> None:
        """Take one thing away again."""
        while not self._pool.run("operations_replay", entry=entry)[0][0]:
            continue

    def restore_epoch(self) -> int:
        """How often the database was restored."""
        return int(self._pool.run("operations_restore_epoch")[0][0])

    def reopen(self, epoch: int, entries: int) -> None:
        """Everything was taken away again: the rooms may serve."""
        self._pool.run("operations_reopen", epoch=epoch, entries=entries)

    def tidy(self) -> tuple[int, int]:
        """Forget what the purge no longer needs; returns (request tokens, empty partitions) that went."""
        tokens, partitions = self._pool.run("operations_tidy_usage")[0]
        return int(tokens), int(partitions)
