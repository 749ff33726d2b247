"""A bucket as every bucket here is."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3

from stacks.base import RouterStack, accept


def closed_bucket(stack: RouterStack, name: str, **more: object) -> s3.Bucket:
    """A bucket that is private, encrypted and speaks TLS alone."""
    bucket = s3.Bucket(
        stack,
        name,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        encryption=s3.BucketEncryption.S3_MANAGED,
        enforce_ssl=True,
        removal_policy=cdk.RemovalPolicy.RETAIN,
        **more,  # type: ignore[arg-type]
    )
    accept(bucket, "S1", "a log of who read the logs would itself hold addresses beyond the promised days")
    return bucket
