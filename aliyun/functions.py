"""The Lambda-style rooms on Function Compute: one function, one identity, one set of secrets for each row of `workloads`.

A function runs the same image as the pods; `handlers.clouds.function_compute` turns its invocations into the events that the
handlers know. Those with routes stand behind the load balancer; the others run on schedules and alarms (jobs, recovery, watchdog).
None of them has an address of its own.
"""

from __future__ import annotations

from typing import Any

from aliyun.base import Export, Resource, RouterStack, camel
from aliyun.database import DatabaseStack
from aliyun.manifests import deployed_cluster
from aliyun.network import NetworkStack
from aliyun.secrets import FUNCTION_LOG, SecretsStack
from aliyun.settings import ROUTER_REGION, Settings
from handlers.settings import Variable
from handlers.workloads import Workload, functions
from stacks.manifests.pods import environment

SERVER_PORT = 9_000
REQUEST_TIMEOUT_S = 30
JOB_TIMEOUT_S = 600
MEMORY_MB = 512
PROCESSORS = 0.5


class FunctionsStack(RouterStack):
    """All functions, their identities, their log, and the way from the load balancer to those with routes."""

    name = "functions"

    def __init__(
        self, settings: Settings, *, network: NetworkStack, secrets: SecretsStack, database: DatabaseStack
    ) -> None:
        super().__init__(settings)
        self._network = network
        self._secrets = secrets
        self._database = database
        self._log = self._logstore()
        self.functions: dict[str, Export] = {}
        """Workload -> the function's name."""
        self.arns: dict[str, Export] = {}
        self.routes: dict[str, Export] = {}
        """Workload with routes -> its server group at the load balancer."""
        for workload in functions(ROUTER_REGION):
            function = self._function(workload)
            title = camel(workload.name)
            self.functions[workload.name] = self.export(
                f"{title}Name", function.att("FunctionName"), f"The function {workload.name}"
            )
            self.arns[workload.name] = self.export(f"{title}Arn", function.att("ARN"), f"The function {workload.name}")
            if workload.routes:
                self.routes[workload.name] = self._server_group(workload, function)

    def _logstore(self) -> Resource:
        return self.add(
            "Log",
            "ALIYUN::SLS::Logstore",
            {
                "ProjectName": self.use(self._network.log_project),
                "LogstoreName": FUNCTION_LOG,
                "TTL": self.settings.policy.function_log_retention_days,
                "ShardCount": 2,
            },
        )

    def _function(self, workload: Workload) -> Resource:
        network = self._network
        job = not workload.routes
        return self.add(
            f"{camel(workload.name)}Function",
            "ALIYUN::FC3::Function",
            {
                "FunctionName": self.physical(workload.name),
                "Description": f"{workload.room}: {workload.entry}",
                "Handler": workload.entry,
                "Runtime": "custom-container",
                "CustomContainerConfig": {
                    "Image": self.settings.image,
                    "Command": ["-m", "handlers.clouds.function_compute", workload.entry],
                    "Port": SERVER_PORT,
                },
                "Role": self.use(self._secrets.roles[workload.name]),
                "MemorySize": MEMORY_MB,
                "Cpu": PROCESSORS,
                "DiskSize": 512,
                "Timeout": JOB_TIMEOUT_S if job else REQUEST_TIMEOUT_S,
                # A job runs once at a time in an instance; what answers requests may take several.
                "InstanceConcurrency": 1 if job else 20,
                "InternetAccess": False,
                "VpcConfig": {
                    "VpcId": self.use(network.vpc),
                    "VSwitchIds": [self.use(switch) for switch in network.switches["function"]],
                    "SecurityGroupId": self.use(network.groups["function"]),
                },
                "LogConfig": {
                    "Project": self.use(network.log_project),
                    "Logstore": FUNCTION_LOG,
                    "EnableRequestMetrics": True,
                    "EnableInstanceMetrics": False,
                },
                "EnvironmentVariables": self._environment(workload),
            },
            after=(self._log,),
        )

    def _environment(self, workload: Workload) -> dict[str, Any]:
        cluster = deployed_cluster(self.settings, self._network)
        values: dict[str, Any] = dict(environment(cluster, workload))
        if workload.database_role:
            values[Variable.DATABASE_HOST.value] = self.use(self._database.host)
        return values

    def _server_group(self, workload: Workload, function: Resource) -> Export:
        title = camel(workload.name)
        group = self.add(
            f"{title}Group",
            "ALIYUN::ALB::ServerGroup",
            {
                "ServerGroupName": self.physical(workload.name),
                "ServerGroupType": "Fc",
                "Protocol": "HTTP",
                "HealthCheckConfig": {"HealthCheckEnabled": False},
            },
        )
        self.add(
            f"{title}Servers",
            "ALIYUN::ALB::BackendServerAttachment",
            {
                "ServerGroupId": group.att("ServerGroupId"),
                "Servers": [{"ServerId": function.att("ARN"), "ServerType": "Fc", "Weight": 100}],
            },
        )
        return self.export(f"{title}GroupId", group.att("ServerGroupId"), f"Where {', '.join(workload.routes)} go")
