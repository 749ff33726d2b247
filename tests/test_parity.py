"""Both clouds show the same intentions: the same files and classes, every promised number in both outputs, the same variables
for the same workload, and no name of one cloud in the other's templates. What differs is declared in `aliyun/__init__.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from aliyun import DIFFERENCES
from aliyun import app as aliyun_app
from aliyun.__main__ import EXAMPLE
from aliyun.rules import FOREIGN
from aliyun.settings import Settings, parse
from aliyun.values import PLACEHOLDER_VALUE
from handlers.catalog.loading import load_catalog
from handlers.clouds.aliyun import PLACEHOLDER_PREFIX
from handlers.workloads import Kind, deployable, host_of, workloads
from stacks.policy import PRODUCTION, Policy
from tests.stacks.conftest import CONTEXT, load_app

PROJECT = Path(__file__).parents[1]
Template = dict[str, Any]
Templates = dict[str, Template]
"""Lower-case intention -> template, in both clouds."""


@pytest.fixture(scope="session")
def settings() -> Settings:
    context = msgspec.toml.decode(EXAMPLE.read_bytes())
    return parse(context, load_catalog("china").providers)


@pytest.fixture(scope="session")
def china(settings: Settings) -> Templates:
    return synthesized(settings)


def synthesized(settings: Settings) -> Templates:
    return {name.removesuffix(".json"): body for name, body in aliyun_app.templates(settings).items()}


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    folder = tmp_path_factory.mktemp("assembly")
    app, _ = load_app().make_app(dict(CONTEXT), outdir=str(folder))
    app.synth()
    return {
        path.name.removesuffix(".template.json").rpartition("-")[2].lower(): msgspec.json.decode(path.read_bytes())
        for path in folder.glob("*.template.json")
    }


# Files and classes


def modules(package: str) -> dict[str, Path]:
    """Module name -> file; a package counts as the module of its name."""
    folder = PROJECT / package
    files = {path.stem: path for path in folder.glob("*.py") if path.stem != "__init__"}
    return files | {path.parent.name: path for path in folder.glob("*/__init__.py")}


def classes(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")}


def test_both_trees_have_the_same_files_but_for_declared_ones() -> None:
    declared = {name for row in DIFFERENCES for name in row.modules}
    assert set(modules("stacks")) ^ set(modules("aliyun")) == declared


def test_both_trees_have_the_same_public_classes_but_for_declared_ones() -> None:
    stacks, aliyun = modules("stacks"), modules("aliyun")
    different = {
        f"{name}.{found}"
        for name in stacks.keys() & aliyun.keys()
        for found in classes(stacks[name]) ^ classes(aliyun[name])
    }
    assert different == {name for row in DIFFERENCES for name in row.classes}


def test_every_stack_has_its_twin(aws: Templates, china: Templates) -> None:
    assert set(aws) ^ set(china) == {"trail"}


def test_each_difference_says_what_and_why() -> None:
    assert all(all(len(text) > 2 for text in row[:5]) for row in DIFFERENCES)


# Numbers


def at(value: object, path: str) -> Iterator[object]:
    """What a dotted path leads to; `*` is every item, a number one of a list."""
    if not path:
        yield value
        return
    head, _, rest = path.partition(".")
    if head == "*":
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from at(inner, rest)
    elif isinstance(value, list) and head.isdecimal():
        yield from at(value[int(head)], rest)
    elif isinstance(value, dict) and head in value:
        yield from at(value[head], rest)


def flat(value: object) -> str:
    """All text in a value, in order; what the cloud fills in is left out."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "".join(flat(inner) for inner in value.values())
    if isinstance(value, list):
        return "".join(flat(inner) for inner in value)
    return ""


def same(value: Any) -> Any:
    return value


