"""Nodes, their alarms, the probe of the public address and what follows from it."""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.operations.alarms import RULES, alarm_names, live_nodes
from handlers.operations.evidence.account import EDGE_REGION, REGION, Account, Row, differs
from stacks.policy import Policy


def _alarms(account: Account, region: str) -> dict[str, dict[str, Any]]:
    rows = account.remember(
        ("alarms", region), lambda: list(account.pages("cloudwatch", "describe_alarms", "MetricAlarms", region))
    )
    return {row["AlarmName"]: row for row in rows}


def _node_alarms(account: Account, policy: Policy) -> list[str]:
    """Every node of ours that runs has exactly its two alarms."""
    alarms, found = _alarms(account, REGION), []
    failures = (policy.recover_after_failures, policy.restart_after_failures)
    for node in sorted(live_nodes(account.client("ec2"), account.stage)):
        for rule, name, periods in zip(RULES, alarm_names(account.stage, node), failures, strict=True):
            alarm = alarms.get(name)
            if alarm is None:
                found.append(f"{node} has no alarm {rule.suffix}")
                continue
            seen = (alarm["MetricName"], alarm["EvaluationPeriods"], alarm["Period"], alarm["AlarmActions"])
            actions = [f"arn:aws:automate:{REGION}:ec2:{rule.action}"]
            found += differs(name, seen, (rule.metric, periods, policy.status_check_period_s, actions))
    return found


def _probe(account: Account, policy: Policy) -> list[str]:
    name = account.one("Watchdog", "AWS::Route53::HealthCheck")
    config = account.client("route53", EDGE_REGION).get_health_check(HealthCheckId=name)["HealthCheck"][
        "HealthCheckConfig"
    ]
    found = differs("interval", config.get("RequestInterval"), policy.health_check_interval_s)
    found += differs("failures", config.get("FailureThreshold"), policy.health_check_failures)
    found += differs("path", config.get("ResourcePath"), "/healthz")
    alarm = _alarms(account, EDGE_REGION).get(f"therouter-{account.stage}-unresponsive")
    if alarm is None:
        return [*found, "the probe has no alarm"]
    return found + differs("missing data", alarm.get("TreatMissingData"), "ignore")


def _events(account: Account, rule: str, region: str = REGION) -> list[dict[str, Any]]:
    """The constant events of a rule's targets."""
    targets = account.client("events", region).list_targets_by_rule(Rule=rule)["Targets"]
    return [msgspec.json.decode(target.get("Input") or "{}", type=dict[str, Any]) for target in targets]


def _rules(account: Account, intention: str, logical: str, region: str = REGION) -> list[tuple[str, dict[str, Any]]]:
    names = [full.rpartition("/")[2] for full in account.ids(intention, "AWS::Events::Rule", logical)]
    return [(name, account.client("events", region).describe_rule(Name=name)) for name in names]


def _reboot(account: Account, policy: Policy) -> list[str]:
    """The alarm reaches the watchdog, the watchdog looks again, and its cool-down is what is promised."""
    found = []
    for name, rule in _rules(account, "Watchdog", "CarryOver", EDGE_REGION):
        found += differs("the rule that carries the alarm over", rule["State"], "ENABLED")
        targets = account.client("events", EDGE_REGION).list_targets_by_rule(Rule=name)["Targets"]
        buses = [target["Arn"] for target in targets if ":event-bus/" in target["Arn"]]
        found += differs("regions", [bus.split(":")[3] for bus in buses], [REGION])
    for logical in ("SomethingStopsAnswering", "LookAgain"):
        for name, rule in _rules(account, "Recovery", logical):
            found += differs(logical, rule["State"], "ENABLED")
            seen = [event.get("cooldown_minutes") for event in _events(account, name)]
            found += differs(f"{logical} cool-down", seen, [policy.reboot_cooldown_minutes])
    return found


def _certificates(account: Account, policy: Policy) -> list[str]:
    found = []
    for region in (REGION, EDGE_REGION):
        alarms = [row for row in _alarms(account, region).values() if row.get("MetricName") == "DaysToExpiry"]
        seen = sorted(int(row["Threshold"]) for row in alarms)
        found += differs(f"certificate alarms in {region}", seen, sorted(policy.certificate_expiry_alarm_days))
    return found


def _rate(minutes: int) -> str:
    if minutes % 1440 == 0:
        return f"rate({minutes // 1440} day{'s' if minutes > 1440 else ''})"
    if minutes % 60 == 0:
        return f"rate({minutes // 60} hour{'s' if minutes > 60 else ''})"
    return f"rate({minutes} minutes)"


def _scheduled(account: Account, job: str, minutes: int, event: dict[str, object]) -> list[str]:
    found = []
    for name, rule in _rules(account, "Jobs", f"Every{job}"):
        found += differs(f"{job} rule", rule["State"], "ENABLED")
        found += differs(f"{job} interval", rule.get("ScheduleExpression"), _rate(minutes))
        for seen in _events(account, name):
            found += [f for key, value in event.items() for f in differs(f"{job} {key}", seen.get(key), value)]
    return found


def _purge(account: Account, policy: Policy) -> list[str]:
    promised: dict[str, object] = {
        "retention_days_default": policy.metadata_retention_days_default,
        "retention_days_min": policy.metadata_retention_days_min,
        "retention_days_max": policy.metadata_retention_days_max,
    }
    return _scheduled(account, "purge", policy.purge_interval_minutes, promised)


def _checkpoint(account: Account, policy: Policy) -> list[str]:
    return _scheduled(account, "checkpoint", policy.checkpoint_interval_minutes, {})


def _reap(account: Account, policy: Policy) -> list[str]:
    return _scheduled(account, "reap", policy.reap_interval_minutes, {})


def _reconcile(account: Account, policy: Policy) -> list[str]:
    return _scheduled(account, "reconcile", policy.reconcile_interval_hours * 60, {})


ROWS = (
    Row("C70", "Every node has its recovery alarms.", _node_alarms),
    Row("C72", "The public address is probed, and the probe has an alarm.", _probe),
    Row("C72", "An outage ends in at most one reboot in 30 minutes.", _reboot),
    Row("C44", "Alarms sound before a certificate ends.", _certificates),
    Row("C10", "Expired metadata is purged every hour, 1 to 730 days, 90 by default.", _purge),
    Row("C12", "Usage, ledger and balances are compared on a schedule.", _reconcile),
    Row("C60", "The audit log is sealed every 5 minutes.", _checkpoint),
    Row("C66", "Money held by a lost request is released every 5 minutes.", _reap),
)
