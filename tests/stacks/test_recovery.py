from __future__ import annotations

from typing import Any

import msgspec
import pytest

from handlers.operations.alarms import NodeEvent
from handlers.operations.watchdog import WatchEvent


def rules(production: Any) -> dict[str, dict[str, Any]]:
    rows = production.templates["Recovery"]["Resources"].items()
    return {name[:-8]: row["Properties"] for name, row in rows if row["Type"] == "AWS::Events::Rule"}


def event_of(rule: dict[str, Any]) -> dict[str, Any]:
    value = rule["Targets"][0]["Input"]
    text = (
        value
        if isinstance(value, str)
        else "".join(part if isinstance(part, str) else "?" for part in value["Fn::Join"][1])
    )
    return msgspec.json.decode(text, type=dict[str, Any])


def statements(production: Any, role: str) -> list[dict[str, Any]]:
    rows = production.templates["Recovery"]["Resources"].items()
    return [
        s
        for name, row in rows
        if name.startswith(f"May{role}")
        for s in row["Properties"]["PolicyDocument"]["Statement"]
    ]


@pytest.mark.claim("C70")
def test_nodes_that_start_or_end_wake_the_alarms_function(production: Any) -> None:
    rule = rules(production)["NodeStartsOrEnds"]
    assert rule["EventPattern"]["detail"] == {"state": ["running", "terminated"]}
    template = rule["Targets"][0]["InputTransformer"]
    assert set(template["InputPathsMap"].values()) == {"$.detail.instance-id", "$.detail.state"}


@pytest.mark.claim("C70", "C72")
def test_the_events_are_those_that_the_functions_read(production: Any) -> None:
    found = rules(production)
    assert msgspec.convert(event_of(found["Reconcile"]), NodeEvent).recover_after_failures == 2
    watched = msgspec.convert(event_of(found["LookAgain"]), WatchEvent)
    assert watched == msgspec.convert(event_of(found["SomethingStopsAnswering"]), WatchEvent)
    assert [alarm.region for alarm in watched.alarms] == ["us-east-1", "us-east-2"]


@pytest.mark.claim("C72")
def test_the_watchdog_may_reboot_nodes_of_this_stage_and_nothing_else(production: Any) -> None:
    (reboot,) = [s for s in statements(production, "watchdog") if s["Action"] == "ec2:RebootInstances"]
    assert reboot["Condition"]["StringEquals"] == {
        "aws:ResourceTag/therouter:auto-recovery": "true",
        "aws:ResourceTag/therouter:stage": "production",
    }
    others = {a for s in statements(production, "watchdog") if s is not reboot for a in _listed(s["Action"])}
    assert all(":Describe" in a or a in {"ssm:GetParameter", "ssm:PutParameter"} for a in others)


@pytest.mark.claim("C72")
def test_one_watchdog_runs_at_a_time(production: Any) -> None:
    rows = production.properties("AWS::Lambda::Function", "Recovery")
    assert {row["ReservedConcurrentExecutions"] for row in rows} == {1}


@pytest.mark.claim("C72")
def test_no_data_is_no_outage(production: Any) -> None:
    rows = production.properties("AWS::CloudWatch::Alarm", "Recovery")
    (healthy,) = [row for row in rows if row["MetricName"] == "HealthyHostCount"]
    assert healthy["TreatMissingData"] == "ignore"


def test_a_function_that_fails_is_told_to_people(production: Any) -> None:
    for stack in ("Recovery", "Jobs"):
        count = len(production.properties("AWS::Lambda::Function", stack))
        rows = [row for row in production.properties("AWS::CloudWatch::Alarm", stack) if row["MetricName"] == "Errors"]
        assert len(rows) == count
        assert all(row["AlarmActions"] for row in rows)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
