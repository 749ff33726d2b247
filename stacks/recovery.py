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
from aws_cdk import aws_rds as rds
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from handlers.workloads import Workload
from stacks.alerts import build_topic, watch_certificate
from stacks.base import RouterStack
from stacks.function import Surroundings
from stacks.ingress import IngressStack
from stacks.parts.guarded_reboot import build_watchdog, last_reboot
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
        self.topic = build_topic(self)
        build_node_alarms(self, self._workload("alarms"), surroundings, self.topic)
        alarms = {unresponsive_alarm(settings): EDGE_REGION, self._healthy_count_alarm(ingress): self.region}
        event = self._watched(alarms, ingress, database)
        build_watchdog(self, self._workload("watchdog"), surroundings, self.topic, alarms=list(alarms), event=event)
        watch_certificate(self, ingress.certificate.certificate_arn, self.topic)

    def _workload(self, name: str) -> Workload:
        return next(row for row in self.settings.workloads if row.name == name)

    def _watched(
        self, alarms: dict[str, str], ingress: IngressStack, database: rds.DatabaseInstance
    ) -> dict[str, object]:
        """What the watchdog looks at; `alarms` maps names to regions."""
        memory = ssm.StringParameter(
            self,
            "LastReboot",
            parameter_name=f"/{last_reboot(self)}",
            string_value="never",
            description="when the watchdog last rebooted a node, and which",
        )
        return {
            "stage": self.settings.stage,
            "alarms": [{"name": name, "region": region} for name, region in alarms.items()],
            "target_group": ingress.targets.target_group_arn,
            "database": database.instance_identifier,
            "memory": memory.parameter_name,
            "cooldown_minutes": self.policy.reboot_cooldown_minutes,
        }

    def _healthy_count_alarm(self, ingress: IngressStack) -> str:
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
        name = f"therouter-{self.settings.stage}-no-healthy-target"
        alarm = metric.create_alarm(
            self,
            "NoHealthyTarget",
            alarm_name=name,
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            threshold=1,
            evaluation_periods=self.policy.health_check_failures,
            # No data yet means a first deployment, not an outage.
            treat_missing_data=cloudwatch.TreatMissingData.IGNORE,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))
        return alarm.alarm_name
