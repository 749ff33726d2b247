from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.operations.watchdog import UPTIME_MIN, Facts, Node, Reason, Target, decide, handler

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=3)
COOLDOWN = timedelta(minutes=30)
SILENT = "Target.Timeout"


def facts(**changed: Any) -> Facts:
    """Nothing answers, and one node is to blame."""
    usual = Facts(
        now=NOW,
        alarming=True,
        targets=(Target("10.0.0.1", "unhealthy", SILENT), Target("10.0.0.2", "unhealthy", SILENT)),
        database="available",
        nodes=(
            Node("i-a", LONG_AGO, frozenset({"10.0.0.1", "10.0.0.2"})),
            Node("i-b", LONG_AGO, frozenset({"10.0.0.9"})),
        ),
        last_reboot=None,
        cooldown=COOLDOWN,
    )
    return usual._replace(**changed)


@pytest.mark.claim("C72")
def test_when_nothing_answers_the_node_with_the_silent_targets_is_rebooted() -> None:
    decision = decide(facts())
    assert (decision.reason, decision.instance) == (Reason.NOTHING_ANSWERS, "i-a")


@pytest.mark.claim("C72")
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"alarming": False}, Reason.RECOVERED),
        ({"targets": (Target("10.0.0.1", "unhealthy", SILENT), Target("10.0.0.2", "healthy", ""))}, Reason.SOME_TARGETS_HEALTHY),
        ({"database": "rebooting"}, Reason.DEPENDENCY_AT_FAULT),
        ({"database": "failed"}, Reason.DEPENDENCY_AT_FAULT),
        ({"targets": (Target("10.0.0.1", "unhealthy", "Target.ResponseCodeMismatch"),)}, Reason.DEPENDENCY_AT_FAULT),
        ({"last_reboot": NOW - timedelta(minutes=29, seconds=59)}, Reason.COOLING_DOWN),
        ({"nodes": ()}, Reason.NO_SUITABLE_NODE),
        ({"targets": ()}, Reason.NO_SUITABLE_NODE),
        ({"targets": (Target("10.0.0.1", "draining", "Target.DeregistrationInProgress"),)}, Reason.NO_SUITABLE_NODE),
        ({"nodes": (Node("i-a", NOW - timedelta(minutes=9), frozenset({"10.0.0.1"})),)}, Reason.NO_SUITABLE_NODE),
    ],
)  # fmt: skip
def test_in_every_other_case_nothing_is_done(changed: dict[str, Any], reason: Reason) -> None:
    decision = decide(facts(**changed))
    assert (decision.reason, decision.instance) == (reason, "")


def test_the_cool_down_ends() -> None:
    assert decide(facts(last_reboot=NOW - COOLDOWN)).instance == "i-a"


STATES = ("healthy", "unhealthy", "draining", "initial")
REASONS = (SILENT, "Target.FailedHealthChecks", "Target.ResponseCodeMismatch", "")


@given(
    targets=st.lists(
        st.builds(Target, st.sampled_from(["a", "b", "c"]), st.sampled_from(STATES), st.sampled_from(REASONS))
    ),
    ages_min=st.lists(st.integers(0, 60), max_size=3),
    alarming=st.booleans(),
    database=st.sampled_from(["available", "failed"]),
    last_min=st.one_of(st.none(), st.integers(0, 60)),
)
@pytest.mark.claim("C72")
def test_a_reboot_always_has_all_its_reasons(
    targets: list[Target], ages_min: list[int], alarming: bool, database: str, last_min: int | None
) -> None:
    nodes = [
        Node(f"i-{name}", NOW - timedelta(minutes=age), frozenset({name}))
        for name, age in zip("abc", ages_min, strict=False)
    ]
    last = None if last_min is None else NOW - timedelta(minutes=last_min)
    decision = decide(
        facts(targets=tuple(targets), nodes=tuple(nodes), alarming=alarming, database=database, last_reboot=last)
    )
    if decision.instance:
        assert alarming
        assert database == "available"
        assert not any(target.state == "healthy" for target in targets)
        assert last is None or NOW - last >= COOLDOWN
        (node,) = [node for node in nodes if node.instance == decision.instance]
        assert NOW - node.started_at >= UPTIME_MIN


# The function under moto.


