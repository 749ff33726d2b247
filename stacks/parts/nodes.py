"""A pool of nodes: managed, encrypted, replaced when they fail, and keeping their identity to themselves."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_iam as iam

from stacks.base import RECOVERY_TAG, RouterStack, accept
from stacks.manifests.cluster import POOL_LABEL
from stacks.parts.findings import MANAGED

NODE_DISK_GB = 50
MACHINES = {"production": "m7g.large", "staging": "t4g.large", "small": "t4g.large"}
_NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One pool of nodes."""

    name: str
    group: ec2.SecurityGroup
    subnets: ec2.SubnetSelection
    size_min: int
    size_max: int


def build_pool(stack: RouterStack, cluster: eks.ICluster, pool: Pool) -> None:
    """Make a pool: its template, its role, its group of nodes."""
    template = _build_template(stack, cluster, pool)
    eks.Nodegroup(
        stack,
        f"Pool-{pool.name}",
        cluster=cluster,
        node_role=_node_role(stack, pool),
        subnets=pool.subnets,
        instance_types=[ec2.InstanceType(MACHINES[stack.settings.stage])],
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


def _build_template(stack: RouterStack, cluster: eks.ICluster, pool: Pool) -> ec2.LaunchTemplate:
    template = ec2.LaunchTemplate(
        stack,
        f"Template-{pool.name}",
        block_devices=[
            ec2.BlockDevice(
                device_name="/dev/xvda",
                volume=ec2.BlockDeviceVolume.ebs(NODE_DISK_GB, encrypted=True, volume_type=ec2.EbsDeviceVolumeType.GP3),
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
        [pool.group.security_group_id, cluster.cluster_security_group_id],
    )
    properties.add_property_override(
        "LaunchTemplateData.TagSpecifications",
        [
            {
                "ResourceType": "instance",
                "Tags": [
                    {"Key": RECOVERY_TAG, "Value": "true"},
                    {"Key": "therouter:pool", "Value": pool.name},
                    {"Key": "therouter:stage", "Value": stack.settings.stage},
                ],
            }
        ],
    )
    return template


def _node_role(stack: RouterStack, pool: Pool) -> iam.Role:
    role = iam.Role(
        stack,
        f"NodeRole-{pool.name}",
        assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
        managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name(name) for name in _NODE_POLICIES],
    )
    for name in _NODE_POLICIES:
        accept(role, f"IAM4[{MANAGED}{name}]", "EKS requires it of every node")
    return role
