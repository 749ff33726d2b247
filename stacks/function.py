"""One function of ours: the same image as the pods, the entry of its row, a role of its own, a log group that forgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_

from handlers.workloads import Workload
from stacks.base import RouterStack, log_group
from stacks.manifests import Cluster
from stacks.manifests.containers import environment

RUNTIME_INTERFACE = "awslambdaric"
"""The client of Lambda's runtime interface; part of the image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What functions are made of, and where they stand."""

    roles: Mapping[str, iam.Role]
    cluster: Cluster
    vpc: ec2.Vpc
    subnets: ec2.SubnetSelection
    group: ec2.SecurityGroup


def build_function(
    stack: RouterStack,
    workload: Workload,
    surroundings: Surroundings,
    *,
    timeout_s: int,
    memory_mb: int = 512,
    concurrency: int | None = None,
) -> lambda_.DockerImageFunction:
    """Make the function of a row; in the network only if it has a way to the database."""
    image = lambda_.DockerImageCode.from_ecr(
        _repository(stack, workload),
        tag_or_digest=stack.settings.digest,
        entrypoint=["python", "-m", RUNTIME_INTERFACE],
        cmd=[workload.entry],
    )
    inside = bool(workload.database_role)
    return lambda_.DockerImageFunction(
        stack,
        f"Function-{workload.name}",
        code=image,
        architecture=lambda_.Architecture.ARM_64,
        # The role and what it may do stand beside the secrets; a function adds nothing to it.
        role=surroundings.roles[workload.name].without_policy_updates(),
        environment=environment(surroundings.cluster, workload),
        log_group=log_group(
            stack,
            f"Logs-{workload.name}",
            days=stack.policy.function_log_retention_days,
            name=stack.settings.log_group(workload),
        ),
        timeout=cdk.Duration.seconds(timeout_s),
        memory_size=memory_mb,
        reserved_concurrent_executions=concurrency,
        vpc=surroundings.vpc if inside else None,
        vpc_subnets=surroundings.subnets if inside else None,
        security_groups=[surroundings.group] if inside else None,
    )


def _repository(stack: RouterStack, workload: Workload) -> ecr.IRepository:
    """By its name: the image is there before the function is, and its address is a setting."""
    name = stack.settings.repository
    return ecr.Repository.from_repository_attributes(
        stack,
        f"Repository-{workload.name}",
        repository_arn=f"arn:aws:ecr:{stack.region}:{stack.account}:repository/{name}",
        repository_name=name,
    )
