"""Every number of the policy table is seen in a template, or in a manifest that a template applies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import msgspec
import pytest

from stacks.parts.access_logs import STORAGE_LAG_DAYS
from stacks.policy import STAGES, Policy


def flat(value: Any) -> str:
    """Text with references in it; a reference reads as `?`."""
    if isinstance(value, str):
        return value
    return "".join(part if isinstance(part, str) else "?" for part in value["Fn::Join"][1])


class Seen:
    """Ways to look into an assembly."""

    def __init__(self, assembly: Any) -> None:
        self.assembly = assembly
        texts = [row["Manifest"] for row in assembly.properties("Custom::AWSCDK-EKS-KubernetesResource")]
        self.objects = [item for text in texts for item in msgspec.json.decode(flat(text))]

    def all(self, kind: str, *path: str | int, where: Callable[[Any], bool] = lambda _row: True) -> list[Any]:
        """The values at a path in all resources of a kind."""
        found = []
        for row in filter(where, self.assembly.properties(kind)):
            for step in path:
                row = row[step]  # noqa: PLW2901 - walking down
            found.append(row)
        return found

    def one(self, kind: str, *path: str | int, where: Callable[[Any], bool] = lambda _row: True) -> Any:
        """The one value at a path in all resources of a kind."""
        found = self.all(kind, *path, where=where)
        assert found, (kind, path)
        assert all(value == found[0] for value in found), found
        return found[0]

    def spec(self, kind: str, name: str) -> Any:
        """The spec of the Kubernetes objects of a kind; the first whose name begins so."""
        return next(o["spec"] for o in self.objects if o["kind"] == kind and o["metadata"]["name"].startswith(name))

    def events(self, job: str) -> list[dict[str, Any]]:
        """The constant events of a stack's rule with this logical id, its hash apart."""
        templates = self.assembly.templates.values()
        rows = [row for t in templates for name, row in t["Resources"].items() if name[:-8] == job]
        rules = [row["Properties"] for row in rows if row["Type"] == "AWS::Events::Rule"]
        targets = [target for rule in rules for target in rule["Targets"]]
        return [msgspec.json.decode(flat(target["Input"])) for target in targets if "Input" in target]

    def rate(self, job: str) -> str:
        """The schedule of a rule."""
        templates = self.assembly.templates.values()
        return next(
            str(row["Properties"]["ScheduleExpression"])
            for t in templates
            for name, row in t["Resources"].items()
            if name[:-8] == job and row["Type"] == "AWS::Events::Rule"
        )

    def distribution(self, *path: str | int) -> Any:
        return self.one("AWS::CloudFront::Distribution", "DistributionConfig", *path)

    def rate_limits(self, kind: str) -> set[Any]:
        rules = self.one("AWS::WAFv2::WebACL", "Rules")
        rates = [rule["Statement"].get("RateBasedStatement") for rule in rules]
        return {(r["Limit"], r["EvaluationWindowSec"]) for r in rates if r and r["AggregateKeyType"] == kind}

    def pool(self, name: str) -> Any:
        (row,) = [
            p["ScalingConfig"] for p in self.assembly.properties("AWS::EKS::Nodegroup") if name in str(p["Labels"])
        ]
        return row


def minutes(rate: str) -> int:
    number, unit = rate.removeprefix("rate(").removesuffix(")").split()
    return int(number) * {"minute": 1, "hour": 60, "day": 1440}[unit.removesuffix("s")]


def named(text: str) -> Callable[[Any], bool]:
    return lambda row: text in str(row.get("LogGroupName", ""))


ORIGIN = ("Origins", 0, "VpcOriginConfig")
DB = "AWS::RDS::DBInstance"
GROUP = "AWS::Logs::LogGroup"
HEALTH = ("AWS::Route53::HealthCheck", "HealthCheckConfig")
RETRY_AFTER = "Retry-After"


def _flow_log_days(s: Seen) -> Any:
    rows = s.assembly.properties(GROUP, "Network")
    return rows[0]["RetentionInDays"]


def _edge_log_days(s: Seen) -> Any:
    rules = [
        b["LifecycleConfiguration"]["Rules"]
        for b in s.assembly.properties("AWS::S3::Bucket")
        if "LifecycleConfiguration" in b
    ]
    return rules[0][0]["ExpirationInDays"] + STORAGE_LAG_DAYS


def _retry_after(s: Seen) -> Any:
    policies = s.all(
        "AWS::CloudFront::ResponseHeadersPolicy", "ResponseHeadersPolicyConfig", "CustomHeadersConfig", "Items"
    )
    return next(int(i["Value"]) for items in policies for i in items if i["Header"] == RETRY_AFTER)