class Look(NamedTuple):
    """Where a number stands: in the resources of a type whose id begins with `prefix`, at `path`, written as `shape` says."""

    stack: str
    kind: str
    path: str
    prefix: str = ""
    shape: Callable[[Any], object] = same

    def sees(self, templates: Templates, value: object) -> bool:
        resources = templates[self.stack]["Resources"].items()
        found = [
            one
            for logical_id, row in resources
            if row["Type"] == self.kind and logical_id.startswith(self.prefix)
            for one in at(row.get("Properties", {}), self.path)
        ]
        wanted = self.shape(value)
        return bool(found) and all(one == wanted for one in found)


class Words(NamedTuple):
    """Where a number stands in text: all resources of a type whose id begins with `prefix`, as `pattern` with the number in it."""

    stack: str
    kind: str
    pattern: str
    prefix: str = ""
    shape: Callable[[Any], object] = same

    def sees(self, templates: Templates, value: object) -> bool:
        rows = [
            flat(row.get("Properties", {}))
            for logical_id, row in templates[self.stack]["Resources"].items()
            if row["Type"] == self.kind and logical_id.startswith(self.prefix)
        ]
        pattern = self.pattern.replace("@", re.escape(str(self.shape(value))))
        return any(re.search(pattern, text) for text in rows)


class Count(NamedTuple):
    """A number of resources."""

    stack: str
    kind: str
    prefix: str = ""
    path: str = ""

    def sees(self, templates: Templates, value: object) -> bool:
        rows = [
            row.get("Properties", {})
            for logical_id, row in templates[self.stack]["Resources"].items()
            if row["Type"] == self.kind and logical_id.startswith(self.prefix)
        ]
        return (len(rows) if not self.path else sum(1 for row in rows for _ in at(row, self.path))) == value


Place = Look | Words | Count


def rate(minutes: int) -> str:
    """A schedule in EventBridge's words."""
    for size, word in ((1440, "day"), (60, "hour"), (1, "minute")):
        if minutes % size == 0:
            return f"rate({minutes // size} {word}{'s' if minutes // size > 1 else ''})"
    raise AssertionError(minutes)


def every(minutes: int) -> str:
    return f"@every {minutes}m"


def hours(say: Callable[[int], str]) -> Callable[[int], str]:
    return lambda value: say(value * 60)


def digits(value: int) -> int:
    return len(str(value)) + 1


RULE, TIMER = "AWS::Events::Rule", "ALIYUN::FC3::Trigger"
MANIFEST, APPLICATION = "Custom::AWSCDK-EKS-KubernetesResource", "ALIYUN::CS::ClusterApplication"
LOGS, STORE = "AWS::Logs::LogGroup", "ALIYUN::SLS::Logstore"
DATABASE, INSTANCE = "AWS::RDS::DBInstance", "ALIYUN::RDS::DBInstance"
ACL, WAF = "AWS::WAFv2::WebACL", "ALIYUN::ESA::WafRule"
CLOUDFRONT = "AWS::CloudFront::Distribution"
ORIGIN = "DistributionConfig.Origins.*"


def scheduled(stack: str, aws_id: str, china_id: str, hourly: bool = False) -> tuple[Place, Place]:
    wrap = hours if hourly else same
    return (
        Look(stack, RULE, "ScheduleExpression", aws_id, wrap(rate)),
        Look(stack, TIMER, "TriggerConfig.cronExpression", china_id, wrap(every)),
    )


def told(stack: str, field: str, aws_id: str, china_id: str) -> tuple[Place, Place]:
    """A number in the event that a handler gets: the same words on both sides."""
    words = f'"{field}":@[,}}]'
    return Words(stack, RULE, words, aws_id), Words(stack, TIMER, words, china_id)


def manifest(pattern: str, workload: str, china_id: str, shape: Callable[[Any], object] = same) -> tuple[Place, Place]:
    return (
        Words("workloads", MANIFEST, pattern, f"Manifest{workload}", shape),
        Words("workloads", APPLICATION, pattern, china_id, shape),
    )


