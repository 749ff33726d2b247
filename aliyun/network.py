"""The network: three zones, vSwitches by purpose, one way out for each zone, refused connections on record."""

from __future__ import annotations

from typing import NamedTuple

from aliyun.base import Export, Resource, RouterStack
from aliyun.parts.groups import Addresses, build_group
from aliyun.parts.ways_out import build_storage_endpoint, build_ways_out
from aliyun.settings import Settings


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
        self._build_ways_out()
        addresses = Addresses(*(self.networks(name) for name in Addresses._fields))
        self.groups = {
            name: build_group(self, self._vpc, name, addresses)
            for name in ("gateway", "provider", "function", "relay", "door")
        }
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

    def _build_ways_out(self) -> None:
        """One NAT gateway for each zone, or one for all; only what may call out is translated."""
        zones = range(len(self.settings.zones))
        sources = [[self._local[p.name, zone] for p in PURPOSES if p.outbound] for zone in zones]
        build_ways_out(self, self._vpc, [self._local["ingress", zone] for zone in zones], sources)
        build_storage_endpoint(self, self._vpc)

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
