"""The edge (ESA): its rules, its logs, its origin."""

from __future__ import annotations

from typing import Any

from handlers.operations.hangzhou.evidence.account import Account, Fields, Row, differs, rows_of
from handlers.operations.hangzhou.logs import retention_days
from stacks.policy import Policy

LOG_FIELDS = {
    "date": "EdgeStartTimestamp",
    "time": "EdgeStartTimestamp",
    "c-ip": "ClientIP",
    "sc-status": "EdgeResponseStatusCode",
}
"""The promised fields in this edge's names."""
MAPPED = ("502", "504")


def _on_site(account: Account, action: str, **form: str) -> Fields:
    return account.ask("esa", action, SiteId=account.one("edge", "ESA::Site"), **form)


def _log_fields(account: Account, policy: Policy) -> list[str]:
    told = _on_site(account, "GetSiteDeliveryTask", TaskName=f"therouter-{account.stage}-edge-access")
    promised = {LOG_FIELDS[field] for field in policy.edge_log_fields}
    return differs("fields", sorted(str(told["FieldList"]).split(",")), sorted(promised))


def _log_expiry(account: Account, policy: Policy) -> list[str]:
    project = account.one("edge", "SLS::Project")
    return differs("days of access log", retention_days(project, "edge-access"), policy.edge_log_retention_days)


def _firewall(account: Account, phase: str) -> list[Any]:
    return [row for row in rows_of(_on_site(account, "ListWafRules", Phase=phase), "Rules") if row["Status"] == "on"]


def _rates(account: Account, policy: Policy) -> list[str]:
    limits = [row["Config"]["RateLimit"] for row in _firewall(account, "http_ratelimit")]
    seen = sorted((row["Interval"], row["Threshold"]["Request"]) for row in limits)
    window = policy.edge_rate_window_s
    promised = sorted(
        [(window, policy.edge_requests_per_key_max)] * 2 + [(window, policy.edge_requests_per_address_max)]
    )
    return differs("rates", seen, promised)


def _patterns(account: Account, _policy: Policy) -> list[str]:
    actions = [row["Config"].get("Action") for row in _firewall(account, "http_managed")]
    return differs("managed rules", actions, ["deny"])


def _unread(account: Account, _policy: Policy) -> list[str]:
    rules = rows_of(_on_site(account, "ListCacheRules"), "Configs")
    return differs("cache rules", [row.get("BypassCache") for row in rules], ["bypass_all"])


def _way_in(account: Account, _policy: Policy) -> list[str]:
    """The load balancer's group admits the edge's origin-pull networks as they were deployed, on 443 alone."""
    group = account.one("ingress", "ECS::SecurityGroup")
    told = account.ask("ecs", "DescribeSecurityGroupAttribute", SecurityGroupId=group, Direction="ingress")
    rules = rows_of(told, "Permissions", "Permission")
    deployed = account.template("ingress")["Resources"]["EdgeGroup"]["Properties"]["SecurityGroupIngress"]
    promised = {row["SourceCidrIp"] for row in deployed}
    found = [f"the load balancer admits {row['SourceCidrIp']}" for row in rules if row["SourceCidrIp"] not in promised]
    found += [f"the load balancer listens on {row['PortRange']}" for row in rules if row["PortRange"] != "443/443"]
    return found + differs("origin protection", _on_site(account, "GetOriginProtection").get("OriginConverge"), "on")


def _tls(account: Account, policy: Policy) -> list[str]:
    (config,) = rows_of(_on_site(account, "ListHttpsBasicConfigurations"), "Configs")
    old = {"1.2": ("Tls10", "Tls11"), "1.3": ("Tls10", "Tls11", "Tls12")}[policy.tls_version_min]
    found = [f"{name} is {config.get(name)}" for name in old if config.get(name) != "off"]
    plain = [row for row in _firewall(account, "http_custom") if row["Config"].get("Expression") == "(not ssl)"]
    return found + ([] if plain else ["plain HTTP is not refused"])


def _errors(account: Account, _policy: Policy) -> list[str]:
    rules = rows_of(_on_site(account, "ListCustomResponseCodeRules"), "Configs")
    seen = sorted((row["Rule"], row["ReturnCode"]) for row in rules if row["RuleEnable"] == "on")
    return differs("error mapping", seen, [(f"(http.response.code eq {code})", "503") for code in MAPPED])


ROWS = (
    Row("C26", "An access log line holds date, time, address and status.", _log_fields),
    Row("C27", "Access logs are gone after 7 days.", _log_expiry),
    Row("C25", "Nothing is cached.", _unread),
    Row("C39", "Nothing but the edge reaches the origin.", _way_in),
    Row("C40", "Requests are limited per key and per address.", _rates),
    Row("C41", "TLS 1.2 or newer, and no plain HTTP.", _tls),
    Row("C42", "The firewall blocks common attack patterns.", _patterns),
    Row("C67", "When nobody answers, the edge answers 503.", _errors),
)
