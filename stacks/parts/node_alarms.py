"""The function that gives each node its alarms: woken when a node starts or ends, and every hour."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns

from handlers.workloads import Workload
from stacks.alerts import run_every, tell_of_errors
from stacks.base import RouterStack, accept
from stacks.function import Surroundings, build_function


def build_node_alarms(stack: RouterStack, workload: Workload, surroundings: Surroundings, topic: sns.Topic) -> None:
    """The function, what it may do, and what wakes it."""
    function = build_function(stack, workload, surroundings, timeout_s=120, concurrency=1)
    _let_write(stack, surroundings.roles[workload.name])
    settings = {
        "stage": stack.settings.stage,
        "period_s": stack.policy.status_check_period_s,
        "recover_after_failures": stack.policy.recover_after_failures,
        "restart_after_failures": stack.policy.restart_after_failures,
    }
    events.Rule(
        stack,
        "NodeStartsOrEnds",
        event_pattern=events.EventPattern(
            source=["aws.ec2"],
            detail_type=["EC2 Instance State-change Notification"],
            detail={"state": ["running", "terminated"]},
        ),
        targets=[
            targets.LambdaFunction(
                function,
                event=events.RuleTargetInput.from_object(
                    {
                        **settings,
                        "instance": events.EventField.from_path("$.detail.instance-id"),
                        "state": events.EventField.from_path("$.detail.state"),
                    }
                ),
            )
        ],
    )
    run_every(stack, "Reconcile", function, cdk.Duration.minutes(stack.policy.alarm_reconcile_minutes), settings)
    tell_of_errors(stack, function, topic)


def _let_write(stack: RouterStack, role: iam.Role) -> None:
    """Alarms of nodes of this stage, and nothing else."""
    alarms = f"arn:aws:cloudwatch:{stack.region}:{stack.account}:alarm:therouter-{stack.settings.stage}-node-*"
    writes = iam.PolicyStatement(actions=["cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms"], resources=[alarms])
    reads = iam.PolicyStatement(actions=["cloudwatch:DescribeAlarms", "ec2:DescribeInstances"], resources=["*"])
    policy = iam.Policy(stack, "May-alarms", roles=[role], statements=[writes, reads])
    accept(policy, "IAM5[Resource::*]", "these read-only calls know no narrower resource")
    accept(policy, f"IAM5[Resource::{alarms}]", "the alarms of nodes that do not exist yet")
