"""Recovery of nodes: the cloud moves a node off failing hardware; alarms restart one whose checks fail; every hour all are checked."""

from __future__ import annotations

from typing import Any

from aliyun.base import RouterStack, as_json
from aliyun.functions import FunctionsStack
from aliyun.jobs import timer
from aliyun.settings import REGION, Settings
from stacks.policy import Policy

FAILURE_EVENTS = ("Instance:SystemFailure.Reboot", "Instance:InstanceFailure.Reboot", "Instance:SystemFailure.Redeploy")
LIFE_EVENTS = ("Instance:StateChange",)


class RecoveryStack(RouterStack):
    """Who is told about nodes, and what makes sure that each has its alarms."""

    name = "recovery"

    def __init__(self, settings: Settings, *, functions: FunctionsStack) -> None:
        super().__init__(settings)
        contact = self.add(
            "OnCall",
            "ALIYUN::CMS::Contact",
            {
                "ContactName": self.physical("on-call"),
                "Describe": "China team",
                "Channels": {"Mail": settings.alarm_email},
            },
        )
        self._group = self.add(
            "OnCallGroup",
            "ALIYUN::CMS::ContactGroup",
            {
                "ContactGroupName": self.physical("on-call"),
                "Describe": "China team",
                "ContactNames": [contact.att("ContactName")],
            },
        )
        self.on_call = self.export("OnCallGroup", self._group.att("ContactGroupName"), "Who is told")
        self._events("NodeFailure", FAILURE_EVENTS, functions, notify=True)
        self._events("NodeLife", LIFE_EVENTS, functions, notify=False)
        event = {"reconcile": True, **alarms(settings.policy)}
        timer(self, "alarms", functions.functions["alarms"], settings.policy.alarm_reconcile_minutes, event)
        self._certificate_alarms()

    def _events(self, name: str, events: tuple[str, ...], functions: FunctionsStack, *, notify: bool) -> None:
        rule = self.add(
            name,
            "ALIYUN::CMS::EventRule",
            {
                "RuleName": self.physical(name.lower()),
                "EventType": "SYSTEM",
                "State": "ENABLED",
                "EventPattern": [
                    {"Product": "ecs", "NameList": list(events), "LevelList": ["CRITICAL", "WARN", "INFO"]}
                ],
            },
        )
        function = {
            "Id": "1",
            "Region": REGION,
            "ServiceName": "",
            "FunctionName": self.use(functions.functions["alarms"]),
        }
        targets: dict[str, Any] = {"RuleName": self.physical(name.lower()), "FcParameters": [function]}
        if notify:
            targets["ContactParameters"] = [
                {"Id": "2", "ContactGroupName": self._group.att("ContactGroupName"), "Level": "3"}
            ]
        self.add(f"{name}Targets", "ALIYUN::CMS::EventRuleTargets", targets, after=(rule,))

    def _certificate_alarms(self) -> None:
        """One alarm for each promised day before the edge's certificate ends."""
        for days in self.settings.policy.certificate_expiry_alarm_days:
            self.add(
                f"CertificateEndsIn{days}Days",
                "ALIYUN::CMS::ResourceMetricRule",
                metric_rule(
                    self.physical(f"certificate-{days}-days"),
                    namespace="acs_cas",
                    metric="ssl_cert_expire_days",
                    below=days + 1,
                    times=1,
                    period_s=3_600,
                    level="Critical" if days == min(self.settings.policy.certificate_expiry_alarm_days) else "Warn",
                    contacts=self._group.att("ContactGroupName"),
                    resources=[{"resource": "_ALL"}],
                ),
            )


def alarms(policy: Policy) -> dict[str, int]:
    """What the function gives each node: how often its checks are read, and when it is moved or restarted."""
    return {
        "period_s": policy.status_check_period_s,
        "recover_after_failures": policy.recover_after_failures,
        "restart_after_failures": policy.restart_after_failures,
    }


def metric_rule(
    name: str,
    *,
    namespace: str,
    metric: str,
    below: int,
    times: int,
    period_s: int,
    level: str,
    contacts: Any,
    resources: list[dict[str, Any]],
) -> dict[str, Any]:
    """The properties of an alarm on a metric that falls below a threshold; no data is no alarm."""
    condition = {
        "ComparisonOperator": "LessThanThreshold",
        "Statistics": "Minimum",
        "Threshold": str(below),
        "Times": times,
    }
    return {
        "RuleId": name,
        "RuleName": name,
        "Namespace": namespace,
        "MetricName": metric,
        "Period": period_s,
        "Interval": period_s,
        "NoDataPolicy": "KEEP_LAST_STATE",
        "SilenceTime": 3_600,
        "ContactGroups": [contacts],
        "Resources": resources,
        "Escalations": {level: condition},
        "Labels": [{"Key": "therouter", "Value": as_json(name)}],
    }
