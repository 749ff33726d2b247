"""All stacks deployed into moto, then looked at by `therouter verify aws`; each seeded violation turns its claim red."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import msgspec
import pytest
from moto import mock_aws

from handlers.operations import alarms, verify_aws, watchdog
from handlers.operations.evidence import document
from handlers.workloads import functions, store_name
from stacks.policy import PRODUCTION
from tests.stacks.conftest import IMAGE
from tests.stacks.moto_deployment import Deployment, deploy

NODE_EVENT = {"stage": "production", "period_s": 60, "recover_after_failures": 2, "restart_after_failures": 3}


class EventRule(NamedTuple):
    """An event rule as it was deployed."""

    pattern: Any
    targets: list[dict[str, Any]]


class Live:
    """A deployed account with two running nodes."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        ec2 = self.client("ec2")
        tags = [{"Key": alarms.RECOVERY_TAG, "Value": "true"}, {"Key": alarms.STAGE_TAG, "Value": "production"}]
        made = ec2.run_instances(
            ImageId="ami-12c6146b",
            MinCount=2,
            MaxCount=2,
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )
        self.nodes = [row["InstanceId"] for row in made["Instances"]]
        alarms.handler(NODE_EVENT, None)

    @staticmethod
    def client(service: str, region: str = "us-east-2") -> Any:
        return boto3.client(service, region_name=region)  # type: ignore[call-overload]

    def id(self, stack: str, logical: str) -> str:
        """Physical id of the resource with this logical id, its hash apart."""
        full = f"TheRouter-production-{stack}"
        grammar = re.compile(logical + "([0-9A-F]{8})?")
        (found,) = [p for (s, name), p in self.deployment.ids.items() if s == full and grammar.fullmatch(name)]
        return found

    def rule(self, region: str, physical: str) -> EventRule:
        events, name = self.client("events", region), physical.rpartition("/")[2]
        pattern = msgspec.json.decode(events.describe_rule(Name=name)["EventPattern"])
        return EventRule(pattern, events.list_targets_by_rule(Rule=name)["Targets"])

    @staticmethod
    def red() -> set[str]:
        return {f.claim for f in verify_aws.verify("production", PRODUCTION) if f.state != document.HOLDS}


@pytest.fixture(scope="module")
def live(production: Any) -> Iterator[Live]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-2")
        with mock_aws():
            yield Live(deploy(production))


def test_every_resource_of_every_stack_is_accounted_for(live: Live, production: Any) -> None:
    assert live.deployment.unknown == set()
    assert len(live.deployment.declared) == len(production.templates) == 13
    assert live.deployment.created == live.deployment.declared
    assert sum(live.deployment.created.values()) > 400


@pytest.mark.claim("C57", "C58", "C64", "C65", "C68")
def test_the_database_is_what_is_promised(live: Live) -> None:
    (row,) = live.client("rds").describe_db_instances()["DBInstances"]
    assert (row["MultiAZ"], row["PubliclyAccessible"], row["StorageEncrypted"]) == (True, False, True)
    assert row["BackupRetentionPeriod"] == 14
    assert row["IAMDatabaseAuthenticationEnabled"]


@pytest.mark.claim("C63", "C20")
def test_every_secret_is_there_under_its_environments_name(live: Live) -> None:
    names = {
        row["Name"]
        for page in live.client("secretsmanager").get_paginator("list_secrets").paginate()
        for row in page["SecretList"]
    }
    assert {"therouter/production/keys/mint", "therouter/production/provider/openai"} <= names
    assert all(name.startswith(("therouter/production/", "rds!")) for name in names)


def test_every_function_runs_the_one_image(live: Live) -> None:
    pages = live.client("lambda").get_paginator("list_functions").paginate()
    names = [row["FunctionName"] for page in pages for row in page["Functions"] if "-Function" in row["FunctionName"]]
    images = {live.client("lambda").get_function(FunctionName=name)["Code"].get("ImageUri") for name in names}
    assert len(names) == len(functions("global"))
    assert images == {IMAGE}


def test_every_claim_holds_in_the_deployed_account(live: Live) -> None:
    findings = verify_aws.verify("production", PRODUCTION)
    assert len(findings) == len(verify_aws.ROWS) >= 35
    assert [f for f in findings if f.state != document.HOLDS] == []
    assert live.red() == set()


