"""The firewall at the edge, for an API whose bodies are prompts.

Prompts hold SQL, HTML, shell and file paths. The managed rules of this firewall cannot be told to leave only bodies out, so the
groups that look for injections are skipped on the prompt paths and act everywhere else; reputation, protocol and scanner rules
act on all paths.
"""

from __future__ import annotations

from typing import Any

from aliyun.base import Resource, RouterStack

PROMPT_PATHS = ("/v1/", "/v1beta/")
KEY_HEADERS = ("authorization", "x-api-key")
"""Where clients of the different dialects put their key."""
HEALTH_PATH = "/healthz"
INJECTION_GROUPS = ("sqli", "xss", "code_exec", "crlf", "lfi", "rfi", "webshell", "ssrf", "php_inject", "java_inject")


def build_web_acl(stack: RouterStack, site: Resource) -> None:
    """The rules of the site, in the order in which the edge applies them."""
    policy = stack.policy
    digits = len(str(policy.edge_body_bytes_max)) + 1
    _rule(stack, site, "PromptsAreNotAttacks", "http_whitelist", _skip_on_prompt_paths())
    _rule(
        stack,
        site,
        "HugeBody",
        "http_custom",
        _deny(f'http.request.headers["content-length"] matches "^[0-9]{{{digits},}}$"'),
    )
    # Refused, not redirected: a key that was sent in clear must not be sent twice.
    _rule(stack, site, "PlainHttp", "http_custom", _deny("not ssl"))
    for header in KEY_HEADERS:
        field = f'http.request.headers["{header}"]'
        rate = _rate(field, f'{field} ne ""', policy.edge_requests_per_key_max, policy.edge_rate_window_s)
        _rule(stack, site, f"RatePerKey-{header}", "http_ratelimit", rate)
    rate = _rate("ip.src", "", policy.edge_requests_per_address_max, policy.edge_rate_window_s)
    _rule(stack, site, "RatePerAddress", "http_ratelimit", rate)
    managed = {"Action": "deny", "ManagedRulesets": [{"AttackType": 0, "ProtectionLevel": 2, "Action": "deny"}]}
    _rule(stack, site, "ManagedRules", "http_managed", managed, RulesetId=stack.settings.esa_ruleset)


def _rule(stack: RouterStack, site: Resource, name: str, phase: str, config: dict[str, Any], **more: int) -> None:
    stack.add(
        "".join(part[0].upper() + part[1:] for part in name.split("-")),
        "ALIYUN::ESA::WafRule",
        {"SiteId": site.att("SiteId"), "Phase": phase, "Config": {"Name": name, "Status": "on", **config}, **more},
    )


def _deny(expression: str) -> dict[str, Any]:
    return {"Expression": f"({expression})", "Action": "deny"}


def _skip_on_prompt_paths() -> dict[str, Any]:
    paths = " or ".join(f'starts_with(http.request.uri.path, "{path}")' for path in PROMPT_PATHS)
    bypass = {"Skip": "part", "RegularTypes": list(INJECTION_GROUPS)}
    return {"Expression": f"({paths})", "Action": "bypass", "Actions": {"Bypass": bypass}}


def _rate(key: str, applies: str, most: int, window_s: int) -> dict[str, Any]:
    """Count per key (an office behind one address is many customers) or per address; never probes."""
    probes = f'http.request.uri.path ne "{HEALTH_PATH}"'
    return {
        **_deny(f"{applies} and {probes}" if applies else probes),
        "RateLimit": {
            "Characteristics": {"Logic": "and", "Criteria": [{"MatchType": key}]},
            "Interval": window_s,
            "Threshold": {"Request": most},
            "Ttl": window_s,
            "OnHit": False,
        },
    }
