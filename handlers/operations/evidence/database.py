"""The database and its backups."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from handlers.operations.evidence.account import Account, Row, differs
from stacks.policy import Policy

DELETION_LAG = timedelta(hours=24)
"""RDS deletes an expired backup at its next daily backup."""


def _instance(account: Account) -> dict[str, Any]:
    name = account.one("Database", "AWS::RDS::DBInstance")
    found: dict[str, Any] = account.remember(
        ("instance", name),
        lambda: account.client("rds").describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0],
    )
    return found


def _snapshots(account: Account) -> list[dict[str, Any]]:
    name = _instance(account)["DBInstanceIdentifier"]
    return list(account.pages("rds", "describe_db_snapshots", "DBSnapshots", DBInstanceIdentifier=name))


def _ways_in(account: Account, _policy: Policy) -> list[str]:
    """Its groups admit the gateway's nodes, on one port, and nobody else."""
    allowed = {account.one("Network", "AWS::EC2::SecurityGroup", "GatewayNodes")}
    groups = [row["VpcSecurityGroupId"] for row in _instance(account)["VpcSecurityGroups"]]
    found = []
    for group in account.client("ec2").describe_security_groups(GroupIds=groups)["SecurityGroups"]:
        for rule in group["IpPermissions"]:
            found += [f"{group['GroupId']} admits {row['CidrIp']}" for row in rule.get("IpRanges", [])]
            found += [f"{group['GroupId']} admits {row['CidrIpv6']}" for row in rule.get("Ipv6Ranges", [])]
            strangers = {row["GroupId"] for row in rule.get("UserIdGroupPairs", [])} - allowed
            found += [f"{group['GroupId']} admits {stranger}" for stranger in sorted(strangers)]
            found += differs(f"{group['GroupId']} port", (rule.get("FromPort"), rule.get("ToPort")), (5432, 5432))
    return found


def _private(account: Account, _policy: Policy) -> list[str]:
    """No public address, and no way out of its subnets."""
    instance = _instance(account)
    found = differs("PubliclyAccessible", instance["PubliclyAccessible"], promised=False)
    subnets = {row["SubnetIdentifier"] for row in instance["DBSubnetGroup"]["Subnets"]}
    tables = list(account.pages("ec2", "describe_route_tables", "RouteTables"))
    of_subnet = {row.get("SubnetId"): table for table in tables for row in table["Associations"]}
    # A subnet without a table of its own uses the network's main one, which nobody here has looked at.
    found += [f"{subnet} has no route table of its own" for subnet in sorted(subnets - set(of_subnet))]
    for table in [of_subnet[subnet] for subnet in sorted(subnets & set(of_subnet))]:
        gateways = [route.get("GatewayId") or route.get("NatGatewayId") or "" for route in table["Routes"]]
        found += [f"{table['RouteTableId']} leads to {way}" for way in gateways if way.startswith(("igw-", "nat-"))]
    return found


def _encrypted(account: Account, _policy: Policy) -> list[str]:
    instance = _instance(account)
    found = differs("StorageEncrypted", instance["StorageEncrypted"], promised=True)
    found += differs("key", instance.get("KmsKeyId", "").rpartition("/")[2], _database_key(account).rpartition("/")[2])
    return found + [f"{row['DBSnapshotIdentifier']} is plain" for row in _snapshots(account) if not row["Encrypted"]]


def _database_key(account: Account) -> str:
    return account.one("Database", "AWS::KMS::Key")


def _retention(account: Account, policy: Policy) -> list[str]:
    found = differs("BackupRetentionPeriod", _instance(account)["BackupRetentionPeriod"], policy.backup_retention_days)
    oldest = datetime.now(UTC) - timedelta(days=policy.backup_retention_days) - DELETION_LAG
    old = [row for row in _snapshots(account) if row.get("SnapshotCreateTime", datetime.now(UTC)) < oldest]
    return found + [f"{row['DBSnapshotIdentifier']} is from {row['SnapshotCreateTime']:%Y-%m-%d}" for row in old]


def _standby(account: Account, policy: Policy) -> list[str]:
    return differs("MultiAZ", _instance(account)["MultiAZ"], policy.database_standby)


def _protected(account: Account, policy: Policy) -> list[str]:
    return differs("DeletionProtection", _instance(account)["DeletionProtection"], policy.database_deletion_protected)


def _recovery(account: Account, _policy: Policy) -> list[str]:
    latest = _instance(account).get("LatestRestorableTime")
    return [] if latest is not None else ["there is no moment that the database can be restored to"]


def _alone(account: Account, _policy: Policy) -> list[str]:
    copies = _instance(account).get("ReadReplicaDBInstanceIdentifiers", [])
    return [f"{name} is a copy of it" for name in copies]


ROWS = (
    Row("C57", "Only the gateway's nodes reach the database.", _ways_in),
    Row("C58", "The database is not publicly accessible.", _private),
    Row("C64", "The database and every backup are encrypted.", _encrypted),
    Row("C65", "Backups are kept for 14 days.", _retention),
    Row("C66", "The database cannot be deleted by a deployment.", _protected),
    Row("C68", "The database has a standby in another zone.", _standby),
    Row("C69", "The database can be restored to a point in time.", _recovery),
    Row("C47", "The database has no copy elsewhere.", _alone),
)
