from __future__ import annotations

from typing import Any

import pytest


def attributes(production: Any) -> dict[str, str]:
    (row,) = production.properties("AWS::ElasticLoadBalancingV2::LoadBalancer", "Ingress")
    return {item["Key"]: item["Value"] for item in row["LoadBalancerAttributes"]}


@pytest.mark.claim("C39")
def test_it_is_internal_and_admits_cloudfront_alone(production: Any) -> None:
    (row,) = production.properties("AWS::ElasticLoadBalancingV2::LoadBalancer", "Ingress")
    assert row["Scheme"] == "internal"
    rules = production.properties("AWS::EC2::SecurityGroupIngress", "Ingress")
    (outside,) = [rule for rule in rules if "SourcePrefixListId" in rule]
    assert (outside["SourcePrefixListId"], outside["FromPort"], outside["ToPort"]) == ("pl-b6a144df", 443, 443)
    (inside,) = [rule for rule in rules if "SourceSecurityGroupId" in rule]
    assert (inside["FromPort"], inside["ToPort"]) == (8080, 8080)


def test_malformed_requests_end_here(production: Any) -> None:
    found = attributes(production)
    assert found["routing.http.drop_invalid_header_fields.enabled"] == "true"
    assert found["routing.http.desync_mitigation_mode"] == "strictest"


@pytest.mark.claim("C26")
def test_it_keeps_no_logs_of_visits(production: Any) -> None:
    assert attributes(production).get("access_logs.s3.enabled", "false") == "false"


@pytest.mark.claim("C41")
def test_the_listener_speaks_modern_tls_and_answers_nothing_by_itself(production: Any) -> None:
    (row,) = production.properties("AWS::ElasticLoadBalancingV2::Listener", "Ingress")
    assert (row["Protocol"], row["Port"]) == ("HTTPS", 443)
    assert row["SslPolicy"].startswith("ELBSecurityPolicy-TLS13-1-2")
    assert row["DefaultActions"][0]["FixedResponseConfig"]["StatusCode"] == "404"


def test_metrics_are_not_among_the_public_paths(production: Any) -> None:
    rules = production.properties("AWS::ElasticLoadBalancingV2::ListenerRule", "Ingress")
    paths = [path for rule in rules for path in rule["Conditions"][0]["PathPatternConfig"]["Values"]]
    assert paths == ["/v1/*", "/v1beta/*", "/healthz", "/readyz"]


@pytest.mark.claim("C67")
def test_only_ready_pods_are_asked(production: Any) -> None:
    rows = production.properties("AWS::ElasticLoadBalancingV2::TargetGroup", "Ingress")
    assert [row["HealthCheckPath"] for row in rows] == ["/readyz"]
