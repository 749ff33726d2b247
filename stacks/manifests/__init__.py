"""The Kubernetes objects of every pod, as plain dictionaries; the same for both clouds. Knows no cloud's library.

Rules
    Nothing may talk to anything unless a policy here says so, in both directions. A provider's pod is called by the gateway
    alone and reaches two things: its own host and the secret store's, both through the relay. It has no name server and no
    way to the database, to another provider's pod, to the instance's metadata or to the rest of the internet.
    No two workloads share a service account, a selector or a policy.

How a pod reaches its host
    A network policy can name addresses and pods, not host names. So each host has one port and one Service at the relay, and
    the pods that may use it find that Service's address under the host's own name (`hostAliases`). The relay passes bytes on;
    TLS and its certificate check stay between the pod and the host. Address and port follow from the name alone
    (`workloads.relay_slot`), so adding a provider moves no other.

Leaving
    A pod that must go still serves for `drain_delay_s` while the load balancer forgets it, then finishes its streams; all of
    it may take `termination_grace_s`. `maxUnavailable: 0` brings its successor up first.

The spool
    The gateway's usage lines lie on the node's encrypted disk and survive the container, not the node. What a lost node had
    not settled (about a second of lines) stays held in the ledger until the reaper releases it.
"""

from __future__ import annotations

from handlers.workloads import Kind, Workload
from stacks.manifests import network, pods, surroundings
from stacks.manifests.cluster import Cluster, Document
from stacks.policy import Policy

__all__ = ["Cluster", "Document", "base", "documents", "everything"]


def base(cluster: Cluster) -> list[Document]:
    """What must exist before any pod: the namespace, and the policy that denies everything in it."""
    return [surroundings.namespace(cluster), network.default_deny()]


def documents(cluster: Cluster, policy: Policy, workload: Workload) -> list[Document]:
    """Everything that one pod workload needs, in an order in which it can be applied."""
    if workload.kind is not Kind.POD:
        raise ValueError(f"{workload.name} is a function and has no manifests")
    return [
        surroundings.service_account(cluster, workload),
        *surroundings.services(cluster, workload),
        network.policy_of(cluster, workload),
        pods.deployment(cluster, policy, workload),
        surroundings.disruption_budget(workload),
        surroundings.autoscaler(policy, workload),
    ]


def everything(cluster: Cluster, policy: Policy, workloads: tuple[Workload, ...]) -> list[Document]:
    """All objects of a cluster."""
    rows = [workload for workload in workloads if workload.kind is Kind.POD]
    return [*base(cluster), *(document for row in rows for document in documents(cluster, policy, row))]
