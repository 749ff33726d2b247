from __future__ import annotations

import re
from typing import Any

import pytest


def rules(production: Any) -> dict[str, dict[str, Any]]:
    (row,) = production.properties("AWS::WAFv2::WebACL")
    assert row["Scope"] == "CLOUDFRONT"
    return {rule["Name"]: rule for rule in row["Rules"]}


@pytest.mark.claim("C26")
def test_no_rule_keeps_samples(production: Any) -> None:
    (row,) = production.properties("AWS::WAFv2::WebACL")
    visible = [row["VisibilityConfig"], *(rule["VisibilityConfig"] for rule in row["Rules"])]
    assert {item["SampledRequestsEnabled"] for item in visible} == {False}


@pytest.mark.claim("C42")
def test_rules_that_read_bodies_only_count(production: Any) -> None:
    for rule in rules(production).values():
        group = rule["Statement"].get("ManagedRuleGroupStatement")
        if group:
            counted = {o["Name"] for o in group["RuleActionOverrides"] if "Count" in o["ActionToUse"]}
            assert all(name.endswith("_BODY") or name == "NoUserAgent_HEADER" for name in counted)
            assert "None" in rule["OverrideAction"], "the rest of the group acts as it is"


@pytest.mark.claim("C42")
def test_what_they_marked_is_blocked_everywhere_but_on_prompt_paths(production: Any) -> None:
    rule = rules(production)["BodyHitsOutsidePrompts"]
    assert "Block" in rule["Action"]
    labels, paths = rule["Statement"]["AndStatement"]["Statements"]
    keys = [s["LabelMatchStatement"]["Key"] for s in labels["OrStatement"]["Statements"]]
    assert keys == [f"awswaf:managed:aws:{name}:" for name in ("core-rule-set", "known-bad-inputs", "sql-database")]
    prefixes = paths["NotStatement"]["Statement"]["OrStatement"]["Statements"]
    assert [s["ByteMatchStatement"]["SearchString"] for s in prefixes] == ["/v1/", "/v1beta/"]
    managed = [r["Priority"] for r in rules(production).values() if "ManagedRuleGroupStatement" in r["Statement"]]
    assert rule["Priority"] > max(managed), "labels exist only after the groups have run"


@pytest.mark.claim("C40")
def test_rates_are_counted_per_key_header_and_per_address_and_never_for_probes(production: Any) -> None:
    rates = [
        r["Statement"]["RateBasedStatement"]
        for r in rules(production).values()
        if "RateBasedStatement" in r["Statement"]
    ]
    headers = sorted(row["CustomKeys"][0]["Header"]["Name"] for row in rates if "CustomKeys" in row)
    assert headers == ["authorization", "x-api-key"]
    assert [row["AggregateKeyType"] for row in rates if "CustomKeys" not in row] == ["IP"]
    for row in rates:
        scope = row["ScopeDownStatement"]["NotStatement"]["Statement"]["ByteMatchStatement"]
        assert scope["SearchString"] == "/healthz"


@pytest.mark.parametrize(
    ("length", "blocked"), [("99999999", False), ("100000000", True), ("20971520", False), ("9" * 12, True)]
)
def test_a_body_of_100_mb_is_turned_away_by_its_length(production: Any, length: str, blocked: bool) -> None:
    statement = rules(production)["HugeBody"]["Statement"]["RegexMatchStatement"]
    assert statement["FieldToMatch"]["SingleHeader"] == {"Name": "content-length"}
    assert bool(re.search(statement["RegexString"], length)) is blocked


def test_priorities_are_all_different(production: Any) -> None:
    priorities = [rule["Priority"] for rule in rules(production).values()]
    assert len(set(priorities)) == len(priorities)
