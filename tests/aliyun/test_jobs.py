"""The events that the templates send are events that the handlers take."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from aliyun.base import RouterStack
from handlers.clouds.function_compute import read_event
from handlers.operations.checkpoint import CheckpointEvent
from handlers.operations.hangzhou.alarms import NodeEvent
from handlers.operations.hangzhou.status_check import StatusEvent
from handlers.operations.hangzhou.watchdog import settings_parameter
from handlers.operations.purge import PurgeEvent
from handlers.operations.renewal import RenewalEvent
from handlers.operations.rotation import RotationEvent
from handlers.operations.snapshot_check import CheckEvent
from handlers.operations.watchdog import WatchEvent


def resources(stack: RouterStack, kind: str) -> dict[str, dict[str, Any]]:
    rows = stack.template()["Resources"].items()
    return {name: row["Properties"] for name, row in rows if row["Type"] == f"ALIYUN::{kind}"}


def told(payload: Any) -> dict[str, Any]:
    """What the handler gets from a timer with this payload, after ROS has filled it in."""
    if isinstance(payload, dict):
        text, values = payload["Fn::Sub"]
        for name in values:
            text = text.replace(f"${{{name}}}", f"filled-{name}")
        payload = text
    return read_event(msgspec.json.encode({"triggerTime": "t", "triggerName": "n", "payload": payload}))


@pytest.mark.parametrize(
    ("stack", "timer", "kind"),
    [
        ("jobs", "PurgeSchedule", PurgeEvent),
        ("jobs", "RenewalSchedule", RenewalEvent),
        ("jobs", "CheckpointSchedule", CheckpointEvent),
        ("jobs", "NightlyCheckpointSchedule", CheckpointEvent),
        ("jobs", "RotationSchedule", RotationEvent),
        ("jobs", "SnapshotCheckSchedule", CheckEvent),
        ("recovery", "ReconcileSchedule", NodeEvent),
        ("recovery", "StatusCheckSchedule", StatusEvent),
        ("recovery", "LookAgainSchedule", WatchEvent),
    ],
)
def test_a_timers_event_is_one_of_its_handlers(
    stacks: dict[str, RouterStack], stack: str, timer: str, kind: type
) -> None:
    payload = resources(stacks[stack], "FC3::Trigger")[timer]["TriggerConfig"]["payload"]
    assert msgspec.convert(told(payload), kind) is not None


def test_payments_is_asked_in_its_own_words(stacks: dict[str, RouterStack]) -> None:
    timers = resources(stacks["functions"], "FC3::Trigger").values()
    assert [told(timer["TriggerConfig"]["payload"]) for timer in timers] == [{"task": "repair"}, {"task": "reconcile"}]


def test_an_alarms_call_finds_the_same_settings_as_the_timer(stacks: dict[str, RouterStack]) -> None:
    parameters = {row["Name"]: row["Value"] for row in resources(stacks["recovery"], "OOS::Parameter").values()}
    timer = resources(stacks["recovery"], "FC3::Trigger")["LookAgainSchedule"]["TriggerConfig"]["payload"]
    assert parameters[settings_parameter("production")] == timer
    assert parameters[told(timer)["memory"]] == "never"


def test_the_watchdog_asks_for_alarms_that_exist(stacks: dict[str, RouterStack]) -> None:
    timer = resources(stacks["recovery"], "FC3::Trigger")["LookAgainSchedule"]["TriggerConfig"]["payload"]
    rules = {
        row["RuleId"]
        for name in ("recovery", "watchdog")
        for row in resources(stacks[name], "CMS::ResourceMetricRule").values()
    }
    assert {alarm["name"] for alarm in told(timer)["alarms"]} <= rules


@pytest.mark.claim("C72")
def test_c72_the_watchdog_runs_one_at_a_time(stacks: dict[str, RouterStack]) -> None:
    limits = resources(stacks["recovery"], "FC3::ConcurrencyConfig")
    assert limits["WatchdogLimit"]["ReservedConcurrency"] == 1


@pytest.mark.claim("C60")
def test_c60_the_whole_trail_is_checked_every_night(stacks: dict[str, RouterStack]) -> None:
    timers = resources(stacks["jobs"], "FC3::Trigger")
    nightly = timers["NightlyCheckpointSchedule"]
    assert told(nightly["TriggerConfig"]["payload"]) == {"rebuild": True, "keep_days": 730}
    assert nightly["TriggerConfig"]["cronExpression"] == "@every 1440m"
    assert nightly["FunctionName"] == timers["CheckpointSchedule"]["FunctionName"]


@pytest.mark.claim("C60")
def test_c60_copies_of_checkpoints_are_locked_for_two_years_and_only_added(stacks: dict[str, RouterStack]) -> None:
    (bucket,) = resources(stacks["jobs"], "OSS::Bucket").values()
    (lock,) = resources(stacks["jobs"], "OSS::BucketWorm").values()
    assert lock == {"Bucket": {"Fn::GetAtt": ["Archive", "Name"]}, "RetentionPeriodInDays": 730}
    assert (bucket["AccessControl"], bucket["BlockPublicAccess"]) == ("private", True)
    allowed = [
        (role["RoleName"], statement["Action"], statement["Resource"])
        for role in resources(stacks["secrets"], "RAM::Role").values()
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if any(action.startswith("oss:") for action in statement["Action"])
    ]
    copies = f"acs:oss:*:*:{bucket['BucketName']}/checkpoints/*"
    assert allowed == [("therouter-production-checkpoint", ["oss:PutObject"], [copies])]