def _body_bytes(s: Seen) -> Any:
    (rule,) = [rule for rule in s.one("AWS::WAFv2::WebACL", "Rules") if rule["Name"] == "HugeBody"]
    digits = int(rule["Statement"]["RegexMatchStatement"]["RegexString"].partition("{")[2].partition(",")[0])
    return 10 ** (digits - 1) - 1


def _certificate_days(s: Seen) -> Any:
    rows = [
        a["Threshold"]
        for a in s.assembly.properties("AWS::CloudWatch::Alarm", "Watchdog")
        if a["MetricName"] == "DaysToExpiry"
    ]
    return tuple(sorted(map(int, rows), reverse=True))


def _tls(s: Seen) -> Any:
    return {"TLSv1.2_2021": "1.2"}[s.distribution("ViewerCertificate", "MinimumProtocolVersion")]


def _parameters(s: Seen) -> Any:
    return s.one("AWS::RDS::DBParameterGroup", "Parameters")


def _grace(s: Seen) -> Any:
    return s.spec("Deployment", "gateway")["template"]["spec"]


def _targets(s: Seen) -> Any:
    rows = s.all(
        "AWS::ElasticLoadBalancingV2::TargetGroup", "TargetGroupAttributes", where=lambda r: r.get("Protocol") == "HTTP"
    )
    return {row["Key"]: row["Value"] for row in rows[0]}


def _balancer(s: Seen) -> Any:
    kind, field = "AWS::ElasticLoadBalancingV2::LoadBalancer", "LoadBalancerAttributes"
    rows = s.one(kind, field, where=lambda r: r["Type"] == "application")
    return {row["Key"]: row["Value"] for row in rows}


def _zones(s: Seen) -> Any:
    return len({row["AvailabilityZone"] for row in s.assembly.properties("AWS::EC2::Subnet")})


