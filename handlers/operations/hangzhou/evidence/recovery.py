"""Nodes, the probe of the public address, what follows from it, and work on a clock."""

from __future__ import annotations

from handlers.operations.hangzhou.api import PAGE_ROWS, numbered
from handlers.operations.hangzhou.evidence.account import Account, Fields, Row, differs, rows_of
from handlers.operations.hangzhou.nodes import running_instances
from stacks.policy import Policy

RECOVER = "AutoRecover"


def _timer(account: Account, workload: str, name: str, minutes: int, event: dict[str, object]) -> list[str]:
    timer = account.timer(workload, name)
    found = differs(f"{name} is on", timer.get("enable"), promised=True)
    found += differs(f"{name} interval", timer.get("cronExpression"), f"@every {minutes}m")
    told: Fields = timer["payload"]
    return found + [line for key, value in event.items() for line in differs(f"{name} {key}", told.get(key), value)]


def _nodes(account: Account, policy: Policy) -> list[str]:
    """Every node of ours recovers by itself, and its status is read as often as promised."""
    found = _timer(
        account,
        "alarms",
        "status-check",
        policy.status_check_period_s // 60,
        {
            "period_s": policy.status_check_period_s,
            "recover_after_failures": policy.recover_after_failures,
            "restart_after_failures": policy.restart_after_failures,
        },
    )
    nodes = tuple(row.id for row in running_instances(account.stage))
    for start in range(0, len(nodes), PAGE_ROWS):
        form = {**numbered("InstanceId", nodes[start : start + PAGE_ROWS]), "PageSize": str(PAGE_ROWS)}
        told = account.ask("ecs", "DescribeInstanceMaintenanceAttributes", **form)
        for row in rows_of(told, "MaintenanceAttributes", "MaintenanceAttribute"):
            action = row.get("ActionOnMaintenance", {}).get("Value")
            found += differs(f"{row['InstanceId']} on maintenance", action, RECOVER)
    return found


def _alarm(account: Account, name: str) -> Fields | None:
    told = account.ask("metrics", "DescribeMetricRuleList", RuleIds=f"therouter-{account.stage}-{name}")
    rows = rows_of(told, "Alarms", "Alarm")
    return rows[0] if rows else None


def _probe(account: Account, policy: Policy) -> list[str]:
    task = account.one("watchdog", "CMS::SiteMonitor")
    told = account.ask("metrics", "DescribeSiteMonitorAttribute", TaskId=task)["SiteMonitors"]
    found = [] if str(told["Address"]).endswith("/healthz") else [f"{told['Address']} is probed"]
    places = len(rows_of(told, "IspCities", "IspCity"))
    found += differs(
        "probes in a minute", places * 60 // (60 * int(told["Interval"])), 60 // policy.health_check_interval_s
    )
    alarm = _alarm(account, "unresponsive")
    if alarm is None:
        return [*found, "the probe has no alarm"]
    return found + differs("failures", int(alarm["Escalations"]["Critical"]["Times"]), policy.health_check_failures)


def _reboot(account: Account, policy: Policy) -> list[str]:
    """The alarm reaches the watchdog, which looks again; its cool-down is what is promised."""
    told = account.ask("metrics", "DescribeMetricRuleTargets", RuleId=f"therouter-{account.stage}-unresponsive")
    targets = [row["Arn"] for row in rows_of(told, "Targets", "Target")]
    found = [] if any(arn.endswith(f"therouter-{account.stage}-watchdog") for arn in targets) else ["nobody hears it"]
    event: dict[str, object] = {"cooldown_minutes": policy.reboot_cooldown_minutes}
    return found + _timer(account, "watchdog", "look-again", policy.watchdog_interval_minutes, event)


def _certificates(account: Account, policy: Policy) -> list[str]:
    days = policy.certificate_expiry_alarm_days
    return [
        f"nobody watches for {count} days" for count in days if _alarm(account, f"certificateendsin{count}days") is None
    ]


def _purge(account: Account, policy: Policy) -> list[str]:
    promised: dict[str, object] = {
        "retention_days_default": policy.metadata_retention_days_default,
        "retention_days_min": policy.metadata_retention_days_min,
        "retention_days_max": policy.metadata_retention_days_max,
    }
    return _timer(account, "purge", "purge", policy.purge_interval_minutes, promised)


def _checkpoint(account: Account, policy: Policy) -> list[str]:
    return _timer(account, "checkpoint", "checkpoint", policy.checkpoint_interval_minutes, {})


def _reap(account: Account, policy: Policy) -> list[str]:
    return _timer(account, "reap", "reap", policy.reap_interval_minutes, {})


def _reconcile(account: Account, policy: Policy) -> list[str]:
    return _timer(account, "reconcile", "reconcile", policy.reconcile_interval_hours * 60, {})


ROWS = (
    Row("C70", "Every node recovers, and its status is read every minute.", _nodes),
    Row("C72", "The public address is probed, and the probe has an alarm.", _probe),
    Row("C72", "An outage ends in at most one reboot in 30 minutes.", _reboot),
    Row("C44", "Alarms sound before a certificate ends.", _certificates),
    Row("C10", "Expired metadata is purged every hour, 1 to 730 days, 90 by default.", _purge),
    Row("C12", "Usage, ledger and balances are compared on a schedule.", _reconcile),
    Row("C60", "The audit log is sealed every 5 minutes.", _checkpoint),
    Row("C66", "Money held by a lost request is released every 5 minutes.", _reap),
)
