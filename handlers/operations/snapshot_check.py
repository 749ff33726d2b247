"""Compares the database's backups with what is promised: not older than the promised days, and every one encrypted.

A finding makes the function fail, which sounds its alarm; the findings themselves are in its answer and its log line.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import msgspec

from handlers.operations.alarms import REGION
from handlers.operations.journal import Outcome, read_event, report

GRACE = timedelta(hours=24)
"""RDS deletes an expired backup at its next daily backup."""


class CheckEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which database, and what is promised of its backups."""

    database: str
    retention_days: int


class BackupsChecked(Outcome, frozen=True, kw_only=True):
    """What was seen. The last three are empty when the promise holds."""

    snapshots: int
    retention_days: int
    too_old: tuple[str, ...]
    unencrypted: tuple[str, ...]
    wrong_retention: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether the promise holds."""
        return not (self.too_old or self.unencrypted or self.wrong_retention)


class BackupsUnsound(RuntimeError):
    """Backups are older, weaker or fewer than promised; the log line names them."""


def check(event: CheckEvent, rds: Any, now: datetime) -> BackupsChecked:
    """Read the instance and its snapshots, automated and manual."""
    (instance,) = rds.describe_db_instances(DBInstanceIdentifier=event.database)["DBInstances"]
    pages = rds.get_paginator("describe_db_snapshots").paginate(DBInstanceIdentifier=event.database)
    snapshots = [row for page in pages for row in page["DBSnapshots"]]
    oldest = now - timedelta(days=event.retention_days) - GRACE
    names = [(row["DBSnapshotIdentifier"], row) for row in snapshots]
    unencrypted = [name for name, row in names if not row.get("Encrypted")]
    return BackupsChecked(
        snapshots=len(snapshots),
        retention_days=instance["BackupRetentionPeriod"],
        too_old=tuple(sorted(name for name, row in names if row.get("SnapshotCreateTime", now) < oldest)),
        unencrypted=tuple(sorted([*unencrypted, *([] if instance.get("StorageEncrypted") else [event.database])])),
        wrong_retention=() if instance["BackupRetentionPeriod"] == event.retention_days else (event.database,),
    )


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Called once a day."""
    found = check(read_event(event, CheckEvent), boto3.client("rds", region_name=REGION), datetime.now(UTC))
    answer = report(found)
    if not found.sound:
        raise BackupsUnsound("backups are not as promised: see this function's last log line for their names")
    return answer
