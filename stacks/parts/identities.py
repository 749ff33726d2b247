"""Who is who in the cluster: the operators, and each pod's service account."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_iam as iam

from handlers.workloads import Kind
from stacks.base import RouterStack
from stacks.manifests.cluster import NAMESPACE


def admit_operators(stack: RouterStack, cluster: eks.ICluster) -> None:
    """The holders of the administrators' roles, and nobody else, may administer the cluster."""
    scope = eks.AccessScopeType.CLUSTER
    for name in stack.settings.administrators:
        eks.AccessEntry(
            stack,
            f"Operator-{name}",
            cluster=cluster,
            principal=f"arn:{stack.partition}:iam::{stack.account}:role/{name}",
            access_policies=[
                eks.AccessPolicy.from_access_policy_name("AmazonEKSClusterAdminPolicy", access_scope_type=scope)
            ],
        )


def bind_identities(stack: RouterStack, cluster: eks.ICluster, roles: Mapping[str, iam.Role]) -> None:
    """Each pod's service account gets its own role, and only that account gets it."""
    for workload in stack.settings.workloads:
        if workload.kind is Kind.POD:
            eks.CfnPodIdentityAssociation(
                stack,
                f"Identity-{workload.name}",
                cluster_name=cluster.cluster_name,
                namespace=NAMESPACE,
                service_account=workload.name,
                role_arn=roles[workload.name].role_arn,
            )