def test_the_command_prints_a_table_and_writes_signed_evidence(
    live: Live, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del live
    key, out = tmp_path / "key.pem", tmp_path / "evidence.json"
    assert verify_aws.main(["--stage", "production", "--key", str(key), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("account 123456789012, stage production\n")
    assert text.endswith(f"{len(verify_aws.ROWS)} of {len(verify_aws.ROWS)} hold\n")
    assert key.stat().st_mode & 0o777 == 0o600
    assert verify_aws.main(["--check", str(out)]) == 0
    assert document.read_signed(out.read_bytes()).account == "123456789012"


def test_a_stage_that_is_not_deployed_is_not_green(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    del live
    assert verify_aws.main(["--stage", "staging"]) == 1
    assert "UNSEEN" in capsys.readouterr().out


@pytest.mark.claim("C72")
def test_the_chain_from_the_probes_alarm_to_one_reboot(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """The alarm's event passes both rules of the templates, and the second rule's own event makes the watchdog act once."""
    event = {
        "source": "aws.cloudwatch",
        "detail-type": "CloudWatch Alarm State Change",
        "region": "us-east-1",
        "detail": {"alarmName": "therouter-production-unresponsive", "state": {"value": "ALARM"}},
    }
    carries = live.rule("us-east-1", live.id("use1-Watchdog", "CarryOver"))
    hears = live.rule("us-east-2", live.id("use2-Recovery", "SomethingStopsAnswering"))
    assert matches(carries.pattern, event)
    assert carries.targets[0]["Arn"] == "arn:aws:events:us-east-2:123456789012:event-bus/default"
    assert matches(hears.pattern, event)
    assert not matches(hears.pattern, event | {"detail": event["detail"] | {"state": {"value": "OK"}}})  # type: ignore[operator]
    live.client("cloudwatch", "us-east-1").set_alarm_state(
        AlarmName="therouter-production-unresponsive", StateValue="ALARM", StateReason="the test says so"
    )
    (node,) = live.client("ec2").describe_instances(InstanceIds=live.nodes[:1])["Reservations"][0]["Instances"]
    silent = watchdog.Target(node["PrivateIpAddress"], "unhealthy", "Target.Timeout")
    monkeypatch.setattr(watchdog, "_targets", lambda _group: (silent,))
    monkeypatch.setattr(watchdog, "UPTIME_MIN", dt.timedelta(0))
    storm = [watchdog.handler(msgspec.json.decode(hears.targets[0]["Input"]), None) for _ in range(5)]
    assert [answer["reason"] for answer in storm] == ["nothing_answers", *["cooling_down"] * 4]
    assert storm[0]["instance"] == live.nodes[0]


def matches(pattern: Any, event: Any) -> bool:
    """EventBridge's exact matching: every field of the pattern is in the event with one of the listed values."""
    if isinstance(pattern, dict):
        return isinstance(event, dict) and all(
            name in event and matches(row, event[name]) for name, row in pattern.items()
        )
    return event in pattern


# Seeded violations. Each changes one thing behind the deployment's back, and puts it back.

Seed = Callable[[Live], Iterator[None]]
SEEDS: dict[str, tuple[str, Seed]] = {}


def seed(claim: str) -> Callable[[Seed], Seed]:
    def register(function: Seed) -> Seed:
        SEEDS[function.__name__] = (claim, function)
        return function

    return register


def _change_database(live: Live, before: dict[str, Any], after: dict[str, Any]) -> Iterator[None]:
    rds = live.client("rds")
    rds.modify_db_instance(DBInstanceIdentifier="therouter", ApplyImmediately=True, **after)
    yield
    rds.modify_db_instance(DBInstanceIdentifier="therouter", ApplyImmediately=True, **before)


@seed("C58")
def a_public_database(live: Live) -> Iterator[None]:
    yield from _change_database(live, {"PubliclyAccessible": False}, {"PubliclyAccessible": True})


@seed("C65")
def backups_of_13_days(live: Live) -> Iterator[None]:
    yield from _change_database(live, {"BackupRetentionPeriod": 14}, {"BackupRetentionPeriod": 13})


@seed("C68")
def no_standby(live: Live) -> Iterator[None]:
    yield from _change_database(live, {"MultiAZ": True}, {"MultiAZ": False})


@seed("C66")
def a_database_that_may_be_deleted(live: Live) -> Iterator[None]:
    yield from _change_database(live, {"DeletionProtection": True}, {"DeletionProtection": False})


@seed("C47")
def a_copy_of_the_database(live: Live) -> Iterator[None]:
    rds = live.client("rds")
    rds.create_db_instance_read_replica(DBInstanceIdentifier="copy", SourceDBInstanceIdentifier="therouter")
    yield
    rds.modify_db_instance(DBInstanceIdentifier="copy", DeletionProtection=False)
    rds.delete_db_instance(DBInstanceIdentifier="copy", SkipFinalSnapshot=True)


@seed("C57")
def the_database_open_to_an_address(live: Live) -> Iterator[None]:
    ec2, group = live.client("ec2"), live.id("use2-Database", "Group")
    rule = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": "203.0.113.7/32"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    yield
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule])


@seed("C57")
def the_database_open_to_the_provider_pool(live: Live) -> Iterator[None]:
    ec2, group = live.client("ec2"), live.id("use2-Database", "Group")
    peer = [{"GroupId": live.id("use2-Network", "ProviderNodes")}]
    rule = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": peer}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    yield
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule])


@seed("C58")
def a_way_from_the_database_to_the_internet(live: Live) -> Iterator[None]:
    ec2 = live.client("ec2")
    table, gateway = live.id("use2-Network", "VpcdatabaseSubnet1RouteTable"), live.id("use2-Network", "VpcIGW")
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    yield
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")


def _set_delivery(live: Live, **changed: Any) -> None:
    name = live.id("use1-Edge", "LogDelivery")
    from moto.logs.models import logs_backends  # noqa: PLC0415

    delivery = logs_backends["123456789012"]["us-east-1"].deliveries[name]
    for field, value in changed.items():
        setattr(delivery, field, value)


@seed("C26")
def one_log_field_more(live: Live) -> Iterator[None]:
    _set_delivery(live, record_fields=[*PRODUCTION.edge_log_fields, "cs-uri-query"])
    yield
    _set_delivery(live, record_fields=list(PRODUCTION.edge_log_fields))


def _expire(live: Live, days: int) -> None:
    rule = {"ID": "0", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": days}}
    bucket = live.id("use1-Edge", "AccessLogs")
    live.client("s3", "us-east-1").put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": [rule]}
    )


@seed("C27")
def logs_of_30_days(live: Live) -> Iterator[None]:
    _expire(live, 30)
    yield
    _expire(live, 5)


@seed("C27")
def logs_that_keep_versions(live: Live) -> Iterator[None]:
    s3, bucket = live.client("s3", "us-east-1"), live.id("use1-Edge", "AccessLogs")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    yield
    from moto.s3.models import s3_backends  # noqa: PLC0415

    s3_backends["123456789012"]["aws"].buckets[bucket].versioning_status = None


def _change_acl(live: Live, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Iterator[None]:
    waf = live.client("wafv2", "us-east-1")
    named = dict(zip(("Name", "Id", "Scope"), live.id("use1-Edge", "WebAcl").split("|"), strict=True))

    def write(rules: list[dict[str, Any]]) -> None:
        now = waf.get_web_acl(**named)
        acl = now["WebACL"]
        waf.update_web_acl(
            **named,
            LockToken=now["LockToken"],
            DefaultAction=acl["DefaultAction"],
            VisibilityConfig=acl["VisibilityConfig"],
            Rules=rules,
        )

    rules = waf.get_web_acl(**named)["WebACL"]["Rules"]
    write(change(msgspec.convert(rules, list[dict[str, Any]])))
    yield
    write(rules)


@seed("C40")
def no_rate_per_address(live: Live) -> Iterator[None]:
    yield from _change_acl(live, lambda rules: [rule for rule in rules if rule["Name"] != "RatePerAddress"])


@seed("C42")
def no_sql_rules(live: Live) -> Iterator[None]:
    yield from _change_acl(live, lambda rules: [rule for rule in rules if "SQLi" not in rule["Name"]])


@seed("C26")
def samples_of_requests(live: Live) -> Iterator[None]:
    def sample(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
        visible = rules[0]["VisibilityConfig"] | {"SampledRequestsEnabled": True}
        return [rules[0] | {"VisibilityConfig": visible}, *rules[1:]]

    yield from _change_acl(live, sample)


def _change_distribution(live: Live, change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    cloudfront, name = live.client("cloudfront", "us-east-1"), live.id("use1-Edge", "Distribution")
    before = cloudfront.get_distribution_config(Id=name)
    after = cloudfront.get_distribution_config(Id=name)["DistributionConfig"]
    change(after)
    made = cloudfront.update_distribution(Id=name, IfMatch=before["ETag"], DistributionConfig=after)
    yield
    cloudfront.update_distribution(Id=name, IfMatch=made["ETag"], DistributionConfig=before["DistributionConfig"])


@seed("C41")
def plain_http(live: Live) -> Iterator[None]:
    yield from _change_distribution(live, lambda c: c["DefaultCacheBehavior"].update(ViewerProtocolPolicy="allow-all"))


@seed("C25")
def a_cache(live: Live) -> Iterator[None]:
    optimized = "658327ea-f89d-4fab-a63d-7e88639e58f6"
    yield from _change_distribution(live, lambda c: c["DefaultCacheBehavior"].update(CachePolicyId=optimized))


@seed("C67")
def no_error_page(live: Live) -> Iterator[None]:
    yield from _change_distribution(live, lambda c: c.update(CustomErrorResponses={"Quantity": 0}))


@seed("C39")
def the_origin_open_to_everybody(live: Live) -> Iterator[None]:
    ec2, group = live.client("ec2"), live.id("use2-Ingress", "Group")
    rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    yield
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule])


def _grant(live: Live, role: str, secret: str) -> Iterator[None]:
    iam = live.client("iam")
    arn = live.client("secretsmanager").describe_secret(SecretId=store_name("production", secret))["ARN"]
    statement = {"Effect": "Allow", "Action": ["secretsmanager:Get*"], "Resource": arn[:-6] + "*"}
    document = msgspec.json.encode({"Version": "2012-10-17", "Statement": [statement]}).decode()
    name = live.id("use2-Secrets", role)
    iam.put_role_policy(RoleName=name, PolicyName="seeded", PolicyDocument=document)
    yield
    iam.delete_role_policy(RoleName=name, PolicyName="seeded")


@seed("C20")
def a_role_that_reads_another_providers_secret(live: Live) -> Iterator[None]:
    yield from _grant(live, "Roleprovidermistral", "provider/openai")


@seed("C16")
def a_gateway_that_can_open_sealed_keys(live: Live) -> Iterator[None]:
    yield from _grant(live, "Rolegateway", "seal/openai")


@seed("C53")
def an_admin_that_reads_payment_secrets(live: Live) -> Iterator[None]:
    yield from _grant(live, "Roleadmin", "payments/stripe")


@seed("C35")
def a_shared_key(live: Live) -> Iterator[None]:
    secrets = live.client("secretsmanager")
    own, other = (
        secrets.describe_secret(SecretId=store_name("production", f"provider/{p}")) for p in ("openai", "mistral")
    )
    secrets.update_secret(SecretId=own["ARN"], KmsKeyId=other["KmsKeyId"])
    yield
    secrets.update_secret(SecretId=own["ARN"], KmsKeyId=own["KmsKeyId"])


@seed("C46")
def a_role_that_another_account_may_take(live: Live) -> Iterator[None]:
    iam, name = live.client("iam"), live.id("use2-Secrets", "Rolegateway")
    before = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    stranger = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::999999999999:root"}, "Action": "sts:AssumeRole"}
    after = before | {"Statement": [*before["Statement"], stranger]}
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=msgspec.json.encode(after).decode())
    yield
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=msgspec.json.encode(before).decode())


