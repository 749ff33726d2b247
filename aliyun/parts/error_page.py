"""What the edge answers when no gateway does: 502 and 504 become our 503, in JSON, with the time to come back."""

from __future__ import annotations

from aliyun.base import Resource, RouterStack
from aliyun.parts.site import site_part
from aliyun.texts import as_json


def build_error_page(stack: RouterStack, site: Resource) -> None:
    """The page, the mapping and the header."""
    seconds = stack.policy.edge_retry_after_s
    message = f"TheRouter could not obtain an answer. Nothing was charged for it; retry after {seconds} s."
    body = {"error": {"message": message, "type": "server_error", "code": "temporarily_unavailable"}}
    page = stack.add(
        "UnavailablePage",
        "ALIYUN::ESA::Page",
        {
            "PageName": stack.physical("unavailable"),
            "ContentType": "application/json",
            "Content": as_json(body),
            "Description": "What clients see while no gateway answers",
        },
    )
    for code in ("502", "504"):
        site_part(
            stack,
            site,
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
    site_part(
        stack,
        site,
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
