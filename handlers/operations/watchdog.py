"""Reboots one node when nothing answers any more, and does nothing in every other case.

A reboot breaks streams and hides causes, so the rules lean towards doing nothing:
    1. An alarm must still be in ALARM now; one that has recovered while its event was under way counts for nothing.
    2. If any target is healthy, the trouble lies before the load balancer (names, certificate, edge): people are told.
    3. If a target answers, only not with success, the process lives and something that it needs is at fault.
    4. If the database is not available, a reboot would help nobody.
    5. At most one node in the cool-down, whatever happens in between: storms, flapping, retries.
    6. Only a node of ours that runs and has been up for a while; the one with the most silent targets.

`decide` is pure: facts in, decision out. The function runs with a concurrency of one, so the memory of the last reboot needs no
lock; it is written before the reboot, so that a crash between the two costs a reboot and never doubles one.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import boto3
import msgspec

from handlers.operations.alarms import RECOVERY_TAG, REGION, STAGE_TAG
from handlers.operations.journal import Outcome, read_event, report

UPTIME_MIN = timedelta(minutes=10)
"""A node younger than this is still starting its pods."""
DATABASE_READY = frozenset({"available", "backing-up", "storage-optimization", "configuring-enhanced-monitoring"})
ANSWERING_REASONS = frozenset({"Target.ResponseCodeMismatch"})
"""The load balancer's words for a target that answered, only not with success."""
TARGETS_LEAVING = frozenset({"draining", "initial", "unused"})


class WatchedAlarm(msgspec.Struct, frozen=True):
    """An alarm, and where it lives."""

    name: str
    region: str


class WatchEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to look at; written by the deployment."""

    stage: str
    alarms: tuple[WatchedAlarm, ...]
    target_group: str
    database: str
    memory: str
    cooldown_minutes: int


class Reason(StrEnum):
    """Why it did what it did."""

    RECOVERED = "recovered"
    SOME_TARGETS_HEALTHY = "some_targets_healthy"
    DEPENDENCY_AT_FAULT = "dependency_at_fault"
    COOLING_DOWN = "cooling_down"
    NO_SUITABLE_NODE = "no_suitable_node"
    NOTHING_ANSWERS = "nothing_answers"


class Target(NamedTuple):
    """One pod behind the load balancer."""

    address: str
    state: str
    reason: str


class Node(NamedTuple):
    """One node of ours that runs."""

    instance: str
    started_at: datetime
    addresses: frozenset[str]


class Facts(NamedTuple):
    """Everything that the decision is made from."""

    now: datetime
    alarming: bool
    targets: tuple[Target, ...]
    database: str
    nodes: tuple[Node, ...]
    last_reboot: datetime | None
    cooldown: timedelta


class Decision(Outcome, frozen=True, kw_only=True):
    """A node to reboot, or none, and why."""

    reason: Reason
    instance: str = ""


def decide(facts: Facts) -> Decision:
    """Which node to reboot, if any."""
    serving = [target for target in facts.targets if target.state not in TARGETS_LEAVING]
    if not facts.alarming:
        return Decision(reason=Reason.RECOVERED)
    if any(target.state == "healthy" for target in serving):
        return Decision(reason=Reason.SOME_TARGETS_HEALTHY)
    if facts.database not in DATABASE_READY or any(target.reason in ANSWERING_REASONS for target in serving):
        return Decision(reason=Reason.DEPENDENCY_AT_FAULT)
    if facts.last_reboot is not None and facts.now - facts.last_reboot < facts.cooldown:
        return Decision(reason=Reason.COOLING_DOWN)
    silent = Counter(node.instance for node in facts.nodes for target in serving if target.address in node.addresses)
    suitable = [node for node in facts.nodes if silent[node.instance] and facts.now - node.started_at >= UPTIME_MIN]
    if not suitable:
        return Decision(reason=Reason.NO_SUITABLE_NODE)
    worst = max(suitable, key=lambda node: (silent[node.instance], node.instance))
    return Decision(reason=Reason.NOTHING_ANSWERS, instance=worst.instance)


def gather(event: WatchEvent, now: datetime) -> Facts:
    """Ask AWS for the facts; nothing is changed."""
    return Facts(
        now=now,
        alarming=any(_alarming(alarm) for alarm in event.alarms),
        targets=_targets(event.target_group),
        database=_database_status(event.database),
        nodes=_nodes(event.stage),
        last_reboot=_recall(event.memory),
        cooldown=timedelta(minutes=event.cooldown_minutes),
    )


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Called when an alarm changes, and on a schedule while it may still last."""
    wanted = read_event(event, WatchEvent)
    now = datetime.now(UTC)
    decision = decide(gather(wanted, now))
    if decision.instance:
        _remember(wanted.memory, now, decision.instance)
        _client("ec2").reboot_instances(InstanceIds=[decision.instance])
    return report(decision)


@functools.cache
def _client(service: str, region: str = REGION) -> Any:
    return boto3.client(service, region_name=region)  # type: ignore[call-overload]


def _alarming(alarm: WatchedAlarm) -> bool:
    found = _client("cloudwatch", alarm.region).describe_alarms(AlarmNames=[alarm.name])["MetricAlarms"]
    return any(row["StateValue"] == "ALARM" for row in found)


def _targets(group: str) -> tuple[Target, ...]:
    rows = _client("elbv2").describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return tuple(
        Target(row["Target"]["Id"], row["TargetHealth"]["State"], row["TargetHealth"].get("Reason", "")) for row in rows
    )


def _database_status(instance: str) -> str:
    (row,) = _client("rds").describe_db_instances(DBInstanceIdentifier=instance)["DBInstances"]
    return str(row["DBInstanceStatus"])


def _nodes(stage: str) -> tuple[Node, ...]:
    pages = (
        _client("ec2")
        .get_paginator("describe_instances")
        .paginate(
            Filters=[
                {"Name": f"tag:{RECOVERY_TAG}", "Values": ["true"]},
                {"Name": f"tag:{STAGE_TAG}", "Values": [stage]},
                {"Name": "instance-state-name", "Values": ["running"]},
            ]
        )
    )
    rows = [row for page in pages for group in page["Reservations"] for row in group["Instances"]]
    return tuple(Node(row["InstanceId"], row["LaunchTime"], _addresses(row)) for row in rows)


def _addresses(instance: Mapping[str, Any]) -> frozenset[str]:
    """The node's own addresses and those of its pods, which are secondary addresses of its interfaces."""
    return frozenset(
        address["PrivateIpAddress"]
        for interface in instance.get("NetworkInterfaces", ())
        for address in interface.get("PrivateIpAddresses", ())
    )


def _recall(memory: str) -> datetime | None:
    """When the last reboot was; the parameter holds `<ISO time> <instance>`, or something else before the first."""
    value = _client("ssm").get_parameter(Name=memory)["Parameter"]["Value"]
    try:
        return datetime.fromisoformat(value.partition(" ")[0])
    except ValueError:
        return None


def _remember(memory: str, now: datetime, instance: str) -> None:
    _client("ssm").put_parameter(Name=memory, Value=f"{now.isoformat()} {instance}", Type="String", Overwrite=True)
