"""The watchdog: the function, what wakes it, and the little that it may do."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns

from handlers.workloads import Workload
from stacks.alerts import run_every, tell_of_errors
from stacks.base import RECOVERY_TAG, RouterStack, accept
from stacks.function import Surroundings, build_function


def build_watchdog(
    stack: RouterStack,
    workload: Workload,
    surroundings: Surroundings,
    topic: sns.Topic,
    *,
    alarms: Sequence[str],
    event: dict[str, object],
) -> None:
    """The function; any of the `alarms` wakes it with `event`, and a schedule while one may last."""
    function = build_function(stack, workload, surroundings, timeout_s=60, concurrency=1)
    _let_reboot(stack, surroundings.roles[workload.name])
    events.Rule(
        stack,
        "SomethingStopsAnswering",
        event_pattern=events.EventPattern(
            source=["aws.cloudwatch"],
            detail_type=["CloudWatch Alarm State Change"],
            detail={"alarmName": list(alarms), "state": {"value": ["ALARM"]}},
        ),
        targets=[targets.LambdaFunction(function, event=events.RuleTargetInput.from_object(event))],
    )
    run_every(stack, "LookAgain", function, cdk.Duration.minutes(stack.policy.watchdog_interval_minutes), event)
    tell_of_errors(stack, function, topic)


def last_reboot(stack: RouterStack) -> str:
    """The name of the parameter that remembers the last reboot, without its leading slash."""
    return f"therouter/{stack.settings.stage}/watchdog/last-reboot"


def _let_reboot(stack: RouterStack, role: iam.Role) -> None:
    """Look at everything that it decides from; reboot nodes that carry the recovery tag of this stage, and nothing else."""
    instances = f"arn:aws:ec2:{stack.region}:{stack.account}:instance/*"
    tags = {f"aws:ResourceTag/{RECOVERY_TAG}": "true", "aws:ResourceTag/therouter:stage": stack.settings.stage}
    memory = stack.format_arn(service="ssm", resource="parameter", resource_name=last_reboot(stack))
    reboots = iam.PolicyStatement(
        actions=["ec2:RebootInstances"], resources=[instances], conditions={"StringEquals": tags}
    )
    remembers = iam.PolicyStatement(actions=["ssm:GetParameter", "ssm:PutParameter"], resources=[memory])
    looks = iam.PolicyStatement(
        actions=[
            "cloudwatch:DescribeAlarms",
            "ec2:DescribeInstances",
            "elasticloadbalancing:DescribeTargetHealth",
            "rds:DescribeDBInstances",
        ],
        resources=["*"],
    )
    policy = iam.Policy(stack, "May-watchdog", roles=[role], statements=[reboots, remembers, looks])
    accept(policy, "IAM5[Resource::*]", "these read-only calls know no narrower resource")
    accept(policy, f"IAM5[Resource::{instances}]", "any node, if it carries the recovery tag")
