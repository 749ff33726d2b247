"""EKS with two node pools: one for the gateway, one for the provider pods, so that a kernel lies between them.

Managed node groups rather than Auto Mode, whose nodes may be neither alarmed nor rebooted. Pod Identity rather than OIDC: the
trust is the same for all roles, and a role can exist before the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk.lambda_layer_kubectl_v36 import KubectlV36Layer
from constructs import Construct

from stacks.base import RouterStack, log_group
from stacks.network import Groups
from stacks.parts.findings import accept_cluster_parts
from stacks.parts.identities import admit_operators, bind_identities
from stacks.parts.nodes import Pool, build_pool
from stacks.settings import Settings

VERSION = eks.KubernetesVersion.V1_36
SERVICE_ADDRESSES = "172.20.0.0/16"
RELAY_BLOCK = "172.20.128.0/17"
ADDONS: dict[str, dict[str, object]] = {
    # Without this option network policies are accepted and ignored.
    "vpc-cni": {"enableNetworkPolicy": "true"},
    "kube-proxy": {},
    "coredns": {},
    "eks-pod-identity-agent": {},
    # The autoscalers are inert without it.
    "metrics-server": {},
}


class ClusterStack(RouterStack):
    """The cluster, its add-ons, its pools, and who is who in it."""

    def __init__(
        self,
        scope: Construct,
        *,
        settings: Settings,
        vpc: ec2.Vpc,
        subnets: Mapping[str, ec2.SubnetSelection],
        groups: Groups,
        roles: Mapping[str, iam.Role],
    ) -> None:
        super().__init__(scope, "Cluster", settings=settings)
        key = self._build_key()
        # The library's class lacks one optional member of its own interface.
        self.cluster = cast("eks.ICluster", self._build_cluster(vpc, subnets["gateway"], key))
        self._build_addons()
        policy = self.policy
        for pool in (
            Pool(
                name="gateway",
                group=groups.gateway_nodes,
                subnets=subnets["gateway"],
                size_min=policy.gateway_nodes_min,
                size_max=policy.gateway_nodes_max,
            ),
            Pool(
                name="provider",
                group=groups.provider_nodes,
                subnets=subnets["provider"],
                size_min=policy.provider_nodes_min,
                size_max=policy.provider_nodes_max,
            ),
        ):
            build_pool(self, self.cluster, pool)
        accept_cluster_parts(self, self.cluster)
        admit_operators(self, self.cluster)
        bind_identities(self, self.cluster, roles)

    def _build_key(self) -> kms.Key:
        return kms.Key(
            self,
            "Key",
            description=f"TheRouter {self.settings.stage}: what Kubernetes stores",
            enable_key_rotation=True,
            rotation_period=cdk.Duration.days(self.policy.key_rotation_days),
            pending_window=cdk.Duration.days(self.policy.key_deletion_wait_days),
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )

    def _build_cluster(self, vpc: ec2.Vpc, subnets: ec2.SubnetSelection, key: kms.Key) -> eks.Cluster:
        name = self.settings.cluster_name
        # Made before the cluster; otherwise EKS makes one that never forgets.
        logs = log_group(self, "Logs", days=self.policy.cluster_log_retention_days, name=f"/aws/eks/{name}/cluster")
        cluster = eks.Cluster(
            self,
            "Cluster",
            cluster_name=name,
            version=VERSION,
            vpc=vpc,
            vpc_subnets=[subnets],
            default_capacity_type=eks.DefaultCapacityType.NODEGROUP,
            default_capacity=0,
            endpoint_access=eks.EndpointAccess.PRIVATE,
            service_ipv4_cidr=SERVICE_ADDRESSES,
            secrets_encryption_key=key,
            bootstrap_cluster_creator_admin_permissions=False,
            cluster_logging=[
                eks.ClusterLoggingTypes.API,
                eks.ClusterLoggingTypes.AUDIT,
                eks.ClusterLoggingTypes.AUTHENTICATOR,
            ],
            kubectl_provider_options=eks.KubectlProviderOptions(
                kubectl_layer=KubectlV36Layer(self, "Kubectl"), private_subnets=list(subnets.subnets or [])
            ),
            alb_controller=eks.AlbControllerOptions(version=eks.AlbControllerVersion.V3_2_2),
        )
        cluster.node.add_dependency(logs)
        return cluster

    def _build_addons(self) -> None:
        for name, values in ADDONS.items():
            eks.Addon(
                self,
                f"Addon-{name}",
                cluster=self.cluster,
                addon_name=name,
                configuration_values=values or None,
            )
