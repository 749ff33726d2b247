"""The edge's access log: only the promised fields leave the edge, and they are deleted to the day."""

from __future__ import annotations

from aliyun.base import Resource, RouterStack
from aliyun.parts.site import site_part
from aliyun.settings import REGION

LOG_FIELDS = {
    "date": "EdgeStartTimestamp",
    "time": "EdgeStartTimestamp",
    "c-ip": "ClientIP",
    "sc-status": "EdgeResponseStatusCode",
}
"""The promised fields in this edge's names."""


def build_access_logs(stack: RouterStack, site: Resource) -> None:
    """The log, and the delivery into it."""
    policy = stack.policy
    project = stack.add(
        "LogProject",
        "ALIYUN::SLS::Project",
        {"Name": stack.physical("edge", stack.settings.account), "Description": "Edge access log"},
    )
    store = stack.add(
        "LogStore",
        "ALIYUN::SLS::Logstore",
        {
            "ProjectName": project.att("Name"),
            "LogstoreName": "edge-access",
            "TTL": policy.edge_log_retention_days,
            "ShardCount": 2,
        },
    )
    site_part(
        stack,
        site,
        "LogDelivery",
        "SiteDeliveryTask",
        {
            "TaskName": stack.physical("edge-access"),
            "BusinessType": "dcdn_log_access_l1",
            "DataCenter": "cn",
            "DeliveryType": "sls",
            "DiscardRate": 0,
            "FieldName": ",".join(dict.fromkeys(LOG_FIELDS[field] for field in policy.edge_log_fields)),
            "SlsDelivery": {
                "SLSProject": project.att("Name"),
                "SLSLogStore": store.att("LogstoreName"),
                "SLSRegion": REGION,
            },
        },
    )
