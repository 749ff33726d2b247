"""The statements of web ACL rules, in few words."""

from __future__ import annotations

from aws_cdk import aws_wafv2 as wafv2

Acl = wafv2.CfnWebACL
_PLAIN = Acl.TextTransformationProperty(priority=0, type="NONE")
_PATH = Acl.FieldToMatchProperty(uri_path={})


def path_begins(prefix: str) -> Acl.StatementProperty:
    """The path begins so."""
    return Acl.StatementProperty(
        byte_match_statement=Acl.ByteMatchStatementProperty(
            field_to_match=_PATH,
            positional_constraint="STARTS_WITH",
            search_string=prefix,
            text_transformations=[_PLAIN],
        )
    )


def header_matches(name: str, pattern: str) -> Acl.StatementProperty:
    """A header matches a pattern."""
    return Acl.StatementProperty(
        regex_match_statement=Acl.RegexMatchStatementProperty(
            field_to_match=Acl.FieldToMatchProperty(single_header={"Name": name}),
            regex_string=pattern,
            text_transformations=[_PLAIN],
        )
    )


def rate_above(limit: int, window_s: int, *, key_header: str = "", but_for: str) -> Acl.StatementProperty:
    """More requests than that per key or, without a header, per address; one path is not counted."""
    key = Acl.RateLimitHeaderProperty(name=key_header, text_transformations=[_PLAIN])
    return Acl.StatementProperty(
        rate_based_statement=Acl.RateBasedStatementProperty(
            limit=limit,
            evaluation_window_sec=window_s,
            aggregate_key_type="CUSTOM_KEYS" if key_header else "IP",
            custom_keys=[Acl.RateBasedStatementCustomKeyProperty(header=key)] if key_header else None,
            scope_down_statement=none_of(path_begins(but_for)),
        )
    )


def none_of(statement: Acl.StatementProperty) -> Acl.StatementProperty:
    """It does not hold."""
    return Acl.StatementProperty(not_statement=Acl.NotStatementProperty(statement=statement))


def all_of(*statements: Acl.StatementProperty) -> Acl.StatementProperty:
    """All hold."""
    return Acl.StatementProperty(and_statement=Acl.AndStatementProperty(statements=list(statements)))


def any_of(*statements: Acl.StatementProperty) -> Acl.StatementProperty:
    """One holds."""
    return Acl.StatementProperty(or_statement=Acl.OrStatementProperty(statements=list(statements)))


def labelled(*namespaces: str) -> Acl.StatementProperty:
    """A managed rule of one of the groups has put its label on the request."""
    keys = [f"awswaf:managed:aws:{namespace}:" for namespace in namespaces]
    match = Acl.LabelMatchStatementProperty
    return any_of(*(Acl.StatementProperty(label_match_statement=match(scope="NAMESPACE", key=key)) for key in keys))
