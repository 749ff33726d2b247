"""The functions behind the load balancer: admin, payments and site, each on its own paths."""

from __future__ import annotations

from aliyun.alerts import filled, run_every
from aliyun.base import Export, Resource, RouterStack
from aliyun.function import Surroundings, build_function
from aliyun.settings import Settings
from aliyun.texts import camel
from handlers.workloads import Workload

ROOMS = {"admin": 20, "payments": 30, "site": 40}
"""Room -> order of its route; the site takes what nobody else has."""
TIMEOUTS_S = {"admin": 29, "payments": 120, "site": 10}
"""Payments asks its company several times within a repair; no client waits for that."""


class FunctionsStack(RouterStack):
    """One function and one server group for each room that answers requests and is no pod."""

    name = "functions"

    def __init__(self, settings: Settings, *, surroundings: Surroundings) -> None:
        super().__init__(settings)
        self.targets: dict[str, Export] = {}
        """Room -> its server group at the load balancer."""
        for workload in settings.workloads:
            if workload.name in ROOMS:
                function = build_function(self, workload, surroundings, timeout_s=TIMEOUTS_S[workload.name])
                if workload.name == "payments":
                    # What a lost notification left undone is asked of the payment company again.
                    run_every(self, "repair-payments", function, 1, filled({"task": "repair"}, {}))
                    # What we say was paid is compared with what the company says.
                    run_every(self, "reconcile-payments", function, 24 * 60, filled({"task": "reconcile"}, {}))
                self.targets[workload.name] = self._build_targets(workload, function)

    def _build_targets(self, workload: Workload, function: Resource) -> Export:
        title = camel(workload.name)
        group = self.add(
            f"{title}Targets",
            "ALIYUN::ALB::ServerGroup",
            {
                "ServerGroupName": self.physical(workload.name),
                "ServerGroupType": "Fc",
                "Protocol": "HTTP",
                "HealthCheckConfig": {"HealthCheckEnabled": False},
            },
        )
        self.add(
            f"{title}Target",
            "ALIYUN::ALB::BackendServerAttachment",
            {
                "ServerGroupId": group.att("ServerGroupId"),
                "Servers": [{"ServerId": function.att("ARN"), "ServerType": "Fc", "Weight": 100}],
            },
        )
        return self.export(f"{title}GroupId", group.att("ServerGroupId"), f"Where {', '.join(workload.routes)} go")