def scaled(pool: str, key: str) -> tuple[Place, Place]:
    aws_key, china_key = {"min": ("MinSize", "MinInstances"), "max": ("MaxSize", "MaxInstances")}[key]
    return (
        Look("cluster", "AWS::EKS::Nodegroup", f"ScalingConfig.{aws_key}", f"Pool{pool}"),
        Look("cluster", "ALIYUN::CS::ClusterNodePool", f"AutoScaling.{china_key}", f"{pool.capitalize()}Pool"),
    )


PLACES: dict[str, tuple[Place, Place]] = {
    "edge_log_retention_days": (
        Look(
            "edge", "AWS::S3::Bucket", "LifecycleConfiguration.Rules.*.ExpirationInDays", "AccessLogs", lambda v: v - 2
        ),
        Look("edge", STORE, "TTL"),
    ),
    "edge_log_fields": (
        Look("edge", "AWS::Logs::Delivery", "RecordFields", shape=list),
        Look(
            "edge",
            "ALIYUN::ESA::SiteDeliveryTask",
            "FieldName",
            shape=lambda v: ",".join(dict.fromkeys(_edge_names(v))),
        ),
    ),
    "metadata_retention_days_default": told("jobs", "retention_days_default", "Everypurge", "PurgeSchedule"),
    "metadata_retention_days_min": told("jobs", "retention_days_min", "Everypurge", "PurgeSchedule"),
    "metadata_retention_days_max": told("jobs", "retention_days_max", "Everypurge", "PurgeSchedule"),
    "function_log_retention_days": (
        Look("functions", LOGS, "RetentionInDays"),
        Look("network", STORE, "TTL", "FunctionLog"),
    ),
    "cluster_log_retention_days": (
        Look("cluster", LOGS, "RetentionInDays", "Logs"),
        Look("cluster", "ALIYUN::CS::ManagedKubernetesCluster", "ControlPlaneLogTtl"),
    ),
    "flow_log_retention_days": (
        Look("network", LOGS, "RetentionInDays"),
        Look("network", STORE, "TTL", "RefusedConnections"),
    ),
    "purge_interval_minutes": scheduled("jobs", "Everypurge", "PurgeSchedule"),
    "reap_interval_minutes": scheduled("jobs", "Everyreap", "ReapSchedule"),
    "checkpoint_interval_minutes": scheduled("jobs", "Everycheckpoint", "CheckpointSchedule"),
    "rebuild_interval_hours": scheduled("jobs", "Nightlycheckpoint", "NightlyCheckpointSchedule", hourly=True),
    "audit_retention_days": told("jobs", "keep_days", "Nightlycheckpoint", "NightlyCheckpointSchedule"),
    "checkpoint_lock_days": (
        Look("jobs", "AWS::S3::Bucket", "ObjectLockConfiguration.Rule.DefaultRetention.Days", "Archive"),
        Look("jobs", "ALIYUN::OSS::BucketWorm", "RetentionPeriodInDays"),
    ),
    "spending_interval_minutes": scheduled("jobs", "Everyspending", "SpendingSchedule"),
    "reconcile_interval_hours": scheduled("jobs", "Everyreconcile", "ReconcileSchedule", hourly=True),
    "snapshot_check_interval_hours": scheduled("jobs", "Everysnapshotcheck", "SnapshotCheckSchedule", hourly=True),
    "rotation_check_interval_hours": scheduled("jobs", "Everyrotation", "RotationSchedule", hourly=True),
    "secret_age_days_max": told("jobs", "age_days_max", "Everyrotation", "RotationSchedule"),
    "renewal_interval_minutes": scheduled("jobs", "Everyrenewal", "RenewalSchedule"),
    "secret_rotation_days": told("jobs", "rotate_after_days", "Everyrenewal", "RenewalSchedule"),
    "secret_settle_s": told("jobs", "settle_s", "Everyrenewal", "RenewalSchedule"),
    "secret_retire_s": told("jobs", "retire_s", "Everyrenewal", "RenewalSchedule"),
    "backup_retention_days": (
        Look("database", DATABASE, "BackupRetentionPeriod"),
        Look("database", INSTANCE, "BackupRetentionPeriod"),
    ),
    "database_standby": (Look("database", DATABASE, "MultiAZ"), Look("database", INSTANCE, "MultiAZ")),
    "database_deletion_protected": (
        Look("database", DATABASE, "DeletionProtection"),
        Look("database", INSTANCE, "DeletionProtection"),
    ),
    "database_storage_gb": (
        Look("database", DATABASE, "AllocatedStorage", shape=str),
        Look("database", INSTANCE, "DBInstanceStorage"),
    ),
    "database_storage_gb_max": (
        Look("database", DATABASE, "MaxAllocatedStorage"),
        Look("database", INSTANCE, "StorageUpperBound"),
    ),
    "database_statement_timeout_ms": (
        Look("database", "AWS::RDS::DBParameterGroup", "Parameters.statement_timeout", shape=str),
        Words("database", "ALIYUN::RDS::DBInstanceParameterGroup", "statement_timeout@(?!\\d)"),
    ),
    "key_rotation_days": (
        Look("secrets", "AWS::KMS::Key", "RotationPeriodInDays"),
        Look("secrets", "ALIYUN::KMS::Key", "RotationInterval", shape=lambda v: f"{v}d"),
    ),
    "key_deletion_wait_days": (
        Look("secrets", "AWS::KMS::Key", "PendingWindowInDays"),
        Look("secrets", "ALIYUN::KMS::Key", "PendingWindowInDays"),
    ),
    "health_check_interval_s": (
        Look("watchdog", "AWS::Route53::HealthCheck", "HealthCheckConfig.RequestInterval"),
        Count("watchdog", "ALIYUN::CMS::SiteMonitor", path="IspCities.*"),
    ),
    "health_check_failures": (
        Look("watchdog", "AWS::Route53::HealthCheck", "HealthCheckConfig.FailureThreshold"),
        Look("watchdog", "ALIYUN::CMS::ResourceMetricRule", "Escalations.Critical.Times", "Unresponsive"),
    ),
    "reboot_cooldown_minutes": told("recovery", "cooldown_minutes", "LookAgain", "LookAgainSchedule"),
    "watchdog_interval_minutes": scheduled("recovery", "LookAgain", "LookAgainSchedule"),
    "alarm_reconcile_minutes": scheduled("recovery", "Reconcile", "ReconcileSchedule"),
    "status_check_period_s": told("recovery", "period_s", "Reconcile", "StatusCheckSchedule"),
    "recover_after_failures": told("recovery", "recover_after_failures", "Reconcile", "StatusCheckSchedule"),
    "restart_after_failures": told("recovery", "restart_after_failures", "Reconcile", "StatusCheckSchedule"),
    "certificate_expiry_alarm_days": (
        Count("watchdog", "AWS::CloudWatch::Alarm", "CertificateEndsIn"),
        Count("watchdog", "ALIYUN::CMS::ResourceMetricRule", "CertificateEndsIn"),
    ),
    "tls_version_min": (
        Look(
            "edge",
            CLOUDFRONT,
            "DistributionConfig.ViewerCertificate.MinimumProtocolVersion",
            shape=lambda v: f"TLSv{v}_2021",
        ),
        Look("edge", "ALIYUN::ESA::HttpsBasicConfiguration", "Tls12", shape=lambda v: "on" if v == "1.2" else "off"),
    ),
    "edge_response_gap_s": (
        Look("edge", CLOUDFRONT, f"{ORIGIN}.VpcOriginConfig.OriginReadTimeout"),
        Look("edge", "ALIYUN::ESA::OriginRule", "OriginReadTimeout"),
    ),
    "edge_keepalive_s": (
        Look("edge", CLOUDFRONT, f"{ORIGIN}.VpcOriginConfig.OriginKeepaliveTimeout"),
        Words("workloads", APPLICATION, '"idleTimeout":@,', "Routes"),
    ),
    "ingress_idle_s": (
        Words("ingress", "AWS::ElasticLoadBalancingV2::LoadBalancer", "idle_timeout.timeout_seconds@(?!\\d)"),
        Words("workloads", APPLICATION, '"requestTimeout":@,', "Routes"),
    ),
    "edge_retry_after_s": (
        Words("edge", "AWS::CloudFront::ResponseHeadersPolicy", "Retry-After@|@Retry-After", "ErrorHeaders"),
        Words("edge", "ALIYUN::ESA::HttpResponseHeaderModificationRule", "retry-after.*@"),
    ),
    "edge_rate_window_s": (
        Look("edge", ACL, "Rules.*.Statement.RateBasedStatement.EvaluationWindowSec"),
        Look("edge", WAF, "Config.RateLimit.Interval"),
    ),
    "edge_requests_per_key_max": (
        Look("edge", ACL, "Rules.6.Statement.RateBasedStatement.Limit"),
        Look("edge", WAF, "Config.RateLimit.Threshold.Request", "RatePerKey"),
    ),
    "edge_requests_per_address_max": (
        Look("edge", ACL, "Rules.8.Statement.RateBasedStatement.Limit"),
        Look("edge", WAF, "Config.RateLimit.Threshold.Request", "RatePerAddress"),
    ),
    "edge_body_bytes_max": (
        Words("edge", ACL, r"\^\[0-9\]\{@,\}\$", shape=digits),
        Words("edge", WAF, r"\^\[0-9\]\{@,\}\$", "HugeBody", digits),
    ),
    "request_duration_s_max": (
        Words("ingress", "AWS::ElasticLoadBalancingV2::TargetGroup", "deregistration_delay.timeout_seconds@(?!\\d)"),
        Words("workloads", APPLICATION, 'connection-drain-timeout":"@"', "Routes"),
    ),
    "drain_delay_s": manifest(r'"sleep":\{"seconds":@\}', "gateway", "Gateway"),
    "termination_grace_s": manifest('"terminationGracePeriodSeconds":@,', "gateway", "Gateway"),
    "availability_zones": (
        Count("network", "AWS::EC2::Subnet", "Vpcingress"),
        Count("network", "ALIYUN::ECS::VSwitch", "IngressSwitch"),
    ),
    "nat_gateways": (Count("network", "AWS::EC2::NatGateway"), Count("network", "ALIYUN::VPC::NatGateway")),
    "gateway_replicas_min": manifest('"minReplicas":@,', "gateway", "Gateway"),
    "gateway_replicas_max": manifest('"maxReplicas":@,', "gateway", "Gateway"),
    "provider_replicas_min": manifest('"minReplicas":@,', "provider", "Provider"),
    "provider_replicas_max": manifest('"maxReplicas":@,', "provider", "Provider"),
    "scale_at_cpu_percent": manifest('"averageUtilization":@[,}]', "gateway", "Gateway"),
    "scale_down_wait_s": manifest(r'"scaleDown":\{"stabilizationWindowSeconds":@\}', "gateway", "Gateway"),
    "gateway_nodes_min": scaled("gateway", "min"),
    "gateway_nodes_max": scaled("gateway", "max"),
    "provider_nodes_min": scaled("provider", "min"),
    "provider_nodes_max": scaled("provider", "max"),
}


