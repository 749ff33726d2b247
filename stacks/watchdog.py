"""The eye outside: a Route 53 health check on the public address, its alarm, and the alarm's way to us-east-2.

Health checks publish their metrics in us-east-1 alone, so the alarm is there; an event rule carries its changes to the default
bus of us-east-2, where the watchdog function is. The probe goes through the edge, so it tests name, certificate, web ACL,
origin, load balancer and gateway together.
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_route53 as route53
from constructs import Construct

from stacks.alerts import build_topic, watch_certificate
from stacks.base import RouterStack
from stacks.edge import EdgeStack
from stacks.recovery import unresponsive_alarm
from stacks.settings import REGION, Settings
from stacks.waf import HEALTH_PATH


class WatchdogStack(RouterStack):
    """Health check, alarm, and the rule that carries the alarm over."""

    def __init__(self, scope: Construct, *, settings: Settings, edge: EdgeStack) -> None:
        super().__init__(scope, "Watchdog", settings=settings, edge=True)
        topic = build_topic(self)
        alarm = self._build_alarm(self._build_check())
        alarm.add_alarm_action(actions.SnsAction(topic))
        alarm.add_ok_action(actions.SnsAction(topic))
        self._carry_over()
        watch_certificate(self, edge.certificate.certificate_arn, topic)

    def _build_check(self) -> route53.CfnHealthCheck:
        return route53.CfnHealthCheck(
            self,
            "Probe",
            health_check_config=route53.CfnHealthCheck.HealthCheckConfigProperty(
                type="HTTPS",
                fully_qualified_domain_name=self.settings.domain,
                port=443,
                resource_path=HEALTH_PATH,
                request_interval=self.policy.health_check_interval_s,
                failure_threshold=self.policy.health_check_failures,
                enable_sni=True,
            ),
        )

    def _build_alarm(self, check: route53.CfnHealthCheck) -> cloudwatch.Alarm:
        metric = cloudwatch.Metric(
            namespace="AWS/Route53",
            metric_name="HealthCheckStatus",
            dimensions_map={"HealthCheckId": check.attr_health_check_id},
            statistic="Minimum",
            period=cdk.Duration.minutes(1),
        )
        return metric.create_alarm(
            self,
            "Unresponsive",
            alarm_name=unresponsive_alarm(self.settings),
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            threshold=1,
            evaluation_periods=1,
            # No data yet means a first deployment; breaching would reboot it.
            treat_missing_data=cloudwatch.TreatMissingData.IGNORE,
        )

    def _carry_over(self) -> None:
        bus = events.EventBus.from_event_bus_arn(
            self, "Bus", self.format_arn(service="events", region=REGION, resource="event-bus", resource_name="default")
        )
        events.Rule(
            self,
            "CarryOver",
            event_pattern=events.EventPattern(
                source=["aws.cloudwatch"],
                detail_type=["CloudWatch Alarm State Change"],
                detail={"alarmName": [unresponsive_alarm(self.settings)]},
            ),
            targets=[targets.EventBus(bus)],
        )
