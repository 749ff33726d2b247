"""The global region: which stack receives what from which. Forty lines, no cleverness."""

from __future__ import annotations

from dataclasses import dataclass

import aws_cdk as cdk

from stacks.base import RouterStack
from stacks.cluster import RELAY_BLOCK, ClusterStack
from stacks.database import DatabaseStack
from stacks.door import DoorStack
from stacks.edge import EdgeStack
from stacks.function import Surroundings
from stacks.functions import FunctionsStack
from stacks.ingress import IngressStack
from stacks.jobs import JobsStack
from stacks.manifests import Cluster
from stacks.network import NetworkStack
from stacks.recovery import RecoveryStack
from stacks.registry import RegistryStack
from stacks.secrets import SecretsStack
from stacks.settings import ROUTER_REGION, Settings
from stacks.watchdog import WatchdogStack
from stacks.workloads import WorkloadsStack

POD_IDENTITY_AGENT = "169.254.170.23/32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """The stacks of one deployment, in the order in which they are deployed."""

    stacks: tuple[RouterStack, ...]


def build_region(app: cdk.App, settings: Settings) -> Region:
    """Wire one deployment: objects are passed, nothing is looked up."""
    network = NetworkStack(app, settings=settings)
    registry = RegistryStack(app, settings=settings)
    secrets = SecretsStack(app, settings=settings)
    database = DatabaseStack(
        app, settings=settings, vpc=network.vpc, subnets=network.subnets("database"), groups=network.groups
    )
    cluster = ClusterStack(
        app,
        settings=settings,
        vpc=network.vpc,
        subnets={"gateway": network.subnets("gateway"), "provider": network.subnets("provider")},
        groups=network.groups,
        roles=secrets.roles,
    )
    ingress = IngressStack(
        app, settings=settings, vpc=network.vpc, subnets=network.subnets("ingress"), groups=network.groups
    )
    door = DoorStack(app, settings=settings, vpc=network.vpc, subnets=network.subnets("ingress"), groups=network.groups)
    manifests = _manifests(settings, network, database, door)
    workloads = WorkloadsStack(
        app,
        settings=settings,
        cluster=cluster.cluster,
        manifests=manifests,
        targets={"gateway": ingress.targets, "database-door": door.targets},
    )
    surroundings = Surroundings(
        roles=secrets.roles,
        cluster=manifests,
        vpc=network.vpc,
        subnets=network.subnets("gateway"),
        group=network.groups.functions,
    )
    functions = FunctionsStack(app, settings=settings, surroundings=surroundings, listener=ingress.listener)
    recovery = RecoveryStack(
        app, settings=settings, surroundings=surroundings, ingress=ingress, database=database.instance
    )
    jobs = JobsStack(
        app, settings=settings, surroundings=surroundings, database=database.instance, topic=recovery.topic
    )
    edge = EdgeStack(app, settings=settings, balancer=ingress.balancer)
    watchdog = WatchdogStack(app, settings=settings, edge=edge)
    return Region(
        stacks=(
            network,
            registry,
            secrets,
            database,
            cluster,
            ingress,
            door,
            workloads,
            functions,
            recovery,
            jobs,
            edge,
            watchdog,
        )
    )


def _manifests(settings: Settings, network: NetworkStack, database: DatabaseStack, door: DoorStack) -> Cluster:
    """What the shared manifests need to know about this deployment."""
    return Cluster(
        region=ROUTER_REGION,
        cloud="aws",
        environment=settings.stage,
        image=settings.image,
        public_url=f"https://{settings.domain}",
        mail_sender=settings.mail_sender,
        database_host=database.host,
        database_door=door.host,
        ingress_ranges=network.ranges("ingress"),
        database_ranges=network.ranges("database"),
        relay_block=RELAY_BLOCK,
        identity_range=POD_IDENTITY_AGENT,
        doors=settings.doors,
        archive=settings.archive,
    )