def _edge_names(names: tuple[str, ...]) -> list[str]:
    own = {
        "date": "EdgeStartTimestamp",
        "time": "EdgeStartTimestamp",
        "c-ip": "ClientIP",
        "sc-status": "EdgeResponseStatusCode",
    }
    return [own[name] for name in names]


FIELDS = [field.name for field in fields(Policy)]
COUNTED: dict[str, Callable[[Any], object]] = {
    "health_check_interval_s": lambda seconds: 60 // seconds,
    "certificate_expiry_alarm_days": len,
}
"""How a number shows in a count on the Aliyun side."""


def test_every_number_has_its_place_in_both_outputs() -> None:
    assert set(PLACES) == set(FIELDS)


@pytest.mark.parametrize("name", FIELDS)
def test_the_number_stands_in_the_aws_output(name: str, aws: Templates) -> None:
    value = getattr(PRODUCTION, name)
    place = PLACES[name][0]
    wanted = len(value) if isinstance(place, Count) and isinstance(value, tuple) else value
    assert place.sees(aws, wanted), f"{name} = {value!r} is not at {place}"


@pytest.mark.parametrize("name", FIELDS)
def test_the_number_stands_in_the_aliyun_output_and_moves_with_the_policy(
    name: str, settings: Settings, china: Templates
) -> None:
    place = PLACES[name][1]
    shown: Callable[[Any], object] = COUNTED.get(name, same)
    value = getattr(PRODUCTION, name)
    assert place.sees(china, shown(value)), f"{name} = {value!r} is not at {place}"
    changed = another(name, value)
    policy = replace(PRODUCTION, **{name: changed})
    if name == "availability_zones":
        policy = replace(policy, nat_gateways=changed)
    moved = synthesized(replace(settings, policy=policy, zones=settings.zones[: policy.availability_zones]))
    assert place.sees(moved, shown(changed)), f"{name} = {changed!r} does not reach {place}"
    assert not place.sees(moved, shown(value)), f"{place} would take any value"


