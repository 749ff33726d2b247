"""Compares the database's backups with what is promised: not older than the promised days, and every one encrypted.

Backups of an instance whose disk has a key are encrypted with that key, so the key is what is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from handlers.operations.hangzhou.api import PAGE_ROWS, ask
from handlers.operations.journal import read_event, report
from handlers.operations.snapshot_check import GRACE, BackupsChecked, BackupsUnsound, CheckEvent

HORIZON = timedelta(days=730)
"""The longest that the service keeps backups: nothing older can be missed."""


class _Policy(msgspec.Struct, frozen=True):
    days: int = msgspec.field(name="BackupRetentionPeriod")
    log_days: int = msgspec.field(name="LogBackupRetentionPeriod", default=0)


class _Key(msgspec.Struct, frozen=True):
    key: str = msgspec.field(name="EncryptionKey", default="")


class _Backup(msgspec.Struct, frozen=True):
    id: str = msgspec.field(name="BackupId")
    started_at: str = msgspec.field(name="BackupStartTime")


class _Backups(msgspec.Struct, frozen=True):
    rows: list[_Backup] = msgspec.field(name="Backup")


class _Page(msgspec.Struct, frozen=True):
    items: _Backups = msgspec.field(name="Items")
    total: int = msgspec.field(name="TotalRecordCount")


def check(event: CheckEvent, now: datetime) -> BackupsChecked:
    """Read the backup policy, the key and all backups, automated and manual."""
    form = {"DBInstanceId": event.database}
    policy = ask("rds", "DescribeBackupPolicy", _Policy, form)
    key = ask("rds", "DescribeDBInstanceEncryptionKey", _Key, form)
    backups = _listed(event.database, now)
    oldest = now - timedelta(days=event.retention_days) - GRACE
    kept = {policy.days, policy.log_days} == {event.retention_days}
    return BackupsChecked(
        snapshots=len(backups),
        retention_days=policy.days,
        too_old=tuple(sorted(row.id for row in backups if datetime.fromisoformat(row.started_at) < oldest)),
        unencrypted=() if key.key else (event.database,),
        wrong_retention=() if kept else (event.database,),
    )


def _listed(database: str, now: datetime) -> list[_Backup]:
    found: list[_Backup] = []
    page = 1
    while True:
        form = {
            "DBInstanceId": database,
            "StartTime": f"{now - HORIZON:%Y-%m-%dT%H:%MZ}",
            "EndTime": f"{now:%Y-%m-%dT%H:%MZ}",
            "PageNumber": str(page),
            "PageSize": str(PAGE_ROWS),
        }
        answer = ask("rds", "DescribeBackups", _Page, form)
        found += answer.items.rows
        if not answer.items.rows or len(found) >= answer.total:
            return found
        page += 1


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Called once a day."""
    found = check(read_event(event, CheckEvent), datetime.now(UTC))
    answer = report(found)
    if not found.sound:
        raise BackupsUnsound("backups are not as promised: see this function's last log line for their names")
    return answer
