"""CloudFront's access logs: standard logging version 2, whose fields can be chosen, in us-east-1, where its delivery must be."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3

from stacks.base import RouterStack
from stacks.parts.bucket import closed_bucket

STORAGE_LAG_DAYS = 2
"""Delivery may lag a day, and S3 expires objects at the midnight after: rules start this much earlier."""


def build_access_logs(stack: RouterStack, distribution: cloudfront.Distribution) -> None:
    """Deliver exactly the fields of the policy to a bucket that forgets."""
    days = stack.policy.edge_log_retention_days - STORAGE_LAG_DAYS
    bucket = closed_bucket(
        stack,
        "AccessLogs",
        lifecycle_rules=[
            s3.LifecycleRule(
                expiration=cdk.Duration.days(days), abort_incomplete_multipart_upload_after=cdk.Duration.days(1)
            )
        ],
    )
    granted = bucket.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal("delivery.logs.amazonaws.com")],
            actions=["s3:PutObject"],
            resources=[bucket.arn_for_objects("*")],
            conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
        )
    )
    name = f"therouter-{stack.settings.stage}-edge"
    source = logs.CfnDeliverySource(
        stack, "LogSource", name=name, log_type="ACCESS_LOGS", resource_arn=distribution.distribution_arn
    )
    destination = logs.CfnDeliveryDestination(
        stack, "LogDestination", name=name, destination_resource_arn=bucket.bucket_arn, output_format="json"
    )
    if granted.policy_dependable is not None:
        destination.node.add_dependency(granted.policy_dependable)
    delivery = logs.CfnDelivery(
        stack,
        "LogDelivery",
        delivery_source_name=name,
        delivery_destination_arn=destination.attr_arn,
        record_fields=list(stack.policy.edge_log_fields),
    )
    delivery.node.add_dependency(source)
