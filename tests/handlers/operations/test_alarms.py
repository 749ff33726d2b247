from __future__ import annotations

from typing import Any

import boto3
import pytest

from handlers.operations.alarms import RECOVERY_TAG, STAGE_TAG, alarm_names, handler
from handlers.operations.journal import EventError

pytestmark = pytest.mark.usefixtures("aws")

SETTINGS = {"stage": "production", "period_s": 60, "recover_after_failures": 2, "restart_after_failures": 3}
IMAGE = "ami-12c6146b"


def launch(stage: str = "production", *, ours: bool = True) -> str:
    return launch_many(1, stage, ours=ours)[0]


def launch_many(count: int, stage: str = "production", *, ours: bool = True) -> list[str]:
    tags: Any = [{"Key": RECOVERY_TAG, "Value": "true"}, {"Key": STAGE_TAG, "Value": stage}] if ours else []
    made = boto3.client("ec2", region_name="us-east-2").run_instances(
        ImageId=IMAGE,
        MinCount=count,
        MaxCount=count,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}] if tags else [],
    )
    return [row["InstanceId"] for row in made["Instances"]]


def terminate(*instances: str) -> None:
    boto3.client("ec2", region_name="us-east-2").terminate_instances(InstanceIds=list(instances))


def alarms() -> dict[str, Any]:
    client: Any = boto3.client("cloudwatch", region_name="us-east-2")
    return {row["AlarmName"]: row for row in client.describe_alarms()["MetricAlarms"]}


def changed(instance: str, state: str) -> dict[str, object]:
    return handler({**SETTINGS, "instance": instance, "state": state}, None)


@pytest.mark.claim("C70")
def test_a_started_node_gets_exactly_its_two_alarms() -> None:
    node = launch()
    changed(node, "running")
    rows = alarms()
    assert set(rows) == set(alarm_names("production", node))
    system, instance = (rows[name] for name in alarm_names("production", node))
    assert (system["MetricName"], system["EvaluationPeriods"], system["Period"]) == ("StatusCheckFailed_System", 2, 60)
    assert system["AlarmActions"] == ["arn:aws:automate:us-east-2:ec2:recover"]
    assert (instance["MetricName"], instance["EvaluationPeriods"]) == ("StatusCheckFailed_Instance", 3)
    assert instance["AlarmActions"] == ["arn:aws:automate:us-east-2:ec2:reboot"]
    assert system["Dimensions"] == [{"Name": "InstanceId", "Value": node}]
    assert system["TreatMissingData"] == "missing"


@pytest.mark.claim("C70")
def test_an_ended_node_loses_exactly_its_two_alarms() -> None:
    stays, goes = launch(), launch()
    changed(stays, "running")
    changed(goes, "running")
    terminate(goes)
    answer = changed(goes, "terminated")
    assert set(alarms()) == set(alarm_names("production", stays))
    assert answer["deleted"] == sorted(alarm_names("production", goes))


def test_an_instance_that_is_not_ours_gets_none() -> None:
    for instance in (launch(ours=False), launch(stage="staging")):
        changed(instance, "running")
    assert alarms() == {}


def test_the_same_event_twice_changes_nothing() -> None:
    node = launch()
    changed(node, "running")
    assert changed(node, "running")["made"] == []
    assert len(alarms()) == 2


@pytest.mark.claim("C70")
def test_reconciling_makes_what_is_missing_and_deletes_what_is_left_over() -> None:
    known, missed, gone = launch(), launch(), launch()
    changed(known, "running")
    changed(gone, "running")
    terminate(gone)
    answer = handler(SETTINGS, None)
    assert (answer["nodes"], answer["made"]) == (2, [missed])
    assert set(alarms()) == {*alarm_names("production", known), *alarm_names("production", missed)}


def test_reconciling_leaves_other_alarms_alone() -> None:
    client: Any = boto3.client("cloudwatch", region_name="us-east-2")
    for name in ("therouter-staging-node-i-1-system", "therouter-production-unresponsive"):
        client.put_metric_alarm(
            AlarmName=name,
            MetricName="x",
            Namespace="x",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="LessThanThreshold",
            Statistic="Minimum",
        )
    handler(SETTINGS, None)
    assert len(alarms()) == 2


def test_more_alarms_than_one_call_deletes_are_all_deleted() -> None:
    nodes = launch_many(55)
    handler(SETTINGS, None)
    terminate(*nodes)
    assert len(alarms()) == 110
    handler(SETTINGS, None)
    assert alarms() == {}


def test_an_event_that_is_not_ours_is_refused_with_its_field() -> None:
    with pytest.raises(EventError, match="period_s"):
        handler({**SETTINGS, "period_s": "often"}, None)
    with pytest.raises(EventError, match="surprise"):
        handler({**SETTINGS, "surprise": 1}, None)
