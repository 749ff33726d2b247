"""The pods of a workload: where they run, what they share with nobody, how they leave."""

from __future__ import annotations

from handlers.settings import Variable
from handlers.workloads import Workload
from stacks.manifests.cluster import (
    NAME_LABEL,
    POOL_LABEL,
    POOLS,
    Cluster,
    Document,
    hosts_of,
    labels,
    metadata,
    relay_address,
)
from stacks.manifests.containers import container
from stacks.policy import Policy

USER_ID = 10_001


def deployment(cluster: Cluster, policy: Policy, workload: Workload) -> Document:
    """The pods. Their number is the autoscaler's."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(workload.name, labels=labels(cluster, workload)),
        "spec": {
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": {NAME_LABEL: workload.name}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": labels(cluster, workload)},
                "spec": _pod(cluster, policy, workload),
            },
        },
    }


def _pod(cluster: Cluster, policy: Policy, workload: Workload) -> Document:
    aliases = [{"ip": relay_address(cluster, host), "hostnames": [host]} for host in hosts_of(cluster, workload)]
    volumes: list[Document] = [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}]
    if Variable.SPOOL in workload.variables:
        volumes.append({"name": "spool", "emptyDir": {"sizeLimit": "4Gi"}})
    pool = POOLS[workload.room]
    return {
        "serviceAccountName": workload.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "hostNetwork": False,
        "hostPID": False,
        "hostIPC": False,
        "shareProcessNamespace": False,
        "terminationGracePeriodSeconds": policy.termination_grace_s,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "nodeSelector": {POOL_LABEL: pool},
        "tolerations": [{"key": POOL_LABEL, "operator": "Equal", "value": pool, "effect": "NoSchedule"}],
        "topologySpreadConstraints": [
            _spread(workload, "topology.kubernetes.io/zone", "DoNotSchedule"),
            _spread(workload, "kubernetes.io/hostname", "ScheduleAnyway"),
        ],
        # Without names to look up, a pod asks no name server: nothing can be smuggled out in a query.
        **({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["127.0.0.1"]}} if workload.room == "provider" else {}),
        **({"hostAliases": aliases} if aliases else {}),
        "containers": [container(cluster, policy, workload, volumes)],
        "volumes": volumes,
    }


def _spread(workload: Workload, key: str, otherwise: str) -> Document:
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": otherwise,
        "labelSelector": {"matchLabels": {NAME_LABEL: workload.name}},
        "matchLabelKeys": ["pod-template-hash"],
    }
