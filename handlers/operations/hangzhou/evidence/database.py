"""The database and its backups."""

from __future__ import annotations

from datetime import UTC, datetime

from handlers.operations.hangzhou.evidence.account import Account, Fields, Row, differs, rows_of
from handlers.operations.hangzhou.snapshot_check import check as check_backups
from handlers.operations.snapshot_check import CheckEvent
from stacks.policy import Policy


def _id(account: Account) -> str:
    return account.one("database", "RDS::DBInstance")


def _instance(account: Account) -> Fields:
    rows = rows_of(
        account.ask("rds", "DescribeDBInstanceAttribute", DBInstanceId=_id(account)), "Items", "DBInstanceAttribute"
    )
    found: Fields = rows[0]
    return found


def _ways_in(account: Account, _policy: Policy) -> list[str]:
    """Its whitelists hold the gateway's networks, as they are now, and nothing else."""
    pool = set()
    for switch in account.ids("network", "ECS::VSwitch", "GatewaySwitch").values():
        pool.add(account.ask("vpc", "DescribeVSwitchAttributes", VSwitchId=switch)["CidrBlock"])
    told = account.ask("rds", "DescribeDBInstanceIPArrayList", DBInstanceId=_id(account))
    lists = rows_of(told, "Items", "DBInstanceIPArray")
    admitted = {net for row in lists for net in row["SecurityIPList"].split(",")} - {"127.0.0.1"}
    return [f"admits {net}" for net in sorted(admitted - pool)] + [f"refuses {net}" for net in sorted(pool - admitted)]


def _private(account: Account, _policy: Policy) -> list[str]:
    told = account.ask("rds", "DescribeDBInstanceNetInfo", DBInstanceId=_id(account))
    ways = rows_of(told, "DBInstanceNetInfos", "DBInstanceNetInfo")
    return [f"{row['ConnectionString']} is public" for row in ways if row.get("IPType") == "Public"]


def _backups(account: Account, policy: Policy) -> list[str]:
    seen = check_backups(CheckEvent(_id(account), policy.backup_retention_days), datetime.now(UTC))
    found = [f"{name} is too old" for name in seen.too_old]
    return found + ([f"backups are kept {seen.retention_days} days"] if seen.wrong_retention else [])


def _encrypted(account: Account, _policy: Policy) -> list[str]:
    told = account.ask("rds", "DescribeDBInstanceEncryptionKey", DBInstanceId=_id(account))
    return [] if told.get("EncryptionKey") else ["the disk and its backups have no key"]


def _standby(account: Account, policy: Policy) -> list[str]:
    return differs(
        "Category", _instance(account)["Category"], "HighAvailability" if policy.database_standby else "Basic"
    )


def _protected(account: Account, policy: Policy) -> list[str]:
    return differs("DeletionProtection", _instance(account)["DeletionProtection"], policy.database_deletion_protected)


def _recovery(account: Account, policy: Policy) -> list[str]:
    """Daily backups and the log between them."""
    told = account.ask("rds", "DescribeBackupPolicy", DBInstanceId=_id(account))
    found = differs("log backups", str(told.get("EnableBackupLog")), "1")
    return found + differs("days of log", int(told["LogBackupRetentionPeriod"]), policy.backup_retention_days)


def _alone(account: Account, _policy: Policy) -> list[str]:
    copies = rows_of(_instance(account), "ReadOnlyDBInstanceIds", "ReadOnlyDBInstanceId")
    return [f"{row['DBInstanceId']} is a copy of it" for row in copies]


ROWS = (
    Row("C57", "Only the gateway's networks reach the database.", _ways_in),
    Row("C58", "The database is not publicly accessible.", _private),
    Row("C64", "The database and every backup are encrypted.", _encrypted),
    Row("C65", "Backups are kept for 14 days.", _backups),
    Row("C66", "The database cannot be deleted by a deployment.", _protected),
    Row("C68", "The database has a standby in another zone.", _standby),
    Row("C69", "The database can be restored to a point in time.", _recovery),
    Row("C47", "The database has no copy elsewhere.", _alone),
)
