"""The network: three zones, vSwitches by purpose, one way out for each zone, refused connections on record."""

from __future__ import annotations

from typing import NamedTuple

from aliyun.base import Export, Resource, RouterStack
from aliyun.settings import REGION, Settings
from handlers.workloads import DATABASE_PORT, GATEWAY_PORT


class Purpose(NamedTuple):
    """Who lives in a vSwitch of each zone."""

    name: str
    block: int
    """Third octet of the first zone's network; the other zones' follow it."""
    prefix: int
    outbound: bool
    """Has a way to the internet."""


PURPOSES = (
    Purpose("ingress", 0, 24, outbound=False),
    Purpose("database", 8, 26, outbound=False),
    Purpose("function", 16, 24, outbound=True),
    Purpose("gateway", 32, 21, outbound=False),
    Purpose("provider", 64, 21, outbound=False),
    Purpose("relay", 96, 24, outbound=True),
)
FUNCTION_LOG = "functions"
ADDRESSES = "10.64.0.0/16"


class Rule(NamedTuple):
    """One line of a security group: protocol, port range, and the network at the other end."""

    protocol: str
    ports: str
    network: str


HTTPS = Rule("tcp", "443/443", "0.0.0.0/0")
CLOUD_SERVICES = Rule("all", "-1/-1", "100.64.0.0/10")
"""Name servers, registries and APIs inside the cloud's own address range."""


def cidr(purpose: Purpose, zone: int) -> str:
    """The network of a purpose in a zone."""
    step = 1 if purpose.prefix >= 24 else 1 << (24 - purpose.prefix)
    return f"10.64.{purpose.block + zone * step}.0/{purpose.prefix}"


