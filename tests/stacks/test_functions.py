from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("cdk")


def test_each_room_has_its_paths_and_the_site_takes_the_rest(production: Any) -> None:
    rules = production.properties("AWS::ElasticLoadBalancingV2::ListenerRule", "Functions")
    paths = {rule["Priority"]: rule["Conditions"][0]["PathPatternConfig"]["Values"] for rule in rules}
    assert paths == {20: ["/admin/*"], 30: ["/payments/*"], 40: ["/*"]}


@pytest.mark.claim("C53")
def test_each_room_runs_under_a_role_of_its_own(production: Any) -> None:
    rows = production.properties("AWS::Lambda::Function", "Functions")
    roles = {str(row["Role"]) for row in rows}
    entries = {row["ImageConfig"]["Command"][0] for row in rows}
    assert len(roles) == len(rows) == 3
    assert entries == {f"handlers.{room}.function.handler" for room in ("admin", "payments", "site")}


def test_payments_are_repaired_each_minute_and_reconciled_each_day(production: Any) -> None:
    rules = production.properties("AWS::Events::Rule", "Functions")
    schedules = {rule["Targets"][0]["Input"]: rule["ScheduleExpression"] for rule in rules}
    assert schedules == {'{"task":"repair"}': "rate(1 minute)", '{"task":"reconcile"}': "rate(1 day)"}