@seed("C70")
def a_node_without_an_alarm(live: Live) -> Iterator[None]:
    name = alarms.alarm_names("production", live.nodes[0])[0]
    live.client("cloudwatch").delete_alarms(AlarmNames=[name])
    yield
    alarms.handler(NODE_EVENT, None)


@seed("C72")
def a_probe_every_10_seconds_that_fails_at_once(live: Live) -> Iterator[None]:
    route53, name = live.client("route53", "us-east-1"), live.id("use1-Watchdog", "Probe")
    route53.update_health_check(HealthCheckId=name, FailureThreshold=1)
    yield
    route53.update_health_check(HealthCheckId=name, FailureThreshold=3)


@seed("C72")
def an_alarm_that_nobody_hears(live: Live) -> Iterator[None]:
    events, name = live.client("events"), live.id("use2-Recovery", "SomethingStopsAnswering").rpartition("/")[2]
    events.disable_rule(Name=name)
    yield
    events.enable_rule(Name=name)


@seed("C10")
def a_purge_that_keeps_for_ten_years(live: Live) -> Iterator[None]:
    events, name = live.client("events"), live.id("use2-Jobs", "Everypurge").rpartition("/")[2]
    (target,) = events.list_targets_by_rule(Rule=name)["Targets"]
    wrong = {"retention_days_default": 90, "retention_days_min": 1, "retention_days_max": 3650}
    events.put_targets(Rule=name, Targets=[target | {"Input": msgspec.json.encode(wrong).decode()}])
    yield
    events.put_targets(Rule=name, Targets=[target])


