from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from handlers.operations.snapshot_check import BackupsUnsound, CheckEvent, check, handler

pytestmark = pytest.mark.usefixtures("aws")
EVENT = {"database": "therouter", "retention_days": 14}


def rds() -> Any:
    return boto3.client("rds", region_name="us-east-2")


def make_database(*, days: int = 14, encrypted: bool = True) -> None:
    rds().create_db_instance(
        DBInstanceIdentifier="therouter", DBInstanceClass="db.m7g.large", Engine="postgres", AllocatedStorage=20,
        MasterUsername="owner", MasterUserPassword="made-for-this-test", BackupRetentionPeriod=days, StorageEncrypted=encrypted,
    )  # fmt: skip


@pytest.mark.claim("C64", "C65")
def test_sound_backups_pass() -> None:
    make_database()
    rds().create_db_snapshot(DBInstanceIdentifier="therouter", DBSnapshotIdentifier="by-hand")
    answer = handler(EVENT, None)
    assert (answer["too_old"], answer["unencrypted"], answer["wrong_retention"]) == ([], [], [])
    assert answer["snapshots"] == 2, "one by hand and the automated one"


@pytest.mark.claim("C65")
def test_a_snapshot_past_the_promised_days_fails() -> None:
    make_database()
    rds().create_db_snapshot(DBInstanceIdentifier="therouter", DBSnapshotIdentifier="forgotten")
    later = datetime.now(UTC) + timedelta(days=15, minutes=1)
    found = check(CheckEvent("therouter", 14), rds(), later)
    assert "forgotten" in found.too_old
    assert not found.sound
    assert check(CheckEvent("therouter", 14), rds(), later - timedelta(hours=1)).sound


@pytest.mark.claim("C64")
def test_an_unencrypted_backup_fails() -> None:
    make_database(encrypted=False)
    rds().create_db_snapshot(DBInstanceIdentifier="therouter", DBSnapshotIdentifier="plain")
    with pytest.raises(BackupsUnsound):
        handler(EVENT, None)


@pytest.mark.claim("C65")
@pytest.mark.parametrize("days", [0, 13, 15])
def test_another_retention_than_promised_fails(days: int) -> None:
    make_database(days=days)
    with pytest.raises(BackupsUnsound):
        handler(EVENT, None)
