"""The eye outside: probes of the public address through the whole path, their alarm, and the alarm's way to the watchdog.

The probe goes through the edge, so it tests name, certificate, firewall, origin, load balancer and gateway together.
"""

from __future__ import annotations

from aliyun.alerts import Condition, call_on_alarm, watch, watch_certificate
from aliyun.base import Resource, RouterStack
from aliyun.recovery import UNRESPONSIVE, RecoveryStack
from aliyun.settings import Settings
from aliyun.texts import as_json
from aliyun.waf import HEALTH_PATH

PROBE_MINUTES = 1
"""The shortest interval of a site monitor; several probe points make up for a shorter promise."""
PROBE_POINTS = (("738", "232"), ("546", "132"), ("572", "5"), ("4", "221"), ("738", "5"), ("546", "232"))
"""(city, operator) in the monitor's own numbers."""
AVAILABLE_PERCENT_MIN = 50


class WatchdogStack(RouterStack):
    """Site monitor, alarm, and the alarm's target."""

    name = "watchdog"

    def __init__(self, settings: Settings, *, recovery: RecoveryStack) -> None:
        super().__init__(settings)
        contacts = self.use(recovery.alerts)
        alarm = self._build_alarm(self._build_check(), contacts)
        call_on_alarm(self, alarm, self.use(recovery.watchdog))
        watch_certificate(self, contacts)

    def _build_check(self) -> Resource:
        # So many probe points that, together, they probe as often as promised.
        points = max(1, PROBE_MINUTES * 60 // self.policy.health_check_interval_s)
        return self.add(
            "Probe",
            "ALIYUN::CMS::SiteMonitor",
            {
                "TaskName": self.physical("healthz"),
                "TaskType": "HTTP",
                "Address": f"https://{self.settings.domain}{HEALTH_PATH}",
                "Interval": PROBE_MINUTES,
                "IspCities": [{"City": city, "Isp": isp} for city, isp in PROBE_POINTS[:points]],
                "OptionsJson": as_json({"http_method": "get", "time_out": 5_000}),
            },
        )

    def _build_alarm(self, check: Resource, contacts: object) -> Resource:
        return watch(
            self,
            UNRESPONSIVE.capitalize(),
            metric=("acs_networkmonitor", "Availability"),
            resources=[{"taskId": check.att("TaskId")}],
            condition=Condition(
                "LessThanThreshold", AVAILABLE_PERCENT_MIN, self.policy.health_check_failures, PROBE_MINUTES * 60
            ),
            contacts=contacts,
        )
