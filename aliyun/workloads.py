"""What runs in the cluster: the shared manifests, with the networks and routes of this cloud around them."""

from __future__ import annotations

from typing import Any

from aliyun.base import Resource, RouterStack
from aliyun.cluster import ClusterStack
from aliyun.database import DatabaseStack
from aliyun.door import DoorStack
from aliyun.functions import FunctionsStack
from aliyun.ingress import IngressStack
from aliyun.manifests import deployed_cluster, door_balancer, pod_network
from aliyun.network import NetworkStack
from aliyun.parts.routes import function_route, gateway_route, load_balancer
from aliyun.settings import Settings
from aliyun.texts import as_json, camel
from handlers.workloads import Kind, Workload
from stacks import manifests
from stacks.manifests import Document

EDGE_TOKEN = "EdgeToken"  # noqa: S105 - the name of a NoEcho parameter


class WorkloadsStack(RouterStack):
    """The namespace, then each pod workload by itself, then the routes to them."""

    name = "workloads"

    def __init__(
        self,
        settings: Settings,
        *,
        network: NetworkStack,
        database: DatabaseStack,
        cluster: ClusterStack,
        ingress: IngressStack,
        door: DoorStack,
        functions: FunctionsStack,
    ) -> None:
        super().__init__(settings)
        self._network, self._cluster = network, cluster
        self._manifests = deployed_cluster(settings, network, cluster.roles)
        rows = settings.workloads
        base = self._apply(
            "Base", [*manifests.base(self._manifests), *self._pod_networks()], self._pod_network_values()
        )
        host = {"DatabaseHost": self.use(database.host)}
        for workload in rows:
            if workload.kind is Kind.POD:
                documents = manifests.documents(self._manifests, settings.policy, workload)
                values = host if workload.database_role else {}
                if workload.room == "door":
                    documents.append(door_balancer(workload))
                    values = {**host, "DoorBalancerId": self.use(door.balancer)}
                self._apply(camel(workload.name), documents, values, after=(base,))
        self._apply("Routes", *self._routes(rows, ingress, functions), after=(base,))

    def _apply(
        self, logical_id: str, documents: list[Document], values: dict[str, Any], *, after: tuple[Resource, ...] = ()
    ) -> Resource:
        """Apply objects in order; `values` fill the `${...}` in them."""
        text = "\n---\n".join(as_json(document) for document in documents)
        return self.add(
            logical_id,
            "ALIYUN::CS::ClusterApplication",
            {
                "ClusterId": self.use(self._cluster.cluster),
                "CreationMode": "Apply",
                "ValidationMode": "Strict",
                "YamlContent": {"Fn::Sub": [text, values]} if values else text,
            },
            after=after,
            retain=logical_id == "Base",
        )

    def _pod_networks(self) -> list[Document]:
        """The gateway's pods and the door's live where the database admits them, the relay's where a way out begins."""
        return [
            pod_network(
                room,
                room,
                group=f"${{{purpose}Group}}",
                switches=[f"${{{purpose}Switch{zone}}}" for zone in range(len(self.settings.zones))],
            )
            for room, purpose in (("gateway", "gateway"), ("door", "gateway"), ("relay", "relay"))
        ]

    def _pod_network_values(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for room in ("gateway", "relay"):
            values[f"{room}Group"] = self.use(self._network.groups[room])
            for zone, switch in enumerate(self._network.switches[room]):
                values[f"{room}Switch{zone}"] = self.use(switch)
        return values

    def _routes(
        self, rows: tuple[Workload, ...], ingress: IngressStack, functions: FunctionsStack
    ) -> tuple[list[Document], dict[str, Any]]:
        """Gateway first; the function that takes everything else last."""
        values = {
            "LoadBalancerId": self.use(ingress.balancer),
            "EdgeToken": self.operator_value(
                EDGE_TOKEN, "What our edge sends with every request, at least 32 characters"
            ),
        }
        routed = sorted(
            (row for row in rows if row.routes and row.kind is Kind.FUNCTION), key=lambda row: "/*" in row.routes
        )
        for row in routed:
            values[f"{camel(row.name)}GroupId"] = self.use(functions.targets[row.name])
        documents = [
            *load_balancer(self.settings),
            gateway_route(self.settings, rows[0]),
            *(function_route(row, 20 + 10 * index) for index, row in enumerate(routed)),
        ]
        return documents, values