class Account:
    """An account in which nothing answers: one node, one silent target, an alarm in ALARM."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = datetime.now(UTC) + timedelta(hours=1)
        self.reboots: list[str] = []
        self.health = [{"Target": {"Id": "10.0.0.1"}, "TargetHealth": {"State": "unhealthy", "Reason": SILENT}}]
        ec2 = boto3.client("ec2", region_name="us-east-2")
        tags: Any = [
            {"Key": "therouter:auto-recovery", "Value": "true"},
            {"Key": "therouter:stage", "Value": "production"},
        ]
        subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        interface: Any = [{"DeviceIndex": 0, "SubnetId": subnet}]
        made = ec2.run_instances(
            ImageId="ami-12c6146b",
            MinCount=2,
            MaxCount=2,
            NetworkInterfaces=interface,
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )
        self.nodes = [row["InstanceId"] for row in made["Instances"]]
        self.health[0]["Target"]["Id"] = made["Instances"][0]["PrivateIpAddress"]
        self.database = "available"
        rds = boto3.client("rds", region_name="us-east-2")
        rds.create_db_instance(
            DBInstanceIdentifier="therouter", DBInstanceClass="db.m7g.large", Engine="postgres", AllocatedStorage=20,
            MasterUsername="owner", MasterUserPassword="made-for-this-test",
        )  # fmt: skip
        ssm: Any = boto3.client("ssm", region_name="us-east-2")
        ssm.put_parameter(Name="/last", Value="never", Type="String")
        self.set_alarm("ALARM")
        self._stand_in(monkeypatch)

    def _stand_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """moto knows no health of address targets and keeps no record of reboots; those two calls are answered here."""
        from handlers.operations import watchdog  # noqa: PLC0415

        original = watchdog._client
        account = self

        class Clock(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]  # noqa: ARG003
                return account.now

        class Machines:
            def __init__(self, real: Any) -> None:
                self.real = real

            def __getattr__(self, name: str) -> Any:
                return getattr(self.real, name)

            def reboot_instances(self, InstanceIds: list[str]) -> Any:  # noqa: N803
                account.reboots += InstanceIds
                return self.real.reboot_instances(InstanceIds=InstanceIds)

        class Balancer:
            def describe_target_health(self, **_wanted: object) -> dict[str, object]:
                return {"TargetHealthDescriptions": account.health}

        def client(service: str, region: str = "us-east-2") -> Any:
            if service == "elbv2":
                return Balancer()
            return Machines(original(service, region)) if service == "ec2" else original(service, region)

        monkeypatch.setattr(watchdog, "_client", client)
        monkeypatch.setattr(watchdog, "datetime", Clock)

    def set_alarm(self, state: str) -> None:
        cloudwatch: Any = boto3.client("cloudwatch", region_name="us-east-1")
        cloudwatch.put_metric_alarm(
            AlarmName="unresponsive", Namespace="AWS/Route53", MetricName="HealthCheckStatus", Period=60, Threshold=1,
            EvaluationPeriods=1, ComparisonOperator="LessThanThreshold", Statistic="Minimum",
        )  # fmt: skip
        cloudwatch.set_alarm_state(AlarmName="unresponsive", StateValue=state, StateReason="the test says so")

    def wake(self) -> object:
        event = {
            "stage": "production",
            "alarms": [{"name": "unresponsive", "region": "us-east-1"}, {"name": "other", "region": "us-east-2"}],
            "target_group": "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/gateway/1",
            "database": "therouter",
            "memory": "/last",
            "cooldown_minutes": 30,
        }
        return handler(event, None)["reason"]


@pytest.fixture
def account(aws: None, monkeypatch: pytest.MonkeyPatch) -> Account:  # noqa: ARG001 - the account must exist first
    return Account(monkeypatch)


@pytest.mark.claim("C72")
def test_an_alarm_ends_in_exactly_one_reboot(account: Account) -> None:
    assert account.wake() == "nothing_answers"
    assert account.reboots == [account.nodes[0]]


@pytest.mark.claim("C72")
def test_a_storm_of_alarms_reboots_once(account: Account) -> None:
    reasons = [account.wake() for _ in range(20)]
    assert reasons == ["nothing_answers", *["cooling_down"] * 19]
    assert len(account.reboots) == 1


@pytest.mark.claim("C72")
def test_flapping_reboots_at_most_once_in_half_an_hour(account: Account) -> None:
    start, seen = account.now, []
    for minute in range(0, 91, 5):
        account.now = start + timedelta(minutes=minute)
        account.set_alarm("ALARM" if minute % 10 == 0 else "OK")
        if account.wake() == "nothing_answers":
            seen.append(minute)
    assert seen == [0, 30, 60, 90]


def test_an_alarm_that_recovered_on_the_way_does_nothing(account: Account) -> None:
    account.set_alarm("OK")
    assert account.wake() == "recovered"
    assert account.reboots == []


@pytest.mark.claim("C72")
def test_an_outage_of_a_dependency_reboots_nothing(account: Account) -> None:
    account.health[0]["TargetHealth"]["Reason"] = "Target.ResponseCodeMismatch"
    assert [account.wake() for _ in range(10)] == ["dependency_at_fault"] * 10
    account.health[0]["TargetHealth"]["Reason"] = SILENT
    boto3.client("rds", region_name="us-east-2").stop_db_instance(DBInstanceIdentifier="therouter")
    assert account.wake() == "dependency_at_fault"
    assert account.reboots == []


def test_no_data_yet_is_not_an_outage(account: Account) -> None:
    account.set_alarm("INSUFFICIENT_DATA")
    assert account.wake() == "recovered"
    assert account.reboots == []


def test_an_instance_of_another_stage_is_never_touched(account: Account) -> None:
    boto3.client("ec2", region_name="us-east-2").create_tags(
        Resources=account.nodes, Tags=[{"Key": "therouter:stage", "Value": "staging"}]
    )
    assert account.wake() == "no_suitable_node"
    assert account.reboots == []


def test_a_crash_between_memory_and_reboot_does_not_double_it(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    from handlers.operations import watchdog  # noqa: PLC0415

    working = watchdog._client

    def failing(service: str, region: str = "us-east-2") -> Any:
        made = working(service, region)
        if service == "ec2":
            made.reboot_instances = crash
        return made

    def crash(**_wanted: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(watchdog, "_client", failing)
    with pytest.raises(TimeoutError):
        account.wake()
    monkeypatch.setattr(watchdog, "_client", working)
    assert account.wake() == "cooling_down"
