"""EKS with two node pools: one for the gateway, one for the provider pods, so that a kernel lies between them.

Managed node groups rather than Auto Mode, whose nodes may be neither alarmed nor rebooted. Pod Identity rather than OIDC: the
trust is the same for all roles, and a role can exist before the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk.lambda_layer_kubectl_v36 import KubectlV36Layer
from constructs import Construct

from handlers.workloads import Kind
from stacks.base import RECOVERY_TAG, RouterStack, accept, child, log_group
from stacks.manifests.cluster import NAMESPACE, POOL_LABEL
from stacks.network import Groups
from stacks.settings import Settings

VERSION = eks.KubernetesVersion.V1_36
SERVICE_ADDRESSES = "172.20.0.0/16"
RELAY_BLOCK = "172.20.128.0/17"
NODE_DISK_GB = 50
MACHINES = {"production": "m7g.large", "staging": "t4g.large", "small": "t4g.large"}
ADDONS: dict[str, dict[str, object]] = {
    # Without this option network policies are accepted and ignored.
    "vpc-cni": {"enableNetworkPolicy": "true", "env": {"NETWORK_POLICY_ENFORCING_MODE": "strict"}},
    "kube-proxy": {},
    "coredns": {},
    "eks-pod-identity-agent": {},
    # The autoscalers are inert without it.
    "metrics-server": {},
}
_MANAGED = "Policy::arn:<AWS::Partition>:iam::aws:policy/"
_PUBLIC_REGISTRY = (
    '{"Fn::If":["ClusterKubectlProviderHandlerHasEcrPublic69E09706",{"Fn::Join":["",["arn:",{"Ref":"AWS::Partition"},'
    '":iam::aws:policy/AmazonElasticContainerRegistryPublicReadOnly"]]},{"Ref":"AWS::NoValue"}]}'
)
_CONTROLLER_RESOURCES = (
    "*",
    "arn:<AWS::Partition>:ec2:*:*:security-group/*",
    *(
        f"arn:<AWS::Partition>:elasticloadbalancing:*:*:{kind}"
        for kind in (
            "loadbalancer/app/*/*",
            "loadbalancer/net/*/*",
            "targetgroup/*/*",
            "listener/app/*/*/*",
            "listener/net/*/*/*",
            "listener-rule/app/*/*/*",
            "listener-rule/net/*/*/*",
        )
    ),
)
_NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One pool of nodes."""

    name: str
    group: ec2.SecurityGroup
    subnets: ec2.SubnetSelection
    size_min: int
    size_max: int


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
            self._build_pool(pool)
        self._admit_operators()
        self._accept_findings()
        self._bind_identities(roles)

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

    def _build_pool(self, pool: Pool) -> None:
        template = ec2.LaunchTemplate(
            self,
            f"Template-{pool.name}",
            block_devices=[
                ec2.BlockDevice(
                    device_name="/dev/xvda",
                    volume=ec2.BlockDeviceVolume.ebs(
                        NODE_DISK_GB, encrypted=True, volume_type=ec2.EbsDeviceVolumeType.GP3
                    ),
                )
            ],
            http_tokens=ec2.LaunchTemplateHttpTokens.REQUIRED,
            http_put_response_hop_limit=1,
            detailed_monitoring=True,
        )
        properties = template.node.default_child
        assert isinstance(properties, ec2.CfnLaunchTemplate)  # noqa: S101 - narrows a type at synthesis
        # A template that names groups loses the cluster's own; both are listed.
        properties.add_property_override(
            "LaunchTemplateData.SecurityGroupIds",
            [pool.group.security_group_id, self.cluster.cluster_security_group_id],
        )
        properties.add_property_override(
            "LaunchTemplateData.TagSpecifications",
            [
                {
                    "ResourceType": "instance",
                    "Tags": [
                        {"Key": RECOVERY_TAG, "Value": "true"},
                        {"Key": "therouter:pool", "Value": pool.name},
                        {"Key": "therouter:stage", "Value": self.settings.stage},
                    ],
                }
            ],
        )
        eks.Nodegroup(
            self,
            f"Pool-{pool.name}",
            cluster=self.cluster,
            node_role=self._node_role(pool),
            subnets=pool.subnets,
            instance_types=[ec2.InstanceType(MACHINES[self.settings.stage])],
            ami_type=eks.NodegroupAmiType.AL2023_ARM_64_STANDARD,
            min_size=pool.size_min,
            desired_size=pool.size_min,
            max_size=pool.size_max,
            labels={POOL_LABEL: pool.name},
            # The controllers that come with the cluster (names, metrics, load balancer) run on the provider pool.
            taints=[eks.TaintSpec(key=POOL_LABEL, value=pool.name, effect=eks.TaintEffect.NO_SCHEDULE)]
            if pool.name == "gateway"
            else [],
            launch_template_spec=eks.LaunchTemplateSpec(
                id=template.launch_template_id or "", version=template.latest_version_number
            ),
            enable_node_auto_repair=True,
        )

    def _node_role(self, pool: Pool) -> iam.Role:
        role = iam.Role(
            self,
            f"NodeRole-{pool.name}",
            assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name(name) for name in _NODE_POLICIES],
        )
        for name in _NODE_POLICIES:
            accept(role, f"IAM4[{_MANAGED}{name}]", "EKS requires it of every node")
        return role

    def _accept_findings(self) -> None:
        """What the CDK's own parts bring along. They run when a deployment does, and not in between."""
        accept(self.cluster, f"IAM4[{_MANAGED}AmazonEKSClusterPolicy]", "EKS requires it of every cluster")
        hands = child(self.cluster, "KubectlProvider")
        for finding in (
            f"IAM4[{_MANAGED}service-role/AWSLambdaBasicExecutionRole]",
            f"IAM4[{_MANAGED}service-role/AWSLambdaVPCAccessExecutionRole]",
            f"IAM4[{_MANAGED}AmazonEC2ContainerRegistryReadOnly]",
            f"IAM4[Policy::{_PUBLIC_REGISTRY}]",
            "IAM5[Resource::<ClusterKubectlProviderHandler2E05C68A.Arn>:*]",
            "L1",
        ):
            accept(
                hands, finding, "the CDK's hand on the cluster, in the CDK's own version; it runs at deployments alone"
            )
        controller = child(self, "-AlbController")
        for resource in _CONTROLLER_RESOURCES:
            accept(
                controller, f"IAM5[Resource::{resource}]", "the load balancer controller's published policy, unchanged"
            )

    def _admit_operators(self) -> None:
        for name in self.settings.administrators:
            eks.AccessEntry(
                self,
                f"Operator-{name}",
                cluster=self.cluster,
                principal=f"arn:{self.partition}:iam::{self.account}:role/{name}",
                access_policies=[
                    eks.AccessPolicy.from_access_policy_name(
                        "AmazonEKSClusterAdminPolicy", access_scope_type=eks.AccessScopeType.CLUSTER
                    )
                ],
            )

    def _bind_identities(self, roles: Mapping[str, iam.Role]) -> None:
        """Each pod's service account gets its own role, and only that account gets it."""
        for workload in self.settings.workloads:
            if workload.kind is Kind.POD:
                eks.CfnPodIdentityAssociation(
                    self,
                    f"Identity-{workload.name}",
                    cluster_name=self.cluster.cluster_name,
                    namespace=NAMESPACE,
                    service_account=workload.name,
                    role_arn=roles[workload.name].role_arn,
                )
