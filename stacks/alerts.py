"""How people are told: one topic in each region, encrypted, and the alarms that speak through it."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions

from stacks.base import RouterStack


def build_topic(stack: RouterStack) -> sns.Topic:
    """The region's topic, read by the operators' address."""
    key = kms.Key(
        stack,
        "AlertsKey",
        description=f"TheRouter {stack.settings.stage}: alarms on their way to people",
        enable_key_rotation=True,
        rotation_period=cdk.Duration.days(stack.policy.key_rotation_days),
        pending_window=cdk.Duration.days(stack.policy.key_deletion_wait_days),
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )
    key.grant_encrypt_decrypt(iam.ServicePrincipal("cloudwatch.amazonaws.com"))
    topic = sns.Topic(stack, "Alerts", master_key=key, enforce_ssl=True)
    topic.add_subscription(subscriptions.EmailSubscription(stack.settings.alarm_email))
    return topic


def watch_certificate(stack: RouterStack, certificate_arn: str, topic: sns.Topic) -> None:
    """Say so, several times, before a certificate ends that ACM should have renewed."""
    for days in stack.policy.certificate_expiry_alarm_days:
        metric = cloudwatch.Metric(
            namespace="AWS/CertificateManager",
            metric_name="DaysToExpiry",
            dimensions_map={"CertificateArn": certificate_arn},
            statistic="Minimum",
            period=cdk.Duration.days(1),
        )
        alarm = metric.create_alarm(
            stack,
            f"CertificateEndsIn{days}Days",
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_OR_EQUAL_TO_THRESHOLD,
            threshold=days,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.IGNORE,
        )
        alarm.add_alarm_action(actions.SnsAction(topic))


def tell_of_errors(stack: RouterStack, function: lambda_.IFunction, topic: sns.Topic) -> None:
    """An operations function that fails is somebody's business."""
    alarm = function.metric_errors(period=cdk.Duration.minutes(5), statistic="Sum").create_alarm(
        stack,
        f"{function.node.id}-Fails",
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        threshold=1,
        evaluation_periods=1,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )
    alarm.add_alarm_action(actions.SnsAction(topic))


def run_every(
    stack: RouterStack, name: str, function: lambda_.IFunction, interval: cdk.Duration, event: dict[str, object]
) -> None:
    """Call a function on a schedule with a constant event: the numbers that it acts on are in the template."""
    target = targets.LambdaFunction(function, event=events.RuleTargetInput.from_object(event))
    events.Rule(stack, name, schedule=events.Schedule.rate(interval), targets=[target])
