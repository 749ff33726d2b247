"""The functions' way to the database, which admits the gateway's pool and nobody else.

A function has no place on a node, so it cannot be in that pool. Its connection goes to an internal load balancer, which only
functions may call, and from there to the door: pods on the gateway's nodes that pass bytes on to the database's one port. TLS
and its certificate check stay between the function and the database.
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from constructs import Construct

from handlers.workloads import DATABASE_PORT
from stacks.base import RouterStack, accept
from stacks.network import Groups
from stacks.settings import Settings


class DoorStack(RouterStack):
    """The load balancer in front of the door, its group and its target group."""

    def __init__(
        self, scope: Construct, *, settings: Settings, vpc: ec2.Vpc, subnets: ec2.SubnetSelection, groups: Groups
    ) -> None:
        super().__init__(scope, "Door", settings=settings)
        balancer = elbv2.NetworkLoadBalancer(
            self,
            "Balancer",
            vpc=vpc,
            vpc_subnets=subnets,
            internet_facing=False,
            cross_zone_enabled=True,
            security_groups=[self._build_group(vpc, groups)],
            deletion_protection=self.policy.database_deletion_protected,
        )
        accept(balancer, "ELB2", "it passes TLS on unread; who connected when stands in the database's own log")
        self.targets = self._build_targets(vpc)
        balancer.add_listener("Database", port=DATABASE_PORT, default_target_groups=[self.targets])
        self.host = balancer.load_balancer_dns_name

    def _build_group(self, vpc: ec2.Vpc, groups: Groups) -> ec2.SecurityGroup:
        group = ec2.SecurityGroup(self, "Group", vpc=vpc, description="the way to the door", allow_all_outbound=False)
        group.add_ingress_rule(groups.functions, ec2.Port.tcp(DATABASE_PORT), "functions with a database role")
        group.add_egress_rule(groups.gateway_nodes, ec2.Port.tcp(DATABASE_PORT), "the door's pods")
        ec2.CfnSecurityGroupIngress(
            self,
            "ToDoor",
            group_id=groups.gateway_nodes.security_group_id,
            source_security_group_id=group.security_group_id,
            ip_protocol="tcp",
            from_port=DATABASE_PORT,
            to_port=DATABASE_PORT,
            description="the load balancer in front of the door",
        )
        return group

    def _build_targets(self, vpc: ec2.Vpc) -> elbv2.NetworkTargetGroup:
        return elbv2.NetworkTargetGroup(
            self,
            "Pods",
            vpc=vpc,
            target_type=elbv2.TargetType.IP,
            protocol=elbv2.Protocol.TCP,
            port=DATABASE_PORT,
            # The pods' policy admits the load balancer's subnets; a function's own address would say nothing more.
            preserve_client_ip=False,
            deregistration_delay=cdk.Duration.seconds(self.policy.drain_delay_s),
            health_check=elbv2.HealthCheck(protocol=elbv2.Protocol.TCP, interval=cdk.Duration.seconds(10)),
        )
