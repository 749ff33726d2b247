"""Which stacks there are, in the order in which they are deployed, and what each receives from those before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from aliyun.base import RouterStack
from aliyun.cluster import ClusterStack
from aliyun.database import DatabaseStack
from aliyun.edge import EdgeStack
from aliyun.functions import FunctionsStack
from aliyun.ingress import IngressStack
from aliyun.jobs import JobsStack
from aliyun.network import NetworkStack
from aliyun.recovery import RecoveryStack
from aliyun.registry import RegistryStack
from aliyun.secrets import SecretsStack
from aliyun.settings import Settings
from aliyun.trail import TrailStack
from aliyun.watchdog import WatchdogStack
from aliyun.workloads import WorkloadsStack


def build(settings: Settings) -> tuple[RouterStack, ...]:
    """All stacks of one deployment, in order; nothing is read from anywhere."""
    registry = RegistryStack(settings)
    network = NetworkStack(settings)
    secrets = SecretsStack(settings, network=network)
    database = DatabaseStack(settings, network=network, secrets=secrets)
    cluster = ClusterStack(settings, network=network, secrets=secrets)
    ingress = IngressStack(settings, network=network)
    functions = FunctionsStack(settings, network=network, secrets=secrets, database=database)
    workloads = WorkloadsStack(
        settings, network=network, database=database, cluster=cluster, ingress=ingress, functions=functions
    )
    jobs = JobsStack(settings, functions=functions)
    recovery = RecoveryStack(settings, functions=functions)
    edge = EdgeStack(settings, ingress=ingress)
    watchdog = WatchdogStack(settings, functions=functions, recovery=recovery)
    trail = TrailStack(settings, network=network)
    return (
        registry,
        network,
        trail,
        secrets,
        database,
        cluster,
        ingress,
        functions,
        workloads,
        jobs,
        recovery,
        edge,
        watchdog,
    )


def templates(settings: Settings) -> dict[str, dict[str, Any]]:
    """File name -> template."""
    return {f"{stack.name}.json": stack.template() for stack in build(settings)}


def write(settings: Settings, folder: Path) -> list[Path]:
    """Write all templates, byte for byte the same for the same settings; the paths, in order of deployment."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, template in templates(settings).items():
        path = folder / name
        path.write_bytes(msgspec.json.format(msgspec.json.encode(template), indent=2) + b"\n")
        paths.append(path)
    return paths
