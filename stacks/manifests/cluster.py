"""What the manifests of one deployment are built from, and the names they agree on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

from handlers.settings import NO_DOORS, Doors
from handlers.workloads import IDENTITY_HOSTS, RELAY_PORT_FIRST, Workload, relay_slot

Document = dict[str, Any]
"""One Kubernetes object."""

NAMESPACE = "therouter"
NAME_LABEL = "app.kubernetes.io/name"
ROOM_LABEL = "therouter.ai/room"
POOL_LABEL = "therouter.ai/pool"
POOLS = {"gateway": "gateway", "door": "gateway", "provider": "provider", "relay": "provider"}
"""Room -> the node pool that carries it. The database admits the gateway's pool alone, so the door to it is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What differs between deployments."""

    region: str
    cloud: str
    environment: str
    image: str
    """Repository and digest."""
    public_url: str
    database_host: str
    database_door: str
    """The load balancer in front of the door, for functions."""
    ingress_ranges: tuple[str, ...]
    """Subnets of the load balancers."""
    database_ranges: tuple[str, ...]
    relay_block: str
    """A /17 within the cluster's range of service addresses; the relay's addresses lie in it."""
    identity_range: str = ""
    """Where the agent that hands out a pod's identity answers on port 80; empty when there is none."""
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    mail_sender: str = ""
    """The address that notices to people come from."""
    account_annotations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Workload -> what binds its service account to its cloud identity."""
    doors: Doors = NO_DOORS
    archive: str = ""
    """The bucket for copies of audit checkpoints."""


def metadata(name: str, **more: object) -> Document:
    """The metadata of an object in our namespace."""
    return {"name": name, "namespace": NAMESPACE, **more}


def hosts_of(cluster: Cluster, workload: Workload) -> tuple[str, ...]:
    """The hosts that a pod may reach: its own, and those where its identity's secrets are. Relay and door use none."""
    return (*IDENTITY_HOSTS[cluster.region], *workload.hosts) if workload.room not in {"relay", "door"} else ()


def relay_address(cluster: Cluster, host: str) -> str:
    """The address under which pods find a host."""
    return str(IPv4Network(cluster.relay_block)[relay_slot(host)])


def relay_port(host: str) -> int:
    """The relay's port for a host."""
    return RELAY_PORT_FIRST + relay_slot(host)


def reach_label(host: str) -> str:
    """The label of pods that may reach a host."""
    return f"therouter.ai/reaches-{relay_port(host)}"


def labels(cluster: Cluster, workload: Workload) -> dict[str, str]:
    """What policies know a workload's pods by: its name, its room, and the hosts that it may reach."""
    reaches = {reach_label(host): "yes" for host in hosts_of(cluster, workload)}
    return {NAME_LABEL: workload.name, "app.kubernetes.io/part-of": NAMESPACE, ROOM_LABEL: workload.room, **reaches}
