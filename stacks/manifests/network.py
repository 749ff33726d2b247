"""Who may talk to whom: one policy for each workload, on top of one that denies everything."""

from __future__ import annotations

from handlers.workloads import DATABASE_PORT, GATEWAY_PORT, WIRE_PORT, Workload
from stacks.manifests.cluster import (
    NAME_LABEL,
    ROOM_LABEL,
    Cluster,
    Document,
    hosts_of,
    metadata,
    reach_label,
    relay_port,
)

NOT_THE_INTERNET = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",
)
"""What the relay may not reach: private, link-local (and with it the instance's metadata), test and multicast ranges."""


def default_deny() -> Document:
    """Deny everything in both directions, for every pod of the namespace."""
    return _policy("default-deny", {}, ingress=[], egress=[])


def policy_of(cluster: Cluster, workload: Workload) -> Document:
    """The one policy of a workload."""
    ingress, egress = {"gateway": _gateway, "provider": _provider, "relay": _relay, "door": _door}[workload.room](
        cluster, workload
    )
    return _policy(workload.name, {NAME_LABEL: workload.name}, ingress=ingress, egress=egress)


def _gateway(cluster: Cluster, workload: Workload) -> tuple[list[Document], list[Document]]:
    ingress = [_rule("from", [_range(net) for net in cluster.ingress_ranges], GATEWAY_PORT)]
    egress = [
        _names(),
        _rule("to", [_pods({ROOM_LABEL: "provider"})], WIRE_PORT),
        _rule("to", [_range(net) for net in cluster.database_ranges], DATABASE_PORT),
        *_ways_out(cluster, workload),
    ]
    return ingress, egress


def _provider(cluster: Cluster, workload: Workload) -> tuple[list[Document], list[Document]]:
    return [_rule("from", [_pods({NAME_LABEL: "gateway"})], WIRE_PORT)], _ways_out(cluster, workload)


def _relay(_cluster: Cluster, workload: Workload) -> tuple[list[Document], list[Document]]:
    ingress = [_rule("from", [_pods({reach_label(host): "yes"})], relay_port(host)) for host in workload.hosts]
    return ingress, [_names(), _rule("to", [_range("0.0.0.0/0", NOT_THE_INTERNET)], 443)]


def _door(cluster: Cluster, _workload: Workload) -> tuple[list[Document], list[Document]]:
    """Called through its load balancer by the functions; it reaches the database and nothing else."""
    ingress = [_rule("from", [_range(net) for net in cluster.ingress_ranges], DATABASE_PORT)]
    return ingress, [_names(), _rule("to", [_range(net) for net in cluster.database_ranges], DATABASE_PORT)]


def _ways_out(cluster: Cluster, workload: Workload) -> list[Document]:
    relay = _rule("to", [_pods({NAME_LABEL: "relay"})], *(relay_port(host) for host in hosts_of(cluster, workload)))
    agent = [_rule("to", [_range(cluster.identity_range)], 80)] if cluster.identity_range else []
    return [relay, *agent]


def _names() -> Document:
    """The cluster's name server."""
    servers = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    return {"to": [servers], "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}


def _rule(direction: str, peers: list[Document], *ports: int) -> Document:
    return {direction: peers, "ports": [{"protocol": "TCP", "port": port} for port in ports]}


def _pods(match: dict[str, str]) -> Document:
    return {"podSelector": {"matchLabels": match}}


def _range(net: str, without: tuple[str, ...] = ()) -> Document:
    return {"ipBlock": {"cidr": net, **({"except": list(without)} if without else {})}}


def _policy(name: str, selector: dict[str, str], *, ingress: list[Document], egress: list[Document]) -> Document:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(name),
        "spec": {
            "podSelector": {"matchLabels": selector} if selector else {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": egress,
        },
    }
