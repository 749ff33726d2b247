"""How people are told: one group of contacts, and the alarms that speak to it."""

from __future__ import annotations

from typing import Any, NamedTuple

from aliyun.base import Export, Resource, RouterStack
from aliyun.texts import as_json, camel


class Condition(NamedTuple):
    """When an alarm sounds: so many periods in a row."""

    comparison: str
    threshold: int
    times: int
    period_s: int
    statistics: str = "Minimum"
    level: str = "Critical"


def build_contacts(stack: RouterStack) -> Resource:
    """The group of those who are told, with the operators' address."""
    person = stack.add(
        "OnCall",
        "ALIYUN::CMS::Contact",
        {
            "ContactName": stack.physical("on-call"),
            "Describe": f"TheRouter {stack.settings.stage}",
            "Channels": {"Mail": stack.settings.alarm_email},
        },
    )
    return stack.add(
        "Alerts",
        "ALIYUN::CMS::ContactGroup",
        {
            "ContactGroupName": stack.physical("alerts"),
            "Describe": f"TheRouter {stack.settings.stage}",
            "ContactNames": [person.att("ContactName")],
        },
    )


def watch(
    stack: RouterStack,
    logical_id: str,
    *,
    metric: tuple[str, str],
    resources: list[dict[str, Any]],
    condition: Condition,
    contacts: object,
) -> Resource:
    """An alarm on a metric (namespace, name) of some resources. No data is no alarm: it means a first deployment."""
    name = stack.physical(logical_id.lower())
    namespace, metric_name = metric
    return stack.add(
        logical_id,
        "ALIYUN::CMS::ResourceMetricRule",
        {
            "RuleId": name,
            "RuleName": name,
            "Namespace": namespace,
            "MetricName": metric_name,
            "Period": condition.period_s,
            "Interval": condition.period_s,
            "NoDataPolicy": "KEEP_LAST_STATE",
            "SilenceTime": 3_600,
            "ContactGroups": [contacts],
            "Resources": resources,
            "Escalations": {
                condition.level: {
                    "ComparisonOperator": condition.comparison,
                    "Statistics": condition.statistics,
                    "Threshold": str(condition.threshold),
                    "Times": condition.times,
                }
            },
        },
    )


def watch_certificate(stack: RouterStack, contacts: object) -> None:
    """Say so, several times, before a certificate ends that should have been renewed."""
    alarm_days = stack.policy.certificate_expiry_alarm_days
    for days in alarm_days:
        level = "Critical" if days == min(alarm_days) else "Warn"
        watch(
            stack,
            f"CertificateEndsIn{days}Days",
            metric=("acs_cas", "CertExpireDays"),
            resources=[{"resource": "_ALL"}],
            condition=Condition("LessThanOrEqualToThreshold", days, 1, 3_600, level=level),
            contacts=contacts,
        )


def tell_of_errors(stack: RouterStack, name: str, function: Resource, contacts: object) -> None:
    """An operations function that fails is somebody's business."""
    watch(
        stack,
        f"{camel(name)}Fails",
        metric=("acs_fc", "FunctionFunctionErrors"),
        resources=[{"functionName": function.att("FunctionName")}],
        condition=Condition("GreaterThanOrEqualToThreshold", 1, 1, 300, statistics="Maximum"),
        contacts=contacts,
    )


def filled(event: dict[str, Any], values: dict[str, Any]) -> object:
    """An event as text; `values` fill the `${...}` in it at deployment."""
    return {"Fn::Sub": [as_json(event), values]} if values else as_json(event)


def run_every(stack: RouterStack, name: str, function: Resource, minutes: int, payload: object) -> None:
    """Call a function on a schedule with a constant event: the numbers that it acts on are in the template."""
    stack.add(
        f"{camel(name)}Schedule",
        "ALIYUN::FC3::Trigger",
        {
            "FunctionName": function.att("FunctionName"),
            "TriggerName": name,
            "TriggerType": "timer",
            "Description": f"{name}: every {minutes} minutes",
            "TriggerConfig": {"cronExpression": f"@every {minutes}m", "enable": True, "payload": payload},
        },
    )


def call_on_alarm(stack: RouterStack, alarm: Resource, function: object) -> None:
    """Let an alarm call a function, beside telling people."""
    stack.add(
        f"{alarm.logical_id}Targets",
        "ALIYUN::CMS::MetricRuleTargets",
        {"RuleId": alarm.att("RuleId"), "Targets": [{"Id": "function", "Arn": function, "Level": "CRITICAL"}]},
    )


def exported_contacts(stack: RouterStack, contacts: Resource) -> Export:
    """The group, for other stacks."""
    return stack.export("Alerts", contacts.att("ContactGroupName"), "Who is told")
