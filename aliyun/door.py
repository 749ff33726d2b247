"""The functions' way to the database, which admits the gateway's networks and nobody else.

A function has no place in those networks. Its connection goes to an internal load balancer, which only functions may call, and
from there to the door: pods in the gateway's networks that pass bytes on to the database's one port. TLS and its certificate
check stay between the function and the database.
"""

from __future__ import annotations

from aliyun.base import RouterStack
from aliyun.network import NetworkStack
from aliyun.settings import Settings


class DoorStack(RouterStack):
    """The load balancer in front of the door. Its listener and its targets are a manifest (workloads)."""

    name = "door"

    def __init__(self, settings: Settings, *, network: NetworkStack) -> None:
        super().__init__(settings)
        balancer = self.add(
            "LoadBalancer",
            "ALIYUN::NLB::LoadBalancer",
            {
                "LoadBalancerName": self.physical("door"),
                "AddressType": "Intranet",
                "AddressIpVersion": "Ipv4",
                "VpcId": self.use(network.vpc),
                "ZoneMappings": [
                    {"ZoneId": zone, "VSwitchId": self.use(switch)}
                    for zone, switch in zip(settings.zones, network.switches["ingress"], strict=True)
                ],
                "CrossZoneEnabled": True,
                "LoadBalancerBillingConfig": {"PayType": "PostPay"},
                "DeletionProtectionConfig": {"Enabled": "True", "Reason": "the functions' way to the database"},
            },
        )
        self.add(
            "LoadBalancerGroup",
            "ALIYUN::NLB::SecurityGroupAttachment",
            {
                "LoadBalancerId": balancer.att("LoadBalancerId"),
                "SecurityGroupIds": [self.use(network.groups["door"])],
            },
        )
        self.balancer = self.export("LoadBalancerId", balancer.att("LoadBalancerId"), "The way to the door")
        self.host = self.export("DNSName", balancer.att("DNSName"), "What functions call in the database's place")
