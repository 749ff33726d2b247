"""The web ACL at the edge, for an API whose bodies are prompts.

Prompts hold SQL, HTML, shell and file paths, so the managed rules that read bodies only count. One rule of ours then blocks what they
marked, everywhere but on the prompt paths: the console and the admin API keep full protection, and no customer is turned away
for what they asked a model. Request line, query and headers are checked everywhere. Samples stay off: they would keep headers,
and API keys with them.
"""

from __future__ import annotations

from aws_cdk import aws_wafv2 as wafv2

from stacks.base import RouterStack
from stacks.parts.web_acl_statements import all_of, any_of, header_matches, labelled, none_of, path_begins, rate_above

Acl = wafv2.CfnWebACL
PROMPT_PATHS = ("/v1/", "/v1beta/")
KEY_HEADERS = ("authorization", "x-api-key")
"""Where clients of the different dialects put their key."""
HEALTH_PATH = "/healthz"

MANAGED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("AWSManagedRulesAmazonIpReputationList", "", ()),
    (
        "AWSManagedRulesCommonRuleSet",
        "core-rule-set",
        (
            "SizeRestrictions_BODY",
            "GenericLFI_BODY",
            "GenericRFI_BODY",
            "CrossSiteScripting_BODY",
            "EC2MetaDataSSRF_BODY",
            # SDKs leave it out.
            "NoUserAgent_HEADER",
        ),
    ),
    (
        "AWSManagedRulesKnownBadInputsRuleSet",
        "known-bad-inputs",
        ("JavaDeserializationRCE_BODY", "Log4JRCE_BODY", "ReactJSRCE_BODY"),
    ),
    ("AWSManagedRulesSQLiRuleSet", "sql-database", ("SQLi_BODY", "SQLiExtendedPatterns_BODY")),
)
"""Rule group, namespace of its labels, and the rules in it that only count."""


def build_web_acl(stack: RouterStack) -> wafv2.CfnWebACL:
    """The web ACL for CloudFront."""
    policy = stack.policy
    window_s = policy.edge_rate_window_s
    digits = len(str(policy.edge_body_bytes_max)) + 1
    marked = labelled(*(namespace for _, namespace, _ in MANAGED if namespace))
    prompts = any_of(*map(path_begins, PROMPT_PATHS))
    return Acl(
        stack,
        "WebAcl",
        scope="CLOUDFRONT",
        default_action=Acl.DefaultActionProperty(allow={}),
        visibility_config=_visible("WebAcl"),
        rules=[
            _rule("HugeBody", 5, header_matches("content-length", f"^[0-9]{{{digits},}}$")),
            *(_managed(10 + place, *group) for place, group in enumerate(MANAGED)),
            _rule("BodyHitsOutsidePrompts", 50, all_of(marked, none_of(prompts))),
            *(
                # An office behind one address is many customers, so keys have a count of their own.
                _rule(
                    f"RatePerKey-{header}",
                    60 + place,
                    rate_above(policy.edge_requests_per_key_max, window_s, key_header=header, but_for=HEALTH_PATH),
                )
                for place, header in enumerate(KEY_HEADERS)
            ),
            _rule(
                "RatePerAddress", 65, rate_above(policy.edge_requests_per_address_max, window_s, but_for=HEALTH_PATH)
            ),
        ],
    )


def _visible(name: str) -> Acl.VisibilityConfigProperty:
    return Acl.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=False
    )


def _rule(name: str, priority: int, statement: Acl.StatementProperty) -> Acl.RuleProperty:
    return Acl.RuleProperty(
        name=name,
        priority=priority,
        action=Acl.RuleActionProperty(block={}),
        statement=statement,
        visibility_config=_visible(name),
    )


def _managed(priority: int, name: str, _namespace: str, counted: tuple[str, ...]) -> Acl.RuleProperty:
    return Acl.RuleProperty(
        name=name,
        priority=priority,
        override_action=Acl.OverrideActionProperty(none={}),
        visibility_config=_visible(name),
        statement=Acl.StatementProperty(
            managed_rule_group_statement=Acl.ManagedRuleGroupStatementProperty(
                vendor_name="AWS",
                name=name,
                rule_action_overrides=[
                    Acl.RuleActionOverrideProperty(name=rule, action_to_use=Acl.RuleActionProperty(count={}))
                    for rule in counted
                ],
            )
        ),
    )