class NetworkStack(RouterStack):
    """The VPC, its vSwitches by purpose, the ways out, and the record of refused connections."""

    name = "network"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._vpc = self.add("Vpc", "ALIYUN::ECS::VPC", {"VpcName": self.physical("vpc"), "CidrBlock": ADDRESSES})
        self.vpc = self.export("VpcId", self._vpc.att("VpcId"), "The VPC")
        self.switches: dict[str, tuple[Export, ...]] = {}
        """Purpose -> one vSwitch for each zone."""
        self._local: dict[tuple[str, int], Resource] = {}
        for purpose in PURPOSES:
            self.switches[purpose.name] = tuple(self._switch(purpose, zone) for zone in range(len(settings.zones)))
        self._ways_out()
        self._storage_endpoint()
        self.groups = {name: self._group(name) for name in ("gateway", "provider", "function", "relay")}
        self.log_project = self._logs()

    def networks(self, *purposes: str) -> list[str]:
        """The networks of some purposes in all zones."""
        rows = {purpose.name: purpose for purpose in PURPOSES}
        return [cidr(rows[name], zone) for name in purposes for zone in range(len(self.settings.zones))]

    def _switch(self, purpose: Purpose, zone: int) -> Export:
        logical_id = f"{purpose.name.capitalize()}Switch{zone}"
        switch = self.add(
            logical_id,
            "ALIYUN::ECS::VSwitch",
            {
                "VpcId": self._vpc.ref,
                "ZoneId": self.settings.zones[zone],
                "CidrBlock": cidr(purpose, zone),
                "VSwitchName": self.physical(purpose.name, str(zone)),
            },
        )
        self._local[purpose.name, zone] = switch
        return self.export(f"{logical_id}Id", switch.att("VSwitchId"), f"vSwitch for {purpose.name} in zone {zone}")

    def _ways_out(self) -> None:
        """One NAT gateway for each zone, or one for all; only what may call out is translated."""
        count = self.policy.nat_gateways
        for index in range(count):
            gateway = self.add(
                f"Nat{index}",
                "ALIYUN::VPC::NatGateway",
                {
                    "VpcId": self._vpc.ref,
                    "VSwitchId": self._local["ingress", index].ref,
                    "NatType": "Enhanced",
                    "NetworkType": "internet",
                    "InternetChargeType": "PayByLcu",
                    "NatGatewayName": self.physical("nat", str(index)),
                    "DeletionProtection": True,
                },
            )
            address = self.add(
                f"NatAddress{index}",
                "ALIYUN::VPC::EIP",
                {"Bandwidth": 200, "InternetChargeType": "PayByTraffic", "Name": self.physical("nat", str(index))},
            )
            bound = self.add(
                f"NatBinding{index}",
                "ALIYUN::VPC::EIPAssociation",
                {"AllocationId": address.att("AllocationId"), "InstanceId": gateway.att("NatGatewayId")},
            )
            sources = [
                self._local[purpose.name, zone].ref
                for purpose in PURPOSES
                if purpose.outbound
                for zone in range(len(self.settings.zones))
                if zone % count == index
            ]
            self.add(
                f"Snat{index}",
                "ALIYUN::VPC::SnatEntry",
                {
                    "SnatTableId": gateway.att("SNatTableId"),
                    "SourceVSwitchIds": sources,
                    "SnatIp": address.att("EipAddress"),
                    "SnatEntryName": self.physical("snat", str(index)),
                },
                after=(bound,),
            )

    def _storage_endpoint(self) -> None:
        self.add(
            "StorageEndpoint",
            "ALIYUN::VPC::VpcGatewayEndpoint",
            {
                "VpcId": self._vpc.ref,
                "ServiceName": f"com.aliyun.{REGION}.oss",
                "EndpointName": self.physical("oss"),
            },
        )

    def _group(self, name: str) -> Export:
        group = self.add(
            f"{name.capitalize()}Group",
            "ALIYUN::ECS::SecurityGroup",
            {
                "VpcId": self._vpc.ref,
                "SecurityGroupName": self.physical(name),
                "SecurityGroupType": "enterprise",
                "Description": f"Whom a {name} talks with; nobody unless a rule here says so",
                "SecurityGroupIngress": [
                    {
                        "IpProtocol": protocol,
                        "PortRange": ports,
                        "SourceCidrIp": source,
                        "Policy": "accept",
                        "Priority": 1,
                    }
                    for protocol, ports, source in self._admitted(name)
                ],
                "SecurityGroupEgress": [
                    {
                        "IpProtocol": protocol,
                        "PortRange": ports,
                        "DestCidrIp": target,
                        "Policy": "accept",
                        "Priority": 1,
                    }
                    for protocol, ports, target in self._reached(name)
                ],
            },
        )
        return self.export(f"{name.capitalize()}GroupId", group.att("SecurityGroupId"), f"Security group of {name}")

    def _admitted(self, name: str) -> list[Rule]:
        """Who may call: the cluster itself (narrowed further by network policies), and the load balancer the gateway."""
        if name == "function":
            return []
        balancer = self.networks("ingress") if name == "gateway" else []
        return [*self._cluster(), *(Rule("tcp", f"{GATEWAY_PORT}/{GATEWAY_PORT}", network) for network in balancer)]

    def _reached(self, name: str) -> list[Rule]:
        """Whom it may call: the cluster, the cloud's own services, and what its work needs."""
        database = f"{DATABASE_PORT}/{DATABASE_PORT}"
        more = {
            "gateway": [Rule("tcp", database, network) for network in self.networks("database")],
            "function": [*(Rule("tcp", database, network) for network in self.networks("database")), HTTPS],
            "relay": [HTTPS],
        }
        cluster = [] if name == "function" else self._cluster()
        return [*cluster, CLOUD_SERVICES, *more.get(name, ())]

    def _cluster(self) -> list[Rule]:
        return [Rule("all", "-1/-1", network) for network in self.networks("gateway", "provider", "relay")]

    def _logs(self) -> Export:
        project = self.add(
            "Logs",
            "ALIYUN::SLS::Project",
            {"Name": self.physical("logs", self.settings.account), "Description": "Closed-schema logs of TheRouter"},
            retain=True,
        )
        store = self.add(
            "RefusedConnections",
            "ALIYUN::SLS::Logstore",
            {
                "ProjectName": project.att("Name"),
                "LogstoreName": "refused-connections",
                "TTL": self.policy.flow_log_retention_days,
                "ShardCount": 2,
            },
        )
        self.add(
            "FlowLog",
            "ALIYUN::VPC::FlowLog",
            {
                "FlowLogName": self.physical("refused"),
                "ResourceType": "VPC",
                "ResourceId": self._vpc.ref,
                "TrafficType": "Drop",
                "ProjectName": project.att("Name"),
                "LogStoreName": store.att("LogstoreName"),
            },
        )
        # Here because every function's role, in another stack, names it.
        self.add(
            "FunctionLog",
            "ALIYUN::SLS::Logstore",
            {
                "ProjectName": project.att("Name"),
                "LogstoreName": FUNCTION_LOG,
                "TTL": self.policy.function_log_retention_days,
                "ShardCount": 2,
            },
        )
        return self.export("LogProject", project.att("Name"), "Log project of everything but the edge")
