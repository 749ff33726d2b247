"""The network: five kinds of subnet in each zone, so that an address already says what may run there.

public      ways out of the cluster (NAT), nothing else
ingress     the internal load balancers; no way out
gateway     nodes of the gateway pool, and the functions (which have another group)
provider    nodes of the provider pool
database    PostgreSQL; no way out
"""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from stacks.base import RouterStack, accept_rule, log_group
from stacks.settings import Settings

ADDRESSES = "10.64.0.0/16"
_SUBNETS = (
    ("public", 24, ec2.SubnetType.PUBLIC),
    ("ingress", 24, ec2.SubnetType.PRIVATE_ISOLATED),
    ("gateway", 21, ec2.SubnetType.PRIVATE_WITH_EGRESS),
    ("provider", 21, ec2.SubnetType.PRIVATE_WITH_EGRESS),
    ("database", 26, ec2.SubnetType.PRIVATE_ISOLATED),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Who somebody is on the network. Rules stand with the resource that they open."""

    gateway_nodes: ec2.SecurityGroup
    provider_nodes: ec2.SecurityGroup
    functions: ec2.SecurityGroup


class NetworkStack(RouterStack):
    """VPC, subnets, ways out, flow logs and the groups of the callers."""

    def __init__(self, scope: Construct, *, settings: Settings) -> None:
        super().__init__(scope, "Network", settings=settings, stateful=True)
        # The zones are literal so that nothing has to be looked up.
        accept_rule(self, "CloudFormation-Validate::W3010", "zones are named so that synthesis asks no account")
        self.vpc = self._build_vpc()
        self._build_flow_log()
        self.groups = Groups(
            gateway_nodes=self._group("GatewayNodes", "nodes that carry gateway pods"),
            provider_nodes=self._group("ProviderNodes", "nodes that carry provider pods"),
            functions=self._group("Functions", "functions with a database role"),
        )

    def ranges(self, kind: str) -> tuple[str, ...]:
        """The addresses of the subnets of a kind."""
        return tuple(subnet.ipv4_cidr_block for subnet in self.vpc.select_subnets(subnet_group_name=kind).subnets)

    def subnets(self, kind: str) -> ec2.SubnetSelection:
        """The subnets of a kind, one in each zone."""
        return ec2.SubnetSelection(subnets=self.vpc.select_subnets(subnet_group_name=kind).subnets)

    def _build_vpc(self) -> ec2.Vpc:
        return ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr(ADDRESSES),
            availability_zones=self.availability_zones,
            nat_gateways=self.policy.nat_gateways,
            restrict_default_security_group=False,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name=name,
                    cidr_mask=mask,
                    subnet_type=kind,
                    **({"map_public_ip_on_launch": False} if kind is ec2.SubnetType.PUBLIC else {}),
                )
                for name, mask, kind in _SUBNETS
            ],
            gateway_endpoints={"S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3)},
        )

    def _build_flow_log(self) -> None:
        group = log_group(self, "FlowLogs", days=self.policy.flow_log_retention_days)
        self.vpc.add_flow_log(
            "Refused",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(group),
            traffic_type=ec2.FlowLogTrafficType.REJECT,
        )

    def _group(self, name: str, description: str) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(self, name, vpc=self.vpc, description=description)
