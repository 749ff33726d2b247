from __future__ import annotations

from typing import Any

import pytest

from handlers.settings import EDGE_HEADERS


def config(production: Any) -> dict[str, Any]:
    (row,) = production.properties("AWS::CloudFront::Distribution")
    found: dict[str, Any] = row["DistributionConfig"]
    return found


def behaviours(production: Any) -> list[dict[str, Any]]:
    found = config(production)
    return [found["DefaultCacheBehavior"], *found["CacheBehaviors"]]


@pytest.mark.claim("C25")
def test_nothing_is_cached_compressed_or_read_by_a_function(production: Any) -> None:
    for behaviour in behaviours(production):
        assert behaviour["CachePolicyId"] == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
        assert behaviour["Compress"] is False
        assert not {"LambdaFunctionAssociations", "FunctionAssociations", "RealtimeLogConfigArn"} & set(behaviour)


@pytest.mark.claim("C26")
def test_a_log_line_has_four_fields_and_legacy_logging_is_off(production: Any) -> None:
    (delivery,) = production.properties("AWS::Logs::Delivery")
    assert delivery["RecordFields"] == ["date", "time", "c-ip", "sc-status"]
    assert "Logging" not in config(production)
    (source,) = production.properties("AWS::Logs::DeliverySource")
    assert source["LogType"] == "ACCESS_LOGS"


@pytest.mark.claim("C27")
def test_logs_are_gone_after_a_week_and_leave_no_versions(production: Any) -> None:
    buckets = production.properties("AWS::S3::Bucket", "Edge")
    (logs,) = [row for row in buckets if "LifecycleConfiguration" in row]
    (rule,) = logs["LifecycleConfiguration"]["Rules"]
    assert (rule["Status"], rule["ExpirationInDays"]) == ("Enabled", 5)
    assert not {"VersioningConfiguration", "ReplicationConfiguration"} & set(logs)


@pytest.mark.claim("C39")
def test_every_request_goes_through_the_vpc_origin_over_tls(production: Any) -> None:
    (origin,) = production.properties("AWS::CloudFront::VpcOrigin")
    endpoint = origin["VpcOriginEndpointConfig"]
    assert (endpoint["OriginProtocolPolicy"], endpoint["OriginSSLProtocols"]) == ("https-only", ["TLSv1.2"])
    assert "Tags" not in origin, "an attached VPC origin cannot be updated, tags included"
    kinds = [
        set(row) & {"VpcOriginConfig", "S3OriginConfig", "CustomOriginConfig"} for row in config(production)["Origins"]
    ]
    assert kinds == [{"VpcOriginConfig"}, {"S3OriginConfig"}]


@pytest.mark.claim("C41")
def test_plain_http_is_refused_and_not_redirected(production: Any) -> None:
    assert {row["ViewerProtocolPolicy"] for row in behaviours(production)} == {"https-only"}
    assert config(production)["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"
    for row in production.properties("AWS::CloudFront::ResponseHeadersPolicy"):
        security = row["ResponseHeadersPolicyConfig"]["SecurityHeadersConfig"]
        assert security["StrictTransportSecurity"]["AccessControlMaxAgeSec"] == 63_072_000


@pytest.mark.claim("C43")
def test_the_origin_learns_the_country_from_the_edge(production: Any) -> None:
    (policy,) = production.properties("AWS::CloudFront::OriginRequestPolicy")
    headers = policy["OriginRequestPolicyConfig"]["HeadersConfig"]
    assert "CloudFront-Viewer-Country" in headers["Headers"]
    # Keys may be bound to addresses; CloudFront writes this one itself, over whatever the client sent.
    assert EDGE_HEADERS["global"] in {name.lower() for name in headers["Headers"]}


@pytest.mark.claim("C67")
def test_when_nobody_answers_the_edge_says_503_in_json_and_when_to_come_back(production: Any) -> None:
    rows = config(production)["CustomErrorResponses"]
    assert [(row["ErrorCode"], row["ResponseCode"], row["ErrorCachingMinTTL"]) for row in rows] == [
        (502, 503, 0),
        (504, 503, 0),
    ]
    assert {row["ResponsePagePath"] for row in rows} == {"/errors/503.json"}
    custom = [
        {item["Header"]: item["Value"] for item in row["ResponseHeadersPolicyConfig"]["CustomHeadersConfig"]["Items"]}
        for row in production.properties("AWS::CloudFront::ResponseHeadersPolicy")
    ]
    assert sorted(row.get("Retry-After", "") for row in custom) == ["", "15"]


def test_the_web_acl_is_attached(production: Any) -> None:
    assert config(production)["WebACLId"] == {"Fn::GetAtt": ["WebAcl", "Arn"]}


@pytest.mark.claim("C44")
def test_only_amazon_may_issue_certificates_for_the_name(production: Any) -> None:
    records = production.properties("AWS::Route53::RecordSet", "Edge")
    assert [row["ResourceRecords"] for row in records if row["Type"] == "CAA"] == [['0 issue "amazon.com"']]
