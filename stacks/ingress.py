"""The internal load balancer: no public address; only CloudFront's VPC origin reaches it.

No access logs here: their fields are fixed and hold the path and the client's software, and the trust page promises that
date, time, address and status are all that is kept of a visit.
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_route53 as route53
from constructs import Construct

from handlers.workloads import GATEWAY_PORT
from stacks.base import RouterStack, accept
from stacks.network import Groups
from stacks.settings import Settings

CLOUDFRONT_PREFIX_LIST = "pl-b6a144df"
"""com.amazonaws.global.cloudfront.origin-facing in us-east-2; 55 of the 60 rules that a group may have."""
GATEWAY_PRIORITY = 10
LISTENER_POLICY = elbv2.SslPolicy.TLS13_RES


class IngressStack(RouterStack):
    """The load balancer, its listener and the gateway's target group."""

    def __init__(
        self, scope: Construct, *, settings: Settings, vpc: ec2.Vpc, subnets: ec2.SubnetSelection, groups: Groups
    ) -> None:
        super().__init__(scope, "Ingress", settings=settings)
        self.group = self._build_group(vpc, groups)
        self.balancer = elbv2.ApplicationLoadBalancer(
            self,
            "Balancer",
            vpc=vpc,
            vpc_subnets=subnets,
            internet_facing=False,
            security_group=self.group,
            idle_timeout=cdk.Duration.seconds(self.policy.ingress_idle_s),
            deletion_protection=self.policy.database_deletion_protected,
            drop_invalid_header_fields=True,
            desync_mitigation_mode=elbv2.DesyncMitigationMode.STRICTEST,
        )
        accept(self.balancer, "ELB2", "its log fields are fixed and hold more than the trust page allows to keep")
        self.listener = self._build_listener()
        self.targets = self._build_targets(vpc)

    def _build_group(self, vpc: ec2.Vpc, groups: Groups) -> ec2.SecurityGroup:
        group = ec2.SecurityGroup(self, "Group", vpc=vpc, description="the load balancer", allow_all_outbound=False)
        group.add_ingress_rule(ec2.Peer.prefix_list(CLOUDFRONT_PREFIX_LIST), ec2.Port.tcp(443), "CloudFront alone")
        group.add_egress_rule(groups.gateway_nodes, ec2.Port.tcp(GATEWAY_PORT), "gateway pods")
        ec2.CfnSecurityGroupIngress(
            self,
            "ToGateway",
            group_id=groups.gateway_nodes.security_group_id,
            source_security_group_id=group.security_group_id,
            ip_protocol="tcp",
            from_port=GATEWAY_PORT,
            to_port=GATEWAY_PORT,
            description="the load balancer",
        )
        return group

    def _build_listener(self) -> elbv2.ApplicationListener:
        zone = route53.HostedZone.from_hosted_zone_attributes(
            self, "Zone", hosted_zone_id=self.settings.zone_id, zone_name=self.settings.zone_name
        )
        # CloudFront forwards the Host that the client sent, so the certificate is for the public name here too.
        self.certificate = acm.Certificate(
            self,
            "Certificate",
            domain_name=self.settings.domain,
            validation=acm.CertificateValidation.from_dns(zone),
        )
        return self.balancer.add_listener(
            "Https",
            port=443,
            certificates=[self.certificate],
            ssl_policy=LISTENER_POLICY,
            open=False,
            default_action=elbv2.ListenerAction.fixed_response(404, content_type="application/json", message_body="{}"),
        )

    def _build_targets(self, vpc: ec2.Vpc) -> elbv2.ApplicationTargetGroup:
        targets = elbv2.ApplicationTargetGroup(
            self,
            "Gateway",
            vpc=vpc,
            target_type=elbv2.TargetType.IP,
            protocol=elbv2.ApplicationProtocol.HTTP,
            port=GATEWAY_PORT,
            deregistration_delay=cdk.Duration.seconds(self.policy.request_duration_s_max),
            load_balancing_algorithm_type=elbv2.TargetGroupLoadBalancingAlgorithmType.LEAST_OUTSTANDING_REQUESTS,
            health_check=elbv2.HealthCheck(
                path="/readyz",
                interval=cdk.Duration.seconds(5),
                timeout=cdk.Duration.seconds(2),
                healthy_threshold_count=2,
                unhealthy_threshold_count=2,
                healthy_http_codes="200",
            ),
        )
        (gateway,) = (row for row in self.settings.workloads if row.name == "gateway")
        elbv2.ApplicationListenerRule(
            self,
            "ToGatewayPods",
            listener=self.listener,
            priority=GATEWAY_PRIORITY,
            conditions=[elbv2.ListenerCondition.path_patterns(list(gateway.routes))],
            action=elbv2.ListenerAction.forward([targets]),
        )
        return targets