def another(name: str, value: Any) -> Any:
    """Another value of the same kind."""
    special: dict[str, Any] = {
        "edge_log_fields": ("date", "time", "sc-status"),
        "certificate_expiry_alarm_days": (30, 14),
        "tls_version_min": "1.3",
        "health_check_interval_s": 10,
        "edge_body_bytes_max": 9_999_999,
        "availability_zones": 2,
        "nat_gateways": 2,
    }
    if name in special:
        return special[name]
    return not value if isinstance(value, bool) else value + 1


# Variables


def pod_variables(text: str) -> dict[str, frozenset[str]]:
    found = {}
    for match in re.finditer(r'"kind":"Deployment","metadata":\{"name":"([\w-]+)".*?"env":\[(.*?)\]', text):
        found[match[1]] = frozenset(re.findall(r'"name":"([A-Z_]+)"', match[2]))
    return found


def _duty(entry: str) -> str:
    """The same duty has the same name, whichever cloud it asks."""
    return entry.replace(".hangzhou.", ".")


def given_by_aws(templates: Templates) -> dict[str, frozenset[str]]:
    text = "\n".join(
        flat(row["Properties"]["Manifest"])
        for row in templates["workloads"]["Resources"].values()
        if row["Type"] == MANIFEST
    )
    found = pod_variables(text)
    for stack in ("functions", "jobs", "recovery"):
        for row in templates[stack]["Resources"].values():
            entry = row.get("Properties", {}).get("ImageConfig", {}).get("Command", [""])[0]
            if row["Type"] == "AWS::Lambda::Function" and entry.startswith("handlers."):
                found[_duty(entry)] = frozenset(row["Properties"]["Environment"]["Variables"])
    return found


