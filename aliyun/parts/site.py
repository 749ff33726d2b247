"""A setting of the site at the edge."""

from __future__ import annotations

from typing import Any

from aliyun.base import Resource, RouterStack


def site_part(stack: RouterStack, site: Resource, logical_id: str, kind: str, properties: dict[str, Any]) -> Resource:
    """Add a resource of ESA that belongs to the site."""
    return stack.add(logical_id, f"ALIYUN::ESA::{kind}", {"SiteId": site.att("SiteId"), **properties})
