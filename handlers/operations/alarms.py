"""Each node has two alarms: impaired hardware moves it to other hardware, an impaired system restarts it.

CloudWatch's recover and reboot actions take an alarm with exactly one instance, so alarms cannot be written before a node exists.
This function makes them when a node of ours starts, deletes them when it ends, and once an hour compares what is with what should
be: nodes that started while it was away get theirs, alarms of nodes that are gone go.

A node is ours if it carries the recovery tag and the stage's tag; nothing is ever done to another instance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import boto3
import msgspec

from handlers.operations.journal import Outcome, read_event, report

REGION = "us-east-2"
RECOVERY_TAG = "therouter:auto-recovery"
STAGE_TAG = "therouter:stage"
LIVE_STATES = ("pending", "running")
DELETE_BATCH = 100


class NodeEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node has started or ended; without `instance`: compare everything."""

    stage: str
    period_s: int
    recover_after_failures: int
    restart_after_failures: int
    instance: str = ""
    state: str = ""


class AlarmsChanged(Outcome, frozen=True, kw_only=True):
    """What was made and what was deleted."""

    nodes: int
    made: tuple[str, ...]
    deleted: tuple[str, ...]


class Rule(NamedTuple):
    """One of the two alarms of a node."""

    suffix: str
    metric: str
    action: str


RULES = (
    Rule("system", "StatusCheckFailed_System", "recover"),
    Rule("instance", "StatusCheckFailed_Instance", "reboot"),
)


def alarm_prefix(stage: str) -> str:
    """How the names of all our node alarms begin."""
    return f"therouter-{stage}-node-"


def alarm_names(stage: str, instance: str) -> tuple[str, ...]:
    """The names of a node's alarms."""
    return tuple(f"{alarm_prefix(stage)}{instance}-{rule.suffix}" for rule in RULES)


def make_alarms(cloudwatch: Any, event: NodeEvent, instance: str) -> None:
    """Write a node's alarms; writing them again changes nothing."""
    failures = (event.recover_after_failures, event.restart_after_failures)
    for rule, name, periods in zip(RULES, alarm_names(event.stage, instance), failures, strict=True):
        cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="AWS/EC2",
            MetricName=rule.metric,
            Dimensions=[{"Name": "InstanceId", "Value": instance}],
            Statistic="Maximum",
            Period=event.period_s,
            EvaluationPeriods=periods,
            DatapointsToAlarm=periods,
            Threshold=1,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            TreatMissingData="missing",
            AlarmActions=[f"arn:aws:automate:{REGION}:ec2:{rule.action}"],
        )


def live_nodes(ec2: Any, stage: str) -> frozenset[str]:
    """The nodes of ours that should have alarms."""
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[
            {"Name": f"tag:{RECOVERY_TAG}", "Values": ["true"]},
            {"Name": f"tag:{STAGE_TAG}", "Values": [stage]},
            {"Name": "instance-state-name", "Values": list(LIVE_STATES)},
        ]
    )
    return frozenset(
        instance["InstanceId"] for page in pages for group in page["Reservations"] for instance in group["Instances"]
    )


def existing_alarms(cloudwatch: Any, prefix: str) -> frozenset[str]:
    """The alarms whose names begin so."""
    pages = cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=prefix)
    return frozenset(alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"])


def reconcile(event: NodeEvent, cloudwatch: Any, ec2: Any) -> AlarmsChanged:
    """Bring the alarms of one node, or of all, into agreement with the nodes that live."""
    nodes = live_nodes(ec2, event.stage)
    wanted = {name: node for node in nodes for name in alarm_names(event.stage, node)}
    prefix = alarm_prefix(event.stage) + event.instance
    existing = existing_alarms(cloudwatch, prefix)
    missing = sorted({node for name, node in wanted.items() if name not in existing and name.startswith(prefix)})
    surplus = tuple(sorted(name for name in existing if name not in wanted))
    for node in missing:
        make_alarms(cloudwatch, event, node)
    _delete(cloudwatch, surplus)
    return AlarmsChanged(nodes=len(nodes), made=tuple(missing), deleted=surplus)


def _delete(cloudwatch: Any, names: Iterable[str]) -> None:
    rest = list(names)
    while rest:
        cloudwatch.delete_alarms(AlarmNames=rest[:DELETE_BATCH])
        rest = rest[DELETE_BATCH:]


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Called when an instance changes its state, and every hour."""
    wanted = read_event(event, NodeEvent)
    clients = boto3.client("cloudwatch", region_name=REGION), boto3.client("ec2", region_name=REGION)
    return report(reconcile(wanted, *clients))