def given_by_aliyun(templates: Templates) -> dict[str, frozenset[str]]:
    text = "\n".join(flat(row["Properties"]["YamlContent"]) for row in templates["workloads"]["Resources"].values())
    found = pod_variables(text)
    for stack in ("functions", "jobs", "recovery"):
        for row in templates[stack]["Resources"].values():
            if row["Type"] == "ALIYUN::FC3::Function":
                found[_duty(row["Properties"]["Handler"])] = frozenset(row["Properties"]["EnvironmentVariables"])
    return found


def test_the_same_workload_gets_the_same_variables(aws: Templates, china: Templates, settings: Settings) -> None:
    ours, theirs = given_by_aliyun(china), given_by_aws(aws)
    rows = workloads("china", settings.providers)
    entries = {_duty(row.entry) for row in rows if row.kind is Kind.FUNCTION}
    assert entries <= ours.keys()
    assert entries <= theirs.keys()
    for name in {"gateway", "relay", "database-door", *entries}:
        assert ours[name] == theirs[name], name
    pods = {
        frozenset(names) for found in (ours, theirs) for name, names in found.items() if name.startswith("provider-")
    }
    assert len(pods) == 1


def test_each_workload_is_told_whose_it_is(china: Templates) -> None:
    for row in china["functions"]["Resources"].values():
        if row["Type"] == "ALIYUN::FC3::Function":
            variables = row["Properties"]["EnvironmentVariables"]
            assert (variables["THEROUTER_REGION"], variables["THEROUTER_CLOUD"]) == ("china", "aliyun")