@seed("C32")
def a_log_that_never_forgets(live: Live) -> Iterator[None]:
    logs = live.client("logs")
    logs.delete_retention_policy(logGroupName="/therouter/production/admin")
    yield
    logs.put_retention_policy(logGroupName="/therouter/production/admin", retentionInDays=30)


@seed("C44")
def a_certificate_nobody_watches(live: Live) -> Iterator[None]:
    cloudwatch = live.client("cloudwatch", "us-east-1")
    rows = [row for row in cloudwatch.describe_alarms()["MetricAlarms"] if row["MetricName"] == "DaysToExpiry"]
    cloudwatch.delete_alarms(AlarmNames=[rows[0]["AlarmName"]])
    yield
    known = ("AlarmName", "Namespace", "MetricName", "Dimensions", "Statistic", "Period", "EvaluationPeriods", "Threshold",
             "ComparisonOperator", "TreatMissingData")  # fmt: skip
    cloudwatch.put_metric_alarm(**{name: rows[0][name] for name in known})


def _edit_manifests(change: Callable[[str], str]) -> Iterator[None]:
    from moto.cloudformation.models import cloudformation_backends  # noqa: PLC0415

    stacks = cloudformation_backends["123456789012"]["us-east-2"].stacks.values()
    (stack,) = [stack for stack in stacks if stack.name.endswith("Workloads")]
    before: Any = stack.template
    stack.template = change(before)
    assert stack.template != before
    yield
    stack.template = before


