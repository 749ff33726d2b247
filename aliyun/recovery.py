"""What brings nodes back: a failing node is moved to other hardware or restarted; a watchdog reboots one when all else fails.

When a node starts, and every hour, the alarms function makes sure that every node is set to recover by itself. Each minute it reads
the status of all nodes and counts: no alarm of this cloud acts on a node. The watchdog reboots
one node when nothing answers: it is told by the alarm on the public address (watchdog) and by the one on the load balancer's
healthy targets, and looks again every few minutes while either sounds. Its guard rails are in the handler; the numbers are in
its event.
"""

from __future__ import annotations

from typing import Any

from aliyun.alerts import (
    Condition,
    build_contacts,
    call_on_alarm,
    exported_contacts,
    filled,
    run_every,
    tell_of_errors,
    watch,
)
from aliyun.base import Resource, RouterStack
from aliyun.function import Surroundings, build_function
from aliyun.ingress import IngressStack
from aliyun.settings import REGION, Settings
from handlers.workloads import Workload

UNRESPONSIVE = "unresponsive"
"""Last part of the name of the alarm on the public address."""
NODE_EVENTS = ("Instance:StateChange", "Instance:SystemFailure.Reboot", "Instance:InstanceFailure.Reboot")
CHECK_S_MAX = 120


class RecoveryStack(RouterStack):
    """The two functions, what calls them, and who is told."""

    name = "recovery"

    def __init__(self, settings: Settings, *, surroundings: Surroundings, ingress: IngressStack) -> None:
        super().__init__(settings)
        self._surroundings = surroundings
        self._contacts = build_contacts(self)
        self._told = self._contacts.att("ContactGroupName")
        self.alerts = exported_contacts(self, self._contacts)
        self._build_alarms()
        watchdog = self._build_watchdog(ingress)
        self.watchdog = self.export("WatchdogArn", watchdog.att("ARN"), "The watchdog")

    def _workload(self, name: str) -> Workload:
        (workload,) = (row for row in self.settings.workloads if row.name == name)
        return workload

    def _build_alarms(self) -> None:
        function = build_function(
            self, self._workload("alarms"), self._surroundings, timeout_s=CHECK_S_MAX, concurrency=1
        )
        rule_name = self.physical("node-events")
        rule = self.add(
            "NodeStartsOrEnds",
            "ALIYUN::CMS::EventRule",
            {
                "RuleName": rule_name,
                "EventType": "SYSTEM",
                "State": "ENABLED",
                "EventPattern": [
                    {"Product": "ecs", "NameList": list(NODE_EVENTS), "LevelList": ["CRITICAL", "WARN", "INFO"]}
                ],
            },
        )
        called = {"Id": "1", "Region": REGION, "ServiceName": "", "FunctionName": function.att("FunctionName")}
        self.add(
            "NodeStartsOrEndsTargets",
            "ALIYUN::CMS::EventRuleTargets",
            {"RuleName": rule_name, "FcParameters": [called]},
            after=(rule,),
        )
        event = filled({"stage": self.settings.stage}, {})
        run_every(self, "reconcile", function, self.policy.alarm_reconcile_minutes, event)
        self._check_statuses(function)
        tell_of_errors(self, "alarms", function, self._told)

    def _check_statuses(self, function: Resource) -> None:
        policy = self.policy
        failures = self._parameter("Failures", "failures", "{}", "how many checks in a row which node has failed")
        event = {
            "stage": self.settings.stage,
            "period_s": policy.status_check_period_s,
            "recover_after_failures": policy.recover_after_failures,
            "restart_after_failures": policy.restart_after_failures,
            "failures": failures,
        }
        run_every(self, "status-check", function, policy.status_check_period_s // 60, filled(event, {}))

    def _build_watchdog(self, ingress: IngressStack) -> Resource:
        function = build_function(
            self, self._workload("watchdog"), self._surroundings, timeout_s=CHECK_S_MAX, concurrency=1
        )
        memory = self._parameter(
            "LastReboot", "last-reboot", "never", "when the watchdog last rebooted a node, and which"
        )
        unhealthy = self._healthy_count_alarm(ingress)
        names = [self.physical(UNRESPONSIVE), self.physical(unhealthy.logical_id.lower())]
        settings: dict[str, Any] = {
            "stage": self.settings.stage,
            "alarms": [{"name": name, "region": REGION} for name in names],
            "target_group": "${Balancer}",
            "database": "${Database}",
            "memory": memory,
            "cooldown_minutes": self.policy.reboot_cooldown_minutes,
        }
        values = {
            "Balancer": self.use(ingress.balancer),
            "Database": self.use(self._surroundings.database.instance),
        }
        # An alarm's call carries the alarm alone; the settings wait here.
        self._parameter("Settings", "settings", filled(settings, values), "what the watchdog looks at")
        call_on_alarm(self, unhealthy, function.att("ARN"))
        run_every(self, "look-again", function, self.policy.watchdog_interval_minutes, filled(settings, values))
        tell_of_errors(self, "watchdog", function, self._told)
        return function

    def _parameter(self, logical_id: str, name: str, value: object, description: str) -> str:
        """A value that a function reads, and some of them write; its name."""
        full = self.physical("watchdog", name)
        properties = {"Name": full, "Type": "String", "Value": value, "Description": description}
        self.add(logical_id, "ALIYUN::OOS::Parameter", properties)
        return full

    def _healthy_count_alarm(self, ingress: IngressStack) -> Resource:
        return watch(
            self,
            "NoHealthyTarget",
            metric=("acs_alb", "ServerGroupHealthyHostCount"),
            resources=[{"loadBalancerId": self.use(ingress.balancer)}],
            condition=Condition("LessThanThreshold", 1, self.policy.health_check_failures, 60, statistics="Maximum"),
            contacts=self._told,
        )
