"""From the edge to the load balancer: verified TLS, our own token, long gaps allowed because the heartbeat fills them."""

from __future__ import annotations

from aliyun.base import Resource, RouterStack
from aliyun.parts.routes import EDGE_HEADER
from aliyun.parts.site import site_part
from aliyun.workloads import EDGE_TOKEN
from handlers.settings import EDGE_HEADERS


def build_origin(stack: RouterStack, site: Resource) -> None:
    """How the site calls its origin."""
    token = stack.operator_value(EDGE_TOKEN, "What our edge sends with every request, at least 32 characters")
    site_part(
        stack,
        site,
        "Origin",
        "OriginRule",
        {
            "RuleName": "origin",
            "RuleEnable": "on",
            "Rule": "true",
            "OriginScheme": "https",
            "OriginHttpsPort": 443,
            "OriginHost": stack.settings.domain,
            "OriginSni": stack.settings.domain,
            "OriginVerify": "on",
            "OriginReadTimeout": stack.policy.edge_response_gap_s,
        },
    )
    site_part(
        stack,
        site,
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
    site_part(stack, site, "OriginProtection", "OriginProtection", {"OriginConverge": "on"})
