"""CloudFront: the only way in. Stands in us-east-1, where its certificate, its web ACL and its log delivery must be.

Nothing is cached, no function of the edge reads a body, and of each visit four fields are kept: date, time, address, status.

When nobody answers
    A dead gateway cannot say so; CloudFront does. A 502 or 504 becomes a 503 with a JSON body of ours and `Retry-After`. The
    mapping cannot tell an origin that died from one that answers 502 or 504 itself, so the gateway reports a provider's
    failure as 503 or 529-like statuses of its own when it stands behind an edge; its 503 passes through untouched.
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as route53_targets
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.base import RouterStack, accept
from stacks.parts.access_logs import build_access_logs
from stacks.parts.error_page import ERROR_PATH, build_error_page
from stacks.settings import Settings
from stacks.waf import build_web_acl

GEO_HEADERS = ("CloudFront-Viewer-Country", "CloudFront-Viewer-Address", "CloudFront-Viewer-ASN")
_TLS = {"1.2": cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021, "1.3": cloudfront.SecurityPolicyProtocol.TLS_V1_3_2025}


class EdgeStack(RouterStack):
    """Certificate, web ACL, VPC origin, distribution, its log delivery and the public name."""

    def __init__(self, scope: Construct, *, settings: Settings, balancer: elbv2.IApplicationLoadBalancer) -> None:
        super().__init__(scope, "Edge", settings=settings, edge=True)
        self._zone = route53.HostedZone.from_hosted_zone_attributes(
            self, "Zone", hosted_zone_id=settings.zone_id, zone_name=settings.zone_name
        )
        self.certificate = acm.Certificate(
            self,
            "Certificate",
            domain_name=settings.domain,
            validation=acm.CertificateValidation.from_dns(self._zone),
        )
        self.distribution = self._build_distribution(balancer, build_error_page(self))
        build_access_logs(self, self.distribution)
        self._build_names()

    def _build_distribution(
        self, balancer: elbv2.IApplicationLoadBalancer, errors: s3.Bucket
    ) -> cloudfront.Distribution:
        origin = cloudfront.VpcOrigin(
            self,
            "Origin",
            endpoint=cloudfront.VpcOriginEndpoint.application_load_balancer(balancer),
            protocol_policy=cloudfront.OriginProtocolPolicy.HTTPS_ONLY,
            origin_ssl_protocols=[cloudfront.OriginSslPolicy.TLS_V1_2],
        )
        gap = cdk.Duration.seconds(self.policy.edge_response_gap_s)
        distribution = cloudfront.Distribution(
            self,
            "Distribution",
            comment=f"TheRouter {self.settings.stage}",
            domain_names=[self.settings.domain],
            certificate=self.certificate,
            minimum_protocol_version=_TLS[self.policy.tls_version_min],
            http_version=cloudfront.HttpVersion.HTTP2_AND_3,
            web_acl_id=build_web_acl(self).attr_arn,
            default_behavior=cloudfront.BehaviorOptions(
                origin=origins.VpcOrigin.with_vpc_origin(
                    origin,
                    domain_name=self.settings.domain,
                    read_timeout=gap,
                    keepalive_timeout=cdk.Duration.seconds(self.policy.edge_keepalive_s),
                ),
                allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,
                cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
                origin_request_policy=self._build_forwarding(),
                response_headers_policy=self._build_headers("Headers"),
                # Refused, not redirected: a key that was sent in clear must not be sent twice.
                viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
                compress=False,
            ),
            additional_behaviors={
                "/errors/*": cloudfront.BehaviorOptions(
                    origin=origins.S3BucketOrigin.with_origin_access_control(errors),
                    cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
                    response_headers_policy=self._build_headers(
                        "ErrorHeaders", retry_after_s=self.policy.edge_retry_after_s
                    ),
                    viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
                    compress=False,
                )
            },
            error_responses=[
                cloudfront.ErrorResponse(
                    http_status=status,
                    response_http_status=503,
                    response_page_path=ERROR_PATH,
                    ttl=cdk.Duration.seconds(0),
                )
                for status in (502, 504)
            ],
        )
        accept(distribution, "CFR1", "customers are everywhere but in the china region, which is another deployment")
        accept(distribution, "CFR3", "logs are delivered by standard logging v2, which the rule does not know")
        return distribution

    def _build_forwarding(self) -> cloudfront.OriginRequestPolicy:
        return cloudfront.OriginRequestPolicy(
            self,
            "Forwarding",
            header_behavior=cloudfront.OriginRequestHeaderBehavior.all(*GEO_HEADERS),
            query_string_behavior=cloudfront.OriginRequestQueryStringBehavior.all(),
            cookie_behavior=cloudfront.OriginRequestCookieBehavior.all(),
        )

    def _build_headers(self, name: str, *, retry_after_s: int | None = None) -> cloudfront.ResponseHeadersPolicy:
        custom = [cloudfront.ResponseCustomHeader(header="Cache-Control", value="no-store", override=False)]
        if retry_after_s is not None:
            custom.append(
                cloudfront.ResponseCustomHeader(header="Retry-After", value=str(retry_after_s), override=True)
            )
        return cloudfront.ResponseHeadersPolicy(
            self,
            name,
            custom_headers_behavior=cloudfront.ResponseCustomHeadersBehavior(custom_headers=custom),
            security_headers_behavior=cloudfront.ResponseSecurityHeadersBehavior(
                strict_transport_security=cloudfront.ResponseHeadersStrictTransportSecurity(
                    access_control_max_age=cdk.Duration.days(730), include_subdomains=True, preload=True, override=True
                ),
                content_type_options=cloudfront.ResponseHeadersContentTypeOptions(override=True),
            ),
        )

    def _build_names(self) -> None:
        target = route53.RecordTarget.from_alias(route53_targets.CloudFrontTarget(self.distribution))
        route53.ARecord(self, "Address", zone=self._zone, record_name=f"{self.settings.domain}.", target=target)
        route53.AaaaRecord(self, "Address6", zone=self._zone, record_name=f"{self.settings.domain}.", target=target)
        route53.CaaRecord(
            self,
            "Authorities",
            zone=self._zone,
            record_name=f"{self.settings.domain}.",
            values=[route53.CaaRecordValue(flag=0, tag=route53.CaaTag.ISSUE, value="amazon.com")],
        )
