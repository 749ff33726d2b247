"""The way in: an application load balancer that admits ESA's origin-pull addresses and nobody else."""

from __future__ import annotations

from aliyun.base import RouterStack
from aliyun.network import NetworkStack
from aliyun.settings import Settings
from handlers.workloads import GATEWAY_PORT


class IngressStack(RouterStack):
    """The load balancer and its security group. Its listener and routes are manifests (workloads).

    It writes no access log: the fields of one cannot be chosen, and would hold queries and user agents.
    """

    name = "ingress"

    def __init__(self, settings: Settings, *, network: NetworkStack) -> None:
        super().__init__(settings)
        group = self.add(
            "EdgeGroup",
            "ALIYUN::ECS::SecurityGroup",
            {
                "VpcId": self.use(network.vpc),
                "SecurityGroupName": self.physical("ingress"),
                "SecurityGroupType": "enterprise",
                "Description": "ESA's origin-pull addresses, on 443",
                "SecurityGroupIngress": [
                    {
                        "IpProtocol": "tcp",
                        "PortRange": "443/443",
                        "SourceCidrIp": source,
                        "Policy": "accept",
                        "Priority": 1,
                    }
                    for source in settings.esa_origin_ranges
                ],
                "SecurityGroupEgress": [
                    {
                        "IpProtocol": "tcp",
                        "PortRange": f"{GATEWAY_PORT}/{GATEWAY_PORT}",
                        "DestCidrIp": target,
                        "Policy": "accept",
                        "Priority": 1,
                    }
                    for target in network.networks("gateway")
                ],
            },
        )
        switches = network.switches["ingress"]
        balancer = self.add(
            "LoadBalancer",
            "ALIYUN::ALB::LoadBalancer",
            {
                "LoadBalancerName": self.physical("ingress"),
                "LoadBalancerEdition": "Standard",
                "AddressType": "Internet",
                "AddressIpVersion": "IPv4",
                "VpcId": self.use(network.vpc),
                "ZoneMappings": [
                    {"ZoneId": zone, "VSwitchId": self.use(switch)}
                    for zone, switch in zip(settings.zones, switches, strict=True)
                ],
                "SecurityGroupIds": [group.att("SecurityGroupId")],
                "LoadBalancerBillingConfig": {"PayType": "PostPay"},
                "DeletionProtectionEnabled": True,
            },
        )
        self.balancer = self.export("LoadBalancerId", balancer.att("LoadBalancerId"), "The load balancer")
        self.address = self.export("DNSName", balancer.att("DNSName"), "What the edge calls")
