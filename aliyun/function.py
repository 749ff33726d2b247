"""One function of ours: the same image as the pods, the entry of its row, a role of its own, a log that forgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aliyun.base import Resource, RouterStack
from aliyun.database import DatabaseStack
from aliyun.door import DoorStack
from aliyun.network import FUNCTION_LOG, NetworkStack
from aliyun.secrets import SecretsStack
from aliyun.texts import camel
from handlers.settings import Variable
from handlers.workloads import Workload
from stacks.manifests import Cluster
from stacks.manifests.containers import environment

RUNTIME_INTERFACE = "handlers.clouds.function_server"
"""Turns Function Compute's invocations into the events that handlers know."""
SERVER_PORT = 9_000
MEMORY_MB = 512
PROCESSORS = 0.5
DISK_MB = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What functions are made of, and where they stand."""

    network: NetworkStack
    secrets: SecretsStack
    database: DatabaseStack
    door: DoorStack
    cluster: Cluster


def build_function(
    stack: RouterStack,
    workload: Workload,
    surroundings: Surroundings,
    *,
    timeout_s: int,
    concurrency: int | None = None,
) -> Resource:
    """Make the function of a row. It has no address of its own and reaches the database, by the door, only if it has a role there.

    `concurrency` is the most that may run at once; None: as many as are asked for.
    """
    network = surroundings.network
    function = stack.add(
        f"{camel(workload.name)}Function",
        "ALIYUN::FC3::Function",
        {
            "FunctionName": stack.physical(workload.name),
            "Description": f"{workload.room}: {workload.entry}",
            "Handler": workload.entry,
            "Runtime": "custom-container",
            "CustomContainerConfig": {
                "Image": stack.settings.image,
                "AcrInstanceId": stack.settings.registry,
                "Command": ["-m", RUNTIME_INTERFACE, workload.entry],
                "Port": SERVER_PORT,
            },
            "Role": stack.use(surroundings.secrets.roles[workload.name]),
            "MemorySize": MEMORY_MB,
            "Cpu": PROCESSORS,
            "DiskSize": DISK_MB,
            "Timeout": timeout_s,
            # As in Lambda: an instance serves one invocation at a time.
            "InstanceConcurrency": 1,
            "InternetAccess": False,
            "VpcConfig": {
                "VpcId": stack.use(network.vpc),
                "VSwitchIds": [stack.use(switch) for switch in network.switches["function"]],
                "SecurityGroupId": stack.use(network.groups["function"]),
            },
            "LogConfig": {
                "Project": stack.use(network.log_project),
                "Logstore": FUNCTION_LOG,
                "EnableRequestMetrics": True,
                "EnableInstanceMetrics": False,
            },
            "EnvironmentVariables": _environment(stack, workload, surroundings),
        },
    )
    if concurrency is not None:
        limit = {"FunctionName": function.att("FunctionName"), "ReservedConcurrency": concurrency}
        stack.add(f"{camel(workload.name)}Limit", "ALIYUN::FC3::ConcurrencyConfig", limit)
    return function


def _environment(stack: RouterStack, workload: Workload, surroundings: Surroundings) -> dict[str, Any]:
    values: dict[str, Any] = dict(environment(surroundings.cluster, workload))
    if workload.database_role:
        values[Variable.DATABASE_HOST.value] = stack.use(surroundings.database.host)
        values[Variable.DATABASE_DOOR.value] = stack.use(surroundings.door.host)
    return values
