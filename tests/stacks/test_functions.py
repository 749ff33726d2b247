from __future__ import annotations

import re
from typing import Any

import pytest


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


def test_the_admin_function_alone_is_told_who_vouches_for_people(production: Any) -> None:
    told: dict[str, dict[str, str]] = {}
    for row in production.properties("AWS::Lambda::Function"):
        if "ImageConfig" in row:
            variables = row["Environment"]["Variables"]
            doors = {name: value for name, value in variables.items() if re.search("ISSUER|SCANNING|MAIL", name)}
            told[row["ImageConfig"]["Command"][0]] = doors
    assert told.pop("handlers.admin.function.handler") == {
        "THEROUTER_ISSUER": "https://login.therouter.example",
        "THEROUTER_ISSUER_CLIENT": "therouter",
        "THEROUTER_ISSUER_GROUPS": "founders=owner,finance=billing",
        "THEROUTER_ISSUER_HOSTS": "tokens.therouter.example",
        "THEROUTER_SCANNING_KEYS": "https://api.github.com/meta/public_keys/secret_scanning",
        "THEROUTER_MAIL": "notices@therouter.example",
    }
    assert told.pop("handlers.operations.spending.handler") == {"THEROUTER_MAIL": "notices@therouter.example"}
    assert not any(told.values())
