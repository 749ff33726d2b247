"""What stands around the pods of a workload: its namespace, identity, Services, budget for disruptions and autoscaler."""

from __future__ import annotations

from handlers.workloads import Workload
from stacks.manifests.cluster import NAME_LABEL, NAMESPACE, Cluster, Document, metadata, relay_address, relay_port
from stacks.policy import Policy


def namespace(cluster: Cluster) -> Document:
    """Our namespace, under Pod Security `restricted`."""
    security = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {**security, **cluster.namespace_labels}},
    }


def service_account(cluster: Cluster, workload: Workload) -> Document:
    """The workload's own identity, without a token for the Kubernetes API."""
    annotations = dict(cluster.account_annotations.get(workload.name, {}))
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(workload.name, **({"annotations": annotations} if annotations else {})),
        "automountServiceAccountToken": False,
    }


def services(cluster: Cluster, workload: Workload) -> list[Document]:
    """The workload's Service; for the relay one for each host, at the address that pods find under the host's name."""
    if workload.room != "relay":
        return [_service(workload.name, workload, {"port": workload.port, "targetPort": workload.port})]
    return [
        _service(
            f"relay-{relay_port(host)}",
            workload,
            {"port": 443, "targetPort": relay_port(host)},
            clusterIP=relay_address(cluster, host),
        )
        for host in workload.hosts
    ]


def disruption_budget(workload: Workload) -> Document:
    """At most one pod leaves at a time when nodes are drained; pods that never became ready do not block it."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(workload.name),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": {NAME_LABEL: workload.name}},
        },
    }


def autoscaler(policy: Policy, workload: Workload) -> Document:
    """Pods by processor time: up at once, down after quiet minutes."""
    scale = "gateway" if workload.room == "gateway" else "provider"
    usage = {"type": "Utilization", "averageUtilization": policy.scale_at_cpu_percent}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(workload.name),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload.name},
            "minReplicas": getattr(policy, f"{scale}_replicas_min"),
            "maxReplicas": getattr(policy, f"{scale}_replicas_max"),
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": usage}}],
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 0},
                "scaleDown": {"stabilizationWindowSeconds": policy.scale_down_wait_s},
            },
        },
    }


def _service(name: str, workload: Workload, port: Document, **spec: object) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(name),
        "spec": {
            "type": "ClusterIP",
            "selector": {NAME_LABEL: workload.name},
            "trafficDistribution": "PreferClose",
            "ports": [{"protocol": "TCP", **port}],
            **spec,
        },
    }
