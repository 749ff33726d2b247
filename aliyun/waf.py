"""The web application firewall at the edge: what it counts, what it blocks, and what it leaves alone because prompts look like attacks."""

from __future__ import annotations

from typing import Any

from aliyun.base import Resource, RouterStack
from stacks.policy import Policy

PROMPT_PATHS = ("/v1/",)
"""Bodies here are prompts: they contain SQL, HTML, shell and addresses of metadata services, lawfully."""
INJECTION_TYPES = ("sqli", "xss", "code_exec", "crlf", "lfi", "rfi", "webshell", "ssrf", "php_inject", "java_inject")


class WebFirewall:
    """The rules of one site, in the order in which ESA applies them."""

    def __init__(self, stack: RouterStack, site: Resource, *, ruleset: int) -> None:
        self._stack = stack
        self._site = site
        policy = stack.settings.policy
        self._rule("PromptsAreNotAttacks", "http_whitelist", _leave_prompts_alone())
        self._rule("HugeBody", "http_custom", _huge_body(policy))
        self._rule("PlainHttp", "http_custom", _plain_http())
        self._rule("RatePerKey", "http_ratelimit", _rate(policy, "key"))
        self._rule("RatePerAddress", "http_ratelimit", _rate(policy, "address"))
        self._rule("ManagedRules", "http_managed", _managed(), RulesetId=ruleset)

    def _rule(self, name: str, phase: str, config: dict[str, Any], **more: int) -> None:
        self._stack.add(
            name,
            "ALIYUN::ESA::WafRule",
            {
                "SiteId": self._site.att("SiteId"),
                "Phase": phase,
                "Config": {"Name": name, "Status": "on", **config},
                **more,
            },
        )


def _leave_prompts_alone() -> dict[str, Any]:
    """Injection rules read bodies, and cannot be told to leave only bodies out; on prompt paths they are skipped."""
    paths = " or ".join(f'starts_with(http.request.uri.path, "{path}")' for path in PROMPT_PATHS)
    return {
        "Expression": f"({paths})",
        "Action": "bypass",
        "Actions": {"Bypass": {"Skip": "part", "RegularTypes": list(INJECTION_TYPES)}},
    }


def _huge_body(policy: Policy) -> dict[str, Any]:
    """More digits in content-length than the largest allowed body has."""
    digits = len(str(policy.edge_body_bytes_max)) + 1
    return {"Expression": f'(http.request.headers["content-length"] matches "^[0-9]{{{digits},}}$")', "Action": "deny"}


def _plain_http() -> dict[str, Any]:
    """Refused, not redirected: a redirect would teach clients to send keys in the clear first."""
    return {"Expression": "(not ssl)", "Action": "deny"}


def _rate(policy: Policy, by: str) -> dict[str, Any]:
    match, most, applies = {
        "key": (
            'http.request.headers["authorization"]',
            policy.edge_requests_per_key_max,
            '(http.request.headers["authorization"] ne "")',
        ),
        "address": ("ip.src", policy.edge_requests_per_address_max, '(http.request.uri.path ne "/healthz")'),
    }[by]
    return {
        "Expression": applies,
        "Action": "deny",
        "RateLimit": {
            "Characteristics": {"Logic": "and", "Criteria": [{"MatchType": match}]},
            "Interval": policy.edge_rate_window_s,
            "Threshold": {"Request": most},
            "Ttl": policy.edge_rate_window_s,
            "OnHit": False,
        },
    }


def _managed() -> dict[str, Any]:
    """The vendor's rule groups, blocking; prompt paths are already out of the injection groups' reach."""
    return {"Action": "deny", "ManagedRulesets": [{"AttackType": 0, "ProtectionLevel": 2, "Action": "deny"}]}
