"""The watchdog: probes from outside through the whole path, and one guarded reboot when nothing answers."""

from __future__ import annotations

from aliyun.base import RouterStack, as_json
from aliyun.functions import FunctionsStack
from aliyun.jobs import timer
from aliyun.recovery import RecoveryStack, metric_rule
from aliyun.settings import Settings

PROBE_MINUTES = 1
"""The shortest interval of a site monitor; several probe points make up for a shorter promise."""
PROBE_POINTS = (("738", "232"), ("546", "132"), ("572", "5"), ("4", "221"), ("738", "5"), ("546", "232"))
"""(city, operator) in the monitor's own numbers; Hangzhou, Shanghai, Beijing over three operators."""


class WatchdogStack(RouterStack):
    """Site monitor -> alarm -> guarded reboot, and another look while the address stays down."""

    name = "watchdog"

    def __init__(self, settings: Settings, *, functions: FunctionsStack, recovery: RecoveryStack) -> None:
        super().__init__(settings)
        policy = settings.policy
        monitor = self.add(
            "Probe",
            "ALIYUN::CMS::SiteMonitor",
            {
                "TaskName": self.physical("healthz"),
                "TaskType": "HTTP",
                "Address": f"https://{settings.domain}/healthz",
                "Interval": PROBE_MINUTES,
                "IspCities": [{"City": city, "Isp": isp} for city, isp in PROBE_POINTS[: self._points()]],
                "OptionsJson": as_json(
                    {"http_method": "get", "time_out": 5_000, "response_content": "", "match_rule": 0}
                ),
            },
        )
        contacts = self.use(recovery.on_call)
        name = self.physical("unresponsive")
        rule = self.add(
            "Unresponsive",
            "ALIYUN::CMS::ResourceMetricRule",
            metric_rule(
                name,
                namespace="acs_networkmonitor",
                metric="Availability",
                below=50,
                times=policy.health_check_failures,
                period_s=PROBE_MINUTES * 60,
                level="Critical",
                contacts=contacts,
                resources=[{"taskId": monitor.att("TaskId")}],
            ),
        )
        self.add(
            "UnresponsiveTargets",
            "ALIYUN::CMS::MetricRuleTargets",
            {
                "RuleId": rule.att("RuleId"),
                "Targets": [{"Id": "watchdog", "Arn": self.use(functions.arns["watchdog"]), "Level": "CRITICAL"}],
            },
        )
        event = {"recheck": True, "alarm": name, "cooldown_minutes": policy.reboot_cooldown_minutes}
        timer(self, "watchdog", functions.functions["watchdog"], policy.watchdog_interval_minutes, event)

    def _points(self) -> int:
        """So many probe points that, together, they probe as often as promised."""
        return max(1, PROBE_MINUTES * 60 // self.settings.policy.health_check_interval_s)
