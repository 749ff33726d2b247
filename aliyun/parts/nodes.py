"""A pool of nodes: managed, encrypted, repaired when they fail, without an address in the internet."""

from __future__ import annotations

from aliyun.base import RECOVERY_TAG, Resource, RouterStack
from aliyun.network import NetworkStack
from stacks.manifests.cluster import POOL_LABEL

NODE_DISK_GB = 50


def build_pool(stack: RouterStack, cluster: Resource, network: NetworkStack, pool: str) -> None:
    """Make a pool of this name; the policy and the sizes have rows of the same name."""
    policy = stack.policy
    stack.add(
        f"{pool.capitalize()}Pool",
        "ALIYUN::CS::ClusterNodePool",
        {
            "ClusterId": cluster.att("ClusterId"),
            "NodePoolInfo": {"Name": pool},
            "AutoScaling": {
                "Enable": True,
                "MinInstances": getattr(policy, f"{pool}_nodes_min"),
                "MaxInstances": getattr(policy, f"{pool}_nodes_max"),
                "Type": "cpu",
            },
            "Management": {"Enable": True, "AutoRepair": True},
            "KubernetesConfig": {
                "Runtime": "containerd",
                "RuntimeVersion": "2.1.3",
                "Labels": [{"Key": POOL_LABEL, "Value": pool}],
                # The controllers that come with the cluster (names, metrics, load balancer) run on the provider pool.
                **(
                    {"Taints": [{"Key": POOL_LABEL, "Value": pool, "Effect": "NoSchedule"}]}
                    if pool == "gateway"
                    else {}
                ),
            },
            "ScalingGroup": {
                "VSwitchIds": [stack.use(switch) for switch in network.switches[pool]],
                "InstanceTypes": [getattr(stack.settings.sizes, f"{pool}_node")],
                "ImageType": "ContainerOS",
                "MultiAzPolicy": "BALANCE",
                "SecurityGroupId": stack.use(network.groups[pool]),
                "SystemDiskCategory": "cloud_essd",
                "SystemDiskSize": NODE_DISK_GB,
                "SystemDiskEncrypted": True,
                "InternetMaxBandwidthOut": 0,
                "Tags": [
                    {"Key": RECOVERY_TAG, "Value": "true"},
                    {"Key": "therouter:pool", "Value": pool},
                    {"Key": "therouter:stage", "Value": stack.settings.stage},
                ],
            },
        },
    )