@seed("C23")
def a_missing_default_deny(live: Live) -> Iterator[None]:
    del live
    yield from _edit_manifests(lambda text: text.replace("default-deny", "default-allow"))


@seed("C23")
def a_provider_that_reaches_the_internet(live: Live) -> Iterator[None]:
    del live
    yield from _edit_manifests(lambda text: text.replace("169.254.170.23/32", "0.0.0.0/0"))


@seed("C34")
def a_shared_identity(live: Live) -> Iterator[None]:
    del live
    own, other = '\\"serviceAccountName\\":\\"provider-openai\\"', '\\"serviceAccountName\\":\\"provider-mistral\\"'
    yield from _edit_manifests(lambda text: text.replace(own, other))


@seed("C64")
def a_plain_snapshot(live: Live) -> Iterator[None]:
    from moto.rds.models import rds_backends  # noqa: PLC0415

    live.client("rds").create_db_snapshot(DBInstanceIdentifier="therouter", DBSnapshotIdentifier="plain")
    snapshot = rds_backends["123456789012"]["us-east-2"].database_snapshots["plain"]
    snapshot.encrypted = False
    yield
    live.client("rds").delete_db_snapshot(DBSnapshotIdentifier="plain")


@seed("C65")
def an_old_snapshot(live: Live) -> Iterator[None]:
    from moto.rds.models import rds_backends  # noqa: PLC0415

    live.client("rds").create_db_snapshot(DBInstanceIdentifier="therouter", DBSnapshotIdentifier="forgotten")
    snapshot = rds_backends["123456789012"]["us-east-2"].database_snapshots["forgotten"]
    snapshot.created = dt.datetime.now(dt.UTC) - dt.timedelta(days=40)
    yield
    live.client("rds").delete_db_snapshot(DBSnapshotIdentifier="forgotten")


def test_there_are_enough_seeds() -> None:
    assert len(SEEDS) >= 15
    assert len({claim for claim, _ in SEEDS.values()}) >= 15


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.claim(c)) for n, (c, _) in sorted(SEEDS.items())])
def test_a_seeded_violation_turns_its_claim_red_and_no_other(live: Live, name: str) -> None:
    claim, function = SEEDS[name]
    steps = function(live)
    next(steps)
    red = live.red()
    assert next(steps, "put back") == "put back"
    assert red == {claim}


def test_every_seed_was_put_back(live: Live) -> None:
    assert live.red() == set()