OBSERVED: dict[str, Callable[[Seen], Any]] = {
    "edge_log_retention_days": _edge_log_days,
    "edge_log_fields": lambda s: tuple(s.one("AWS::Logs::Delivery", "RecordFields")),
    "metadata_retention_days_default": lambda s: s.events("Everypurge")[0]["retention_days_default"],
    "metadata_retention_days_min": lambda s: s.events("Everypurge")[0]["retention_days_min"],
    "metadata_retention_days_max": lambda s: s.events("Everypurge")[0]["retention_days_max"],
    "function_log_retention_days": lambda s: s.one(GROUP, "RetentionInDays", where=named("/therouter/")),
    "cluster_log_retention_days": lambda s: s.one(GROUP, "RetentionInDays", where=named("/aws/eks/")),
    "flow_log_retention_days": _flow_log_days,
    "purge_interval_minutes": lambda s: minutes(s.rate("Everypurge")),
    "reap_interval_minutes": lambda s: minutes(s.rate("Everyreap")),
    "checkpoint_interval_minutes": lambda s: minutes(s.rate("Everycheckpoint")),
    "rebuild_interval_hours": lambda s: minutes(s.rate("Nightlycheckpoint")) // 60,
    "audit_retention_days": lambda s: s.events("Nightlycheckpoint")[0]["keep_days"],
    "checkpoint_lock_days": lambda s: s.one(
        "AWS::S3::Bucket", "ObjectLockConfiguration", "Rule", "DefaultRetention", "Days",
        where=lambda row: "ObjectLockConfiguration" in row,
    ),
    "spending_interval_minutes": lambda s: minutes(s.rate("Everyspending")),
    "reconcile_interval_hours": lambda s: minutes(s.rate("Everyreconcile")) // 60,
    "snapshot_check_interval_hours": lambda s: minutes(s.rate("Everysnapshotcheck")) // 60,
    "rotation_check_interval_hours": lambda s: minutes(s.rate("Everyrotation")) // 60,
    "secret_age_days_max": lambda s: s.events("Everyrotation")[0]["age_days_max"],
    "renewal_interval_minutes": lambda s: minutes(s.rate("Everyrenewal")),
    "secret_rotation_days": lambda s: s.events("Everyrenewal")[0]["rotate_after_days"],
    "secret_settle_s": lambda s: s.events("Everyrenewal")[0]["settle_s"],
    "secret_retire_s": lambda s: s.events("Everyrenewal")[0]["retire_s"],
    "backup_retention_days": lambda s: s.one(DB, "BackupRetentionPeriod"),
    "database_standby": lambda s: s.one(DB, "MultiAZ"),
    "database_deletion_protected": lambda s: s.one(DB, "DeletionProtection"),
    "database_storage_gb": lambda s: int(s.one(DB, "AllocatedStorage")),
    "database_storage_gb_max": lambda s: s.one(DB, "MaxAllocatedStorage"),
    "database_statement_timeout_ms": lambda s: int(_parameters(s)["statement_timeout"]),
    "key_rotation_days": lambda s: s.one("AWS::KMS::Key", "RotationPeriodInDays"),
    "key_deletion_wait_days": lambda s: s.one("AWS::KMS::Key", "PendingWindowInDays"),
    "health_check_interval_s": lambda s: s.one(*HEALTH, "RequestInterval"),
    "health_check_failures": lambda s: s.one(*HEALTH, "FailureThreshold"),
    "reboot_cooldown_minutes": lambda s: s.events("LookAgain")[0]["cooldown_minutes"],
    "watchdog_interval_minutes": lambda s: minutes(s.rate("LookAgain")),
    "alarm_reconcile_minutes": lambda s: minutes(s.rate("Reconcile")),
    "status_check_period_s": lambda s: s.events("Reconcile")[0]["period_s"],
    "recover_after_failures": lambda s: s.events("Reconcile")[0]["recover_after_failures"],
    "restart_after_failures": lambda s: s.events("Reconcile")[0]["restart_after_failures"],
    "certificate_expiry_alarm_days": _certificate_days,
    "tls_version_min": _tls,
    "edge_response_gap_s": lambda s: s.distribution(*ORIGIN, "OriginReadTimeout"),
    "edge_keepalive_s": lambda s: s.distribution(*ORIGIN, "OriginKeepaliveTimeout"),
    "ingress_idle_s": lambda s: int(_balancer(s)["idle_timeout.timeout_seconds"]),
    "edge_retry_after_s": _retry_after,
    "edge_rate_window_s": lambda s: next(iter(s.rate_limits("IP")))[1],
    "edge_requests_per_key_max": lambda s: next(iter(s.rate_limits("CUSTOM_KEYS")))[0],
    "edge_requests_per_address_max": lambda s: next(iter(s.rate_limits("IP")))[0],
    "edge_body_bytes_max": _body_bytes,
    "request_duration_s_max": lambda s: int(_targets(s)["deregistration_delay.timeout_seconds"]),
    "drain_delay_s": lambda s: _grace(s)["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"],
    "termination_grace_s": lambda s: _grace(s)["terminationGracePeriodSeconds"],
    "availability_zones": _zones,
    "nat_gateways": lambda s: len(s.assembly.properties("AWS::EC2::NatGateway")),
    "gateway_replicas_min": lambda s: s.spec("HorizontalPodAutoscaler", "gateway")["minReplicas"],
    "gateway_replicas_max": lambda s: s.spec("HorizontalPodAutoscaler", "gateway")["maxReplicas"],
    "provider_replicas_min": lambda s: s.spec("HorizontalPodAutoscaler", "provider-")["minReplicas"],
    "provider_replicas_max": lambda s: s.spec("HorizontalPodAutoscaler", "provider-")["maxReplicas"],
    "scale_at_cpu_percent": lambda s: s.spec("HorizontalPodAutoscaler", "gateway")["metrics"][0]["resource"]["target"]["averageUtilization"],
    "scale_down_wait_s": lambda s: s.spec("HorizontalPodAutoscaler", "gateway")["behavior"]["scaleDown"]["stabilizationWindowSeconds"],
    "gateway_nodes_min": lambda s: s.pool("gateway")["MinSize"],
    "gateway_nodes_max": lambda s: s.pool("gateway")["MaxSize"],
    "provider_nodes_min": lambda s: s.pool("provider")["MinSize"],
    "provider_nodes_max": lambda s: s.pool("provider")["MaxSize"],
}  # fmt: skip


def test_every_field_has_a_place_where_it_is_seen() -> None:
    assert set(OBSERVED) == {field.name for field in fields(Policy)}


@pytest.mark.claim("C10", "C11", "C26", "C27", "C40", "C41", "C44", "C63", "C65", "C66", "C67", "C68", "C70", "C72")
@pytest.mark.parametrize("stage", sorted(STAGES))
def test_every_number_is_in_the_templates_of_its_stage(stage: str, production: Any, staged: Any) -> None:
    seen = Seen(production if stage == "production" else staged(stage))
    observed = {name: look(seen) for name, look in OBSERVED.items()}
    assert observed == {name: getattr(STAGES[stage], name) for name in OBSERVED}
