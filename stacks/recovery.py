"""What brings nodes back: alarms for each node that starts, and a watchdog that reboots one node when nothing answers.

CloudWatch's recover and reboot actions take an alarm on exactly one instance, so alarms are made when a node starts and deleted
when it ends; every hour the function compares what exists with what should.

The watchdog is told of alarms on both sides: the public address, probed by Route 53 (its alarm lives in us-east-1 and reaches this
region over the event bus), and the load balancer's count of healthy targets here, so that trouble in us-east-1 disarms nothing.
Alarms speak once, when they change; so while one lasts, a schedule makes the watchdog look again.
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_rds as rds
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from handlers.workloads import Workload
from stacks.alerts import build_topic, run_every, tell_of_errors, watch_certificate
from stacks.base import RECOVERY_TAG, RouterStack, accept
from stacks.function import Surroundings, build_function
from stacks.ingress import IngressStack
from stacks.parts.node_alarms import build_node_alarms
from stacks.settings import EDGE_REGION, Settings


def unresponsive_alarm(settings: Settings) -> str:
    """Name of the alarm on the public address; fixed because it lives in another region."""
    return f"therouter-{settings.stage}-unresponsive"


class RecoveryStack(RouterStack):
    """The alarms function, the watchdog, and the topic that people are told through."""

    def __init__(
        self,
        scope: Construct,
        *,
        settings: Settings,
        surroundings: Surroundings,
        ingress: IngressStack,
        database: rds.DatabaseInstance,
    ) -> None:
        super().__init__(scope, "Recovery", settings=settings)
        self._surroundings = surroundings
        self.topic = build_topic(self)
        build_node_alarms(self, self._workload("alarms"), surroundings, self.topic)
        self._build_watchdog(ingress, database)
        watch_certificate(self, ingress.certificate.certificate_arn, self.topic)

    def _workload(self, name: str) -> Workload:
        return next(row for row in self.settings.workloads if row.name == name)

    def _build_watchdog(self, ingress: IngressStack, database: rds.DatabaseInstance) -> None:
        function = build_function(self, self._workload("watchdog"), self._surroundings, timeout_s=60, concurrency=1)
        memory = ssm.StringParameter(
            self,
            "LastReboot",
            parameter_name=f"/{_last_reboot(self)}",
            string_value="never",
            description="when the watchdog last rebooted a node, and which",
        )
        unhealthy = self._healthy_count_alarm(ingress)
        policy = iam.Policy(
            self,
            "May-watchdog",
            roles=[self._surroundings.roles["watchdog"]],
            statements=list(self._watchdog_statements()),
        )
        accept(policy, "IAM5[Resource::*]", "these read-only calls know no narrower resource")
        accept(policy, f"IAM5[Resource::{_instances(self)}]", "any node, if it carries the recovery tag")
        settings = {
            "stage": self.settings.stage,
            "alarms": [
                {"name": unresponsive_alarm(self.settings), "region": EDGE_REGION},
                {"name": unhealthy.alarm_name, "region": self.region},
            ],
            "target_group": ingress.targets.target_group_arn,
            "database": database.instance_identifier,
            "memory": memory.parameter_name,
            "cooldown_minutes": self.policy.reboot_cooldown_minutes,
        }
        events.Rule(
            self,
            "SomethingStopsAnswering",
            event_pattern=events.EventPattern(
                source=["aws.cloudwatch"],
                detail_type=["CloudWatch Alarm State Change"],
                detail={
                    "alarmName": [unresponsive_alarm(self.settings), unhealthy.alarm_name],
                    "state": {"value": ["ALARM"]},
                },
            ),
            targets=[targets.LambdaFunction(function, event=events.RuleTargetInput.from_object(settings))],
        )
        run_every(self, "LookAgain", function, cdk.Duration.minutes(self.policy.watchdog_interval_minutes), settings)
        tell_of_errors(self, function, self.topic)

    def _healthy_count_alarm(self, ingress: IngressStack) -> cloudwatch.Alarm:
        metric = cloudwatch.Metric(
            namespace="AWS/ApplicationELB",
            metric_name="HealthyHostCount",
            dimensions_map={
                "LoadBalancer": ingress.balancer.load_balancer_full_name,
                "TargetGroup": ingress.targets.target_group_full_name,
            },
            statistic="Maximum",
            period=cdk.Duration.minutes(1),
        )
        alarm = metric.create_alarm(
            self,
            "NoHealthyTarget",
            alarm_name=f"therouter-{self.settings.stage}-no-healthy-target",
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            threshold=1,
            evaluation_periods=self.policy.health_check_failures,
            # No data yet means a first deployment, not an outage.
            treat_missing_data=cloudwatch.TreatMissingData.IGNORE,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))
        return alarm

    def _watchdog_statements(self) -> tuple[iam.PolicyStatement, ...]:
        return (
            iam.PolicyStatement(
                actions=["ec2:RebootInstances"],
                resources=[_instances(self)],
                conditions={
                    "StringEquals": {
                        f"aws:ResourceTag/{RECOVERY_TAG}": "true",
                        "aws:ResourceTag/therouter:stage": self.settings.stage,
                    }
                },
            ),
            iam.PolicyStatement(
                actions=["ssm:GetParameter", "ssm:PutParameter"],
                resources=[
                    self.format_arn(
                        service="ssm",
                        resource="parameter",
                        resource_name=_last_reboot(self),
                    )
                ],
            ),
            iam.PolicyStatement(
                actions=[
                    "cloudwatch:DescribeAlarms",
                    "ec2:DescribeInstances",
                    "elasticloadbalancing:DescribeTargetHealth",
                    "rds:DescribeDBInstances",
                ],
                resources=["*"],
            ),
        )


def _instances(stack: RouterStack) -> str:
    return f"arn:aws:ec2:{stack.region}:{stack.account}:instance/*"


def _last_reboot(stack: RouterStack) -> str:
    return f"therouter/{stack.settings.stage}/watchdog/last-reboot"
