"""The china region: which stack receives what from which. Forty lines, no cleverness."""

from __future__ import annotations

from dataclasses import dataclass

from aliyun.base import RouterStack
from aliyun.cluster import ClusterStack
from aliyun.database import DatabaseStack
from aliyun.door import DoorStack
from aliyun.edge import EdgeStack
from aliyun.function import Surroundings
from aliyun.functions import FunctionsStack
from aliyun.ingress import IngressStack
from aliyun.jobs import JobsStack
from aliyun.manifests import deployed_cluster
from aliyun.network import NetworkStack
from aliyun.recovery import RecoveryStack
from aliyun.registry import RegistryStack
from aliyun.secrets import SecretsStack
from aliyun.settings import Settings
from aliyun.trail import TrailStack
from aliyun.watchdog import WatchdogStack
from aliyun.workloads import WorkloadsStack


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """The stacks of one deployment, in the order in which they are deployed."""

    stacks: tuple[RouterStack, ...]


def build_region(settings: Settings) -> Region:
    """Wire one deployment: objects are passed, nothing is looked up."""
    network = NetworkStack(settings)
    trail = TrailStack(settings, network=network)
    registry = RegistryStack(settings)
    secrets = SecretsStack(settings, network=network)
    database = DatabaseStack(settings, network=network, secrets=secrets)
    cluster = ClusterStack(settings, network=network, secrets=secrets)
    ingress = IngressStack(settings, network=network)
    door = DoorStack(settings, network=network)
    surroundings = Surroundings(
        network=network,
        secrets=secrets,
        database=database,
        door=door,
        cluster=deployed_cluster(settings, network),
    )
    functions = FunctionsStack(settings, surroundings=surroundings)
    workloads = WorkloadsStack(
        settings, network=network, database=database, cluster=cluster, ingress=ingress, door=door, functions=functions
    )
    recovery = RecoveryStack(settings, surroundings=surroundings, ingress=ingress)
    jobs = JobsStack(settings, surroundings=surroundings, alerts=recovery.alerts)
    edge = EdgeStack(settings, ingress=ingress)
    watchdog = WatchdogStack(settings, recovery=recovery)
    return Region(
        stacks=(
            network,
            trail,
            registry,
            secrets,
            database,
            cluster,
            ingress,
            door,
            functions,
            workloads,
            recovery,
            jobs,
            edge,
            watchdog,
        )
    )
