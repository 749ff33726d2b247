"""The one image's repository. Deployments name a digest, so rolling back is deploying the digest before."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from constructs import Construct

from stacks.base import RouterStack
from stacks.settings import Settings

IMAGES_KEPT = 50


class RegistryStack(RouterStack):
    """An ECR repository with immutable tags, scanned on push."""

    def __init__(self, scope: Construct, *, settings: Settings) -> None:
        super().__init__(scope, "Registry", settings=settings, stateful=True)
        self.repository = ecr.Repository(
            self,
            "Repository",
            repository_name=settings.repository,
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            image_scan_on_push=True,
            encryption=ecr.RepositoryEncryption.KMS,
            removal_policy=cdk.RemovalPolicy.RETAIN,
            lifecycle_rules=[ecr.LifecycleRule(max_image_count=IMAGES_KEPT)],
        )
