"""CloudFront, its web ACL, its logs and its origin."""

from __future__ import annotations

from typing import Any

from handlers.operations.evidence.account import EDGE_REGION, Account, Row, differs
from stacks.policy import Policy

CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
"""The id of the managed cache policy CachingDisabled."""
STORAGE_LAG_DAYS = 2
"""Delivery may lag a day, and S3 expires at the midnight after."""
TLS_NAMES = {"1.2": "TLSv1.2_2021", "1.3": "TLSv1.3_2025"}
MANAGED_GROUPS = {
    "AWSManagedRulesAmazonIpReputationList",
    "AWSManagedRulesCommonRuleSet",
    "AWSManagedRulesKnownBadInputsRuleSet",
    "AWSManagedRulesSQLiRuleSet",
}


def _distribution(account: Account) -> dict[str, Any]:
    name = account.one("Edge", "AWS::CloudFront::Distribution")
    found: dict[str, Any] = account.remember(
        ("distribution", name),
        lambda: account.client("cloudfront", EDGE_REGION).get_distribution_config(Id=name)["DistributionConfig"],
    )
    return found


def _behaviours(account: Account) -> list[dict[str, Any]]:
    config = _distribution(account)
    return [config["DefaultCacheBehavior"], *config.get("CacheBehaviors", {}).get("Items", [])]


def _rules(account: Account) -> dict[str, dict[str, Any]]:
    name, acl, scope = account.one("Edge", "AWS::WAFv2::WebACL").split("|")
    found = account.remember(
        ("acl", acl),
        lambda: account.client("wafv2", EDGE_REGION).get_web_acl(Name=name, Id=acl, Scope=scope)["WebACL"],
    )
    return {rule["Name"]: rule for rule in found["Rules"]}


def _delivery(account: Account) -> dict[str, Any]:
    wanted = account.one("Edge", "AWS::Logs::Delivery")
    rows = account.client("logs", EDGE_REGION).describe_deliveries()["deliveries"]
    return next(row for row in rows if row["id"] == wanted)


def _log_fields(account: Account, policy: Policy) -> list[str]:
    return differs("fields", sorted(_delivery(account)["recordFields"]), sorted(policy.edge_log_fields))


def _log_expiry(account: Account, policy: Policy) -> list[str]:
    bucket = account.one("Edge", "AWS::S3::Bucket", "AccessLogs")
    s3 = account.client("s3", EDGE_REGION)
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    days = [rule["Expiration"]["Days"] for rule in rules if rule["Status"] == "Enabled" and "Expiration" in rule]
    latest = min(days) + STORAGE_LAG_DAYS if days else None
    found = [] if latest and latest <= policy.edge_log_retention_days else [f"access logs may stay {latest} days"]
    return found + differs("versioning", s3.get_bucket_versioning(Bucket=bucket).get("Status", "off"), "off")


def _no_samples(account: Account, _policy: Policy) -> list[str]:
    rules = _rules(account)
    return [f"{n} keeps samples" for n, r in rules.items() if r["VisibilityConfig"]["SampledRequestsEnabled"]]


def _rates(account: Account, policy: Policy) -> list[str]:
    rates = [
        rule["Statement"]["RateBasedStatement"]
        for rule in _rules(account).values()
        if "RateBasedStatement" in rule["Statement"] and "Block" in rule["Action"]
    ]
    seen = sorted((row["AggregateKeyType"], row["Limit"]) for row in rates)
    promised = sorted(
        [("CUSTOM_KEYS", policy.edge_requests_per_key_max)] * 2 + [("IP", policy.edge_requests_per_address_max)]
    )
    return differs("rates", seen, promised)


def _patterns(account: Account, _policy: Policy) -> list[str]:
    rules = _rules(account)
    statements = [rule["Statement"].get("ManagedRuleGroupStatement") for rule in rules.values()]
    names = {statement["Name"] for statement in statements if statement}
    found = [f"{name} is missing" for name in sorted(MANAGED_GROUPS - names)]
    return found + ([] if "BodyHitsOutsidePrompts" in rules else ["bodies outside prompt paths are not protected"])


def _unread(account: Account, _policy: Policy) -> list[str]:
    found = []
    for behaviour in _behaviours(account):
        found += differs("cache policy", behaviour.get("CachePolicyId"), CACHING_DISABLED)
        functions = behaviour.get("LambdaFunctionAssociations", {}).get("Items", [])
        found += [f"{row['LambdaFunctionARN']} runs at the edge" for row in functions]
    return found


def _way_in(account: Account, _policy: Policy) -> list[str]:
    """The origin has no public address, and its group admits CloudFront's list alone."""
    arn = account.one("Ingress", "AWS::ElasticLoadBalancingV2::LoadBalancer")
    (balancer,) = account.client("elbv2").describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"]
    found = differs("the load balancer", balancer["Scheme"], "internal")
    groups = account.client("ec2").describe_security_groups(GroupIds=balancer["SecurityGroups"])["SecurityGroups"]
    for rule in [rule for group in groups for rule in group["IpPermissions"]]:
        ranges = [row["CidrIp"] for row in rule.get("IpRanges", [])]
        found += [f"the load balancer admits {cidr}" for cidr in ranges]
        found += differs("port of the load balancer", rule.get("FromPort"), 443)
    return found


def _tls(account: Account, policy: Policy) -> list[str]:
    oldest = _distribution(account)["ViewerCertificate"].get("MinimumProtocolVersion")
    found = differs("oldest TLS", oldest, TLS_NAMES[policy.tls_version_min])
    for behaviour in _behaviours(account):
        found += differs("plain HTTP", behaviour["ViewerProtocolPolicy"], "https-only")
    return found


def _errors(account: Account, _policy: Policy) -> list[str]:
    rows = _distribution(account).get("CustomErrorResponses", {}).get("Items", [])
    seen = sorted((row["ErrorCode"], str(row.get("ResponseCode"))) for row in rows)
    return differs("error mapping", seen, [(502, "503"), (504, "503")])


ROWS = (
    Row("C26", "An access log line holds date, time, address and status.", _log_fields),
    Row("C26", "The web ACL keeps no samples of requests.", _no_samples),
    Row("C27", "Access logs are gone after 7 days.", _log_expiry),
    Row("C25", "Nothing is cached and nothing at the edge reads a body.", _unread),
    Row("C39", "Nothing but CloudFront reaches the origin.", _way_in),
    Row("C40", "Requests are limited per key and per address.", _rates),
    Row("C41", "TLS 1.2 or newer, and no plain HTTP.", _tls),
    Row("C42", "The web ACL blocks common attack patterns.", _patterns),
    Row("C67", "When nobody answers, the edge answers 503.", _errors),
)
