"""The edge: ESA in the mainland, in front of everything; TLS, firewall, no cache, four log fields for seven days."""

from __future__ import annotations

from typing import Any

from aliyun.base import Resource, RouterStack, as_json
from aliyun.ingress import IngressStack
from aliyun.manifests import EDGE_HEADER
from aliyun.settings import REGION, Settings
from aliyun.waf import build_web_acl
from aliyun.workloads import EDGE_TOKEN
from handlers.settings import EDGE_HEADERS

LOG_FIELDS = {
    "date": "EdgeStartTimestamp",
    "time": "EdgeStartTimestamp",
    "c-ip": "ClientIP",
    "sc-status": "EdgeResponseStatusCode",
}
"""The promised fields in this edge's names."""
HSTS_MAX_AGE_S = 63_072_000
UPLOAD_MB_MIN = 100
"""The smallest body limit that the edge can be set to; the firewall's is lower by a byte."""


class EdgeStack(RouterStack):
    """The site and everything that happens to a request before it reaches us."""

    name = "edge"

    def __init__(self, settings: Settings, *, ingress: IngressStack) -> None:
        super().__init__(settings)
        self._site = self.add(
            "Site",
            "ALIYUN::ESA::Site",
            {
                "SiteName": settings.zone_name,
                "InstanceId": settings.esa_instance,
                "Coverage": "domestic",
                "AccessType": "CNAME",
            },
            retain=True,
        )
        self.site = self.export("SiteId", self._site.att("SiteId"), f"The site; ICP filing {settings.icp_filing}")
        self.filing = self.export("GenerativeFiling", settings.generative_filing, "Filing of the generative service")
        self._names(ingress)
        self._tls()
        self._origin()
        self._bodies()
        self._unavailable()
        self._log()
        build_web_acl(self, self._site)

    def _on_site(self, logical_id: str, kind: str, properties: dict[str, Any]) -> Resource:
        return self.add(logical_id, f"ALIYUN::ESA::{kind}", {"SiteId": self._site.att("SiteId"), **properties})

    def _names(self, ingress: IngressStack) -> None:
        """The public name points to the edge; the edge knows the load balancer."""
        record = self._on_site(
            "Record",
            "Record",
            {
                "RecordName": self.settings.domain,
                "RecordType": "CNAME",
                "Proxied": True,
                "BizName": "api",
                "SourceType": "Domain",
                "HostPolicy": "follow_hostname",
                "Data": {"Value": self.use(ingress.address)},
                "Ttl": 60,
            },
        )
        host = self.settings.domain.removesuffix(self.settings.zone_name).rstrip(".") or "@"
        self.add(
            "PublicName",
            "ALIYUN::DNS::DomainRecord",
            {
                "DomainName": self.settings.zone_name,
                "RR": host,
                "Type": "CNAME",
                "Value": record.att("RecordCname"),
                "TTL": 600,
            },
        )

    def _tls(self) -> None:
        newest_only = self.policy.tls_version_min == "1.3"
        self._on_site("Certificate", "Certificate", {"CreatedType": "free", "Domains": [self.settings.domain]})
        self._on_site(
            "Tls",
            "HttpsBasicConfiguration",
            {
                "Https": "on",
                "Http2": "on",
                "Http3": "on",
                "OcspStapling": "on",
                "Tls10": "off",
                "Tls11": "off",
                "Tls12": "off" if newest_only else "on",
                "Tls13": "on",
                "CiphersuiteGroup": "strict",
            },
        )
        self._on_site(
            "StrictTransport",
            "HttpsApplicationConfiguration",
            {
                "Hsts": "on",
                "HstsMaxAge": str(HSTS_MAX_AGE_S),
                "HstsIncludeSubdomains": "on",
                "HstsPreload": "on",
                "HttpsForce": "off",
            },
        )

    def _origin(self) -> None:
        """To the load balancer over verified TLS, with our token; long gaps are allowed, the heartbeat fills them."""
        token = self.operator_value(EDGE_TOKEN, "What our edge sends with every request, at least 32 characters")
        self._on_site(
            "Origin",
            "OriginRule",
            {
                "RuleName": "origin",
                "RuleEnable": "on",
                "Rule": "true",
                "OriginScheme": "https",
                "OriginHttpsPort": 443,
                "OriginHost": self.settings.domain,
                "OriginSni": self.settings.domain,
                "OriginVerify": "on",
                "OriginReadTimeout": self.policy.edge_response_gap_s,
            },
        )
        self._on_site(
            "OriginToken",
            "HttpRequestHeaderModificationRule",
            {
                "RuleName": "origin-token",
                "RuleEnable": "on",
                "Rule": "true",
                # Over whatever the client wrote there: keys may be bound to addresses.
                "RequestHeaderModification": [
                    {"Name": EDGE_HEADER, "Operation": "modify", "Type": "static", "Value": token},
                    {"Name": EDGE_HEADERS["china"], "Operation": "modify", "Type": "dynamic", "Value": "ip.src"},
                ],
            },
        )
        self._on_site("OriginProtection", "OriginProtection", {"OriginConverge": "on"})

    def _bodies(self) -> None:
        """Nothing is cached, nothing is compressed anew, WebSockets are off."""
        self._on_site(
            "NoCache",
            "CacheRule",
            {
                "RuleName": "no-cache",
                "RuleEnable": "on",
                "Rule": "true",
                "BypassCache": "bypass_all",
                "EdgeCacheMode": "no_cache",
                "BrowserCacheMode": "no_cache",
            },
        )
        self._on_site(
            "Uploads",
            "NetworkOptimization",
            {"UploadMaxFilesize": UPLOAD_MB_MIN, "SmartRouting": "off", "Websocket": "off", "Http2Origin": "on"},
        )

    def _unavailable(self) -> None:
        """A dead gateway cannot answer for itself: the edge turns 502 and 504 into our 503."""
        seconds = self.policy.edge_retry_after_s
        message = f"TheRouter could not obtain an answer. Nothing was charged for it; retry after {seconds} s."
        body = {"error": {"message": message, "type": "server_error", "code": "temporarily_unavailable"}}
        page = self.add(
            "UnavailablePage",
            "ALIYUN::ESA::Page",
            {
                "PageName": self.physical("unavailable"),
                "ContentType": "application/json",
                "Content": as_json(body),
                "Description": "What clients see while no gateway answers",
            },
        )
        for code in ("502", "504"):
            self._on_site(
                f"Unavailable{code}",
                "CustomResponseCodeRule",
                {
                    "RuleName": f"unavailable-{code}",
                    "RuleEnable": "on",
                    "Rule": f"(http.response.code eq {code})",
                    "PageId": page.att("PageId"),
                    "ReturnCode": "503",
                },
            )
        self._on_site(
            "RetryAfter",
            "HttpResponseHeaderModificationRule",
            {
                "RuleName": "retry-after",
                "RuleEnable": "on",
                "Rule": "(http.response.code in {502 503 504})",
                "ResponseHeaderModification": [
                    {"Name": "retry-after", "Operation": "modify", "Type": "static", "Value": str(seconds)}
                ],
            },
        )

    def _log(self) -> None:
        """Only the promised fields leave the edge, and they are deleted to the day."""
        policy = self.policy
        project = self.add(
            "LogProject",
            "ALIYUN::SLS::Project",
            {"Name": self.physical("edge", self.settings.account), "Description": "Edge access log"},
        )
        store = self.add(
            "LogStore",
            "ALIYUN::SLS::Logstore",
            {
                "ProjectName": project.att("Name"),
                "LogstoreName": "edge-access",
                "TTL": policy.edge_log_retention_days,
                "ShardCount": 2,
            },
        )
        self._on_site(
            "LogDelivery",
            "SiteDeliveryTask",
            {
                "TaskName": self.physical("edge-access"),
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
