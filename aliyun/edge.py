"""The edge: ESA in the mainland, in front of everything; TLS, firewall, no cache, four log fields for seven days."""

from __future__ import annotations

from typing import Any

from aliyun.base import Resource, RouterStack
from aliyun.ingress import IngressStack
from aliyun.parts.access_logs import build_access_logs
from aliyun.parts.error_page import build_error_page
from aliyun.parts.origin import build_origin
from aliyun.parts.site import site_part
from aliyun.settings import Settings
from aliyun.waf import build_web_acl

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
        self._bodies()
        build_origin(self, self._site)
        build_error_page(self, self._site)
        build_access_logs(self, self._site)
        build_web_acl(self, self._site)

    def _on_site(self, logical_id: str, kind: str, properties: dict[str, Any]) -> Resource:
        return site_part(self, self._site, logical_id, kind, properties)

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
