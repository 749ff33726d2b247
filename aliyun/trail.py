"""The record of what people and programs did to the infrastructure, kept for a year."""

from __future__ import annotations

from aliyun.base import RouterStack
from aliyun.network import NetworkStack
from aliyun.settings import REGION, Settings
from aliyun.texts import sub


class TrailStack(RouterStack):
    """ActionTrail: every reading and writing call to the account's APIs, into a log of its own."""

    name = "trail"

    def __init__(self, settings: Settings, *, network: NetworkStack) -> None:
        super().__init__(settings)
        name = self.physical("trail")
        project = self.use(network.log_project)
        # The trail writes to the log of this name; made here first, it has our retention and not the default one.
        store = self.add(
            "Log",
            "ALIYUN::SLS::Logstore",
            {
                "ProjectName": project,
                "LogstoreName": f"actiontrail_{name}",
                "TTL": self.policy.cluster_log_retention_days,
                "ShardCount": 2,
            },
            retain=True,
        )
        account = settings.account
        trail = self.add(
            "Trail",
            "ALIYUN::ACTIONTRAIL::Trail",
            {
                "Name": name,
                "EventRW": "All",
                "SlsProjectArn": sub(f"acs:log:{REGION}:{account}:project/${{Project}}", Project=project),
                "SlsWriteRoleArn": f"acs:ram::{account}:role/aliyunserviceroleforactiontrail",
            },
            after=(store,),
            retain=True,
        )
        self.add("Recording", "ALIYUN::ACTIONTRAIL::TrailLogging", {"Name": trail.att("Name"), "Enable": True})
