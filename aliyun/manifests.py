"""What this cloud adds to the shared manifests: which network each pod has its address in, and the way to the door."""

from __future__ import annotations

from aliyun.cluster import RELAY_BLOCK
from aliyun.network import NetworkStack
from aliyun.settings import Settings
from handlers.workloads import Workload
from stacks.manifests.cluster import NAME_LABEL, ROOM_LABEL, Cluster, Document, metadata

DATABASE_HOST = "${DatabaseHost}"
DATABASE_DOOR = "${DatabaseDoor}"
"""Filled by ROS: the manifests stand in Fn::Sub."""


def deployed_cluster(
    settings: Settings, network: NetworkStack, roles: dict[str, str] | None = None, *, image: str = ""
) -> Cluster:
    """What the shared manifests need to know about this deployment."""
    return Cluster(
        region="china",
        cloud="aliyun",
        environment=settings.stage,
        image=image or settings.image,
        public_url=f"https://{settings.domain}",
        mail_sender=settings.mail_sender,
        database_host=DATABASE_HOST,
        database_door=DATABASE_DOOR,
        ingress_ranges=tuple(network.networks("ingress")),
        database_ranges=tuple(network.networks("database")),
        relay_block=RELAY_BLOCK,
        doors=settings.doors,
        archive=settings.archive,
        namespace_labels={"pod-identity.alibabacloud.com/injection": "on"},
        account_annotations={
            name: {"pod-identity.alibabacloud.com/role-name": role} for name, role in (roles or {}).items()
        },
    )


def pod_network(name: str, room: str, *, group: str, switches: list[str]) -> Document:
    """Terway: the pods of a room get their addresses in these vSwitches and this security group."""
    return {
        "apiVersion": "network.alibabacloud.com/v1beta1",
        "kind": "PodNetworking",
        "metadata": {"name": f"therouter-{name}"},
        "spec": {
            "allocationType": {"type": "Elastic"},
            "selector": {"podSelector": {"matchLabels": {ROOM_LABEL: room}}},
            "securityGroupIDs": [group],
            "vSwitchOptions": switches,
        },
    }


def door_balancer(door: Workload) -> Document:
    """The door's pods behind the load balancer that the door stack made; the controller owns its one listener."""
    prefix = "service.beta.kubernetes.io/alibaba-cloud-loadbalancer"
    annotations = {
        f"{prefix}-id": "${DoorBalancerId}",
        f"{prefix}-force-override-listeners": "true",
        # The pods' policy admits the load balancer's networks; a function's own address would say nothing more.
        f"{prefix}-preserve-client-ip": "off",
        f"{prefix}-health-check-type": "tcp",
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(f"{door.name}-balancer", annotations=annotations),
        "spec": {
            "type": "LoadBalancer",
            "loadBalancerClass": "alibabacloud.com/nlb",
            "allocateLoadBalancerNodePorts": False,
            "selector": {NAME_LABEL: door.name},
            "ports": [{"protocol": "TCP", "port": door.port, "targetPort": door.port}],
        },
    }
