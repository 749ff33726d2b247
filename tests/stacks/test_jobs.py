from __future__ import annotations

from typing import Any

import msgspec
import pytest

from handlers.operations.checkpoint import CheckpointEvent
from handlers.operations.purge import PurgeEvent
from handlers.operations.reap import ReapEvent
from handlers.operations.reconcile import ReconcileEvent
from handlers.operations.renewal import RenewalEvent
from handlers.operations.rotation import RotationEvent
from handlers.operations.snapshot_check import CheckEvent
from handlers.operations.spending import SpendingEvent

READ_BY = {
    "Everypurge": PurgeEvent,
    "Everyreap": ReapEvent,
    "Everyreconcile": ReconcileEvent,
    "Everyrenewal": RenewalEvent,
    "Everyrotation": RotationEvent,
    "Everysnapshotcheck": CheckEvent,
    "Everyspending": SpendingEvent,
    "Everycheckpoint": CheckpointEvent,
    "Nightlycheckpoint": CheckpointEvent,
}


def events(production: Any) -> dict[str, Any]:
    found = {}
    for name, row in production.templates["Jobs"]["Resources"].items():
        if row["Type"] == "AWS::Events::Rule":
            value = row["Properties"]["Targets"][0]["Input"]
            parts = [value] if isinstance(value, str) else value["Fn::Join"][1]
            found[name[:-8]] = msgspec.json.decode("".join(p if isinstance(p, str) else "?" for p in parts))
    return found


@pytest.mark.claim("C10", "C63", "C65")
@pytest.mark.parametrize("job", sorted(READ_BY))
def test_each_event_is_one_that_its_function_reads(production: Any, job: str) -> None:
    msgspec.convert(events(production)[job], READ_BY[job])


@pytest.mark.claim("C60")
def test_c60_the_whole_trail_is_checked_every_night(production: Any) -> None:
    assert events(production)["Nightlycheckpoint"] == {"rebuild": True, "keep_days": 730}
    assert events(production)["Everycheckpoint"] == {}
    rules = {name[:-8]: row["Properties"] for name, row in production.templates["Jobs"]["Resources"].items()}
    assert rules["Nightlycheckpoint"]["ScheduleExpression"] == "rate(1 day)"


@pytest.mark.claim("C60")
def test_c60_copies_of_checkpoints_are_locked_for_two_years_and_only_added(production: Any) -> None:
    (bucket,) = production.properties("AWS::S3::Bucket", "Jobs")
    assert bucket["BucketName"] == "therouter-production-audit-123456789012"
    lock = bucket["ObjectLockConfiguration"]
    assert (bucket["ObjectLockEnabled"], lock["ObjectLockEnabled"]) == (True, "Enabled")
    assert lock["Rule"]["DefaultRetention"] == {"Mode": "COMPLIANCE", "Days": 730}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    writers = [
        (policy["Roles"], statement)
        for policy in production.properties("AWS::IAM::Policy")
        for statement in policy["PolicyDocument"]["Statement"]
        if any(action.startswith("s3:") for action in _listed(statement["Action"])) and "Roles" in policy
    ]
    ((_, statement),) = [
        (roles, one) for roles, one in writers if "checkpoints" in msgspec.json.encode(one["Resource"]).decode()
    ]
    assert statement["Action"] == "s3:PutObject"
    functions = production.properties("AWS::Lambda::Function")
    told = [row for row in functions if "THEROUTER_ARCHIVE" in row.get("Environment", {}).get("Variables", {})]
    assert [row["ImageConfig"]["Command"] for row in told] == [["handlers.operations.checkpoint.handler"]]
    assert told[0]["Environment"]["Variables"]["THEROUTER_ARCHIVE"] == bucket["BucketName"]


def test_every_job_runs_alone_and_ends(production: Any) -> None:
    rows = production.properties("AWS::Lambda::Function", "Jobs")
    assert len(rows) == 10
    assert {(row["ReservedConcurrentExecutions"], row["Timeout"]) for row in rows} == {(1, 840)}


@pytest.mark.claim("C59")
def test_checks_read_names_and_dates_and_no_content(production: Any) -> None:
    policies = [row for row in production.properties("AWS::IAM::Policy", "Jobs") if "migrate" not in row["PolicyName"]]
    actions = {a for p in policies for s in p["PolicyDocument"]["Statement"] for a in _listed(s["Action"])}
    assert actions == {
        "secretsmanager:ListSecrets",
        "rds:DescribeDBInstances",
        "rds:DescribeDBInstanceAutomatedBackups",
        "rds:DescribeDBSnapshots",
        "s3:PutObject",
    }


def test_migrate_reads_the_master_password_alone_and_no_clock_calls_it(production: Any) -> None:
    (policy,) = [row for row in production.properties("AWS::IAM::Policy", "Jobs") if "migrate" in row["PolicyName"]]
    statements = policy["PolicyDocument"]["Statement"]
    assert [row["Action"] for row in statements] == ["secretsmanager:GetSecretValue", "kms:Decrypt"]
    assert all(row["Resource"]["Fn::GetStackOutput"]["StackName"].endswith("Database") for row in statements)
    targets = [str(row["Targets"]) for row in production.properties("AWS::Events::Rule", "Jobs")]
    assert not any("migrate" in target for target in targets)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