def minutes_of(expression: str) -> int:
    """`rate(1 day)` or `@every 1440m` in minutes."""
    if match := re.fullmatch(r"@every (\d+)m", expression):
        return int(match[1])
    match = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
    assert match, expression
    return int(match[1]) * {"minute": 1, "hour": 60, "day": 1440}[match[2]]


def schedules(templates: Templates, kind: str, function_of: Callable[[Template], str]) -> dict[str, set[int]]:
    """Duty -> minutes between its runs."""
    found: dict[str, set[int]] = {}
    for template in templates.values():
        for row in template["Resources"].values():
            properties = row.get("Properties", {})
            expression = properties.get("ScheduleExpression") or properties.get("TriggerConfig", {}).get(
                "cronExpression"
            )
            if row["Type"] == kind and expression:
                function = template["Resources"][function_of(properties)]["Properties"]
                entry = function.get("Handler") or function["ImageConfig"]["Command"][0]
                found.setdefault(_duty(entry), set()).add(minutes_of(expression))
    return found


def test_the_same_duties_run_as_often(aws: Templates, china: Templates) -> None:
    there = schedules(aws, RULE, lambda rule: rule["Targets"][0]["Arn"]["Fn::GetAtt"][0])
    here = schedules(china, TIMER, lambda timer: timer["FunctionName"]["Fn::GetAtt"][0])
    # What the other cloud's alarms read each minute, a function reads here.
    assert here.pop("handlers.operations.alarms.handler") == there.pop("handlers.operations.alarms.handler") | {1}
    assert here == there
    assert len(here) >= 7


# Nothing between the two


@pytest.mark.claim("C45", "C46", "C47", "C48", "C49")
def test_c46_no_name_of_one_cloud_is_in_the_others_templates(aws: Templates, china: Templates) -> None:
    allowed = {host_of(provider) for provider in deployable(load_catalog("global").providers)}
    text = msgspec.json.encode(aws).decode()
    for host in allowed:
        text = text.replace(host, "")
    assert re.findall(r"aliyun|alibaba|cn-[a-z]{4,}|acs:[a-z]+:", text, re.IGNORECASE) == []
    assert FOREIGN.findall(msgspec.json.encode(china).decode()) == []


@pytest.mark.claim("C46")
def test_c46_no_host_is_called_from_both_regions() -> None:
    hosts = [{host_of(row) for row in deployable(load_catalog(region).providers)} for region in ("global", "china")]
    assert hosts[0] & hosts[1] == set()


@pytest.mark.claim("C46")
def test_c46_the_regions_trust_no_account_of_each_other(aws: Templates, china: Templates, settings: Settings) -> None:
    assert settings.account not in msgspec.json.encode(aws).decode()
    assert str(CONTEXT["account"]) not in msgspec.json.encode(china).decode()


def test_no_room_takes_the_deployments_placeholder_for_a_secret() -> None:
    assert PLACEHOLDER_VALUE.encode().startswith(PLACEHOLDER_PREFIX)
