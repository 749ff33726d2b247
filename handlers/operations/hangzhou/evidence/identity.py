"""Who may read which secret, with which key, and who is trusted."""

from __future__ import annotations

import fnmatch
from datetime import UTC, datetime
from typing import Any

import msgspec

from handlers.operations.hangzhou.evidence.account import Account, Fields, Missing, Row, rows_of
from handlers.operations.hangzhou.rotation import check as check_ages
from handlers.operations.hangzhou.rotation import listed_names
from handlers.operations.rotation import RotationEvent
from handlers.workloads import store_name
from stacks.policy import Policy

READ = "kms:GetSecretValue"
OUR_SERVICES = {"fc.aliyuncs.com"}
PAGE = {"MaxItems": "1000"}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _roles(account: Account) -> list[Fields]:
    return [account.ask("ram", "GetRole", RoleName=row["RoleName"])["Role"] for row in _role_rows(account)]


def _role_rows(account: Account) -> list[Any]:
    return rows_of(account.ask("ram", "ListRoles", **PAGE), "Roles", "Role")


def _trust_of(role: Fields) -> list[Fields]:
    document = msgspec.json.decode(role["AssumeRolePolicyDocument"], type=Fields)
    statements: list[Fields] = _listed(document["Statement"])
    return statements


def _statements(account: Account, role: str) -> list[Fields]:
    """All statements of the policies that are attached to a role."""
    attached = rows_of(account.ask("ram", "ListPoliciesForRole", RoleName=role), "Policies", "Policy")
    found: list[Fields] = []
    for row in attached:
        told = account.ask("ram", "GetPolicy", PolicyName=row["PolicyName"], PolicyType=row["PolicyType"])
        document = msgspec.json.decode(told["DefaultPolicyVersion"]["PolicyDocument"], type=Fields)
        found += _listed(document["Statement"])
    return found


def _may_read(statement: Fields, arn: str) -> bool:
    return (
        statement["Effect"] == "Allow"
        and any(fnmatch.fnmatchcase(READ.lower(), action.lower()) for action in _listed(statement["Action"]))
        and any(fnmatch.fnmatchcase(arn, resource) for resource in _listed(statement["Resource"]))
    )


def _secret(account: Account, name: str) -> Fields:
    return account.ask("kms", "DescribeSecret", SecretName=store_name(account.stage, name))


def _runs_code(role: Fields) -> bool:
    """Whether programs take this role; people's roles and the cloud's own are ActionTrail's business."""
    principals = [statement.get("Principal", {}) for statement in _trust_of(role)]
    services = {name for p in principals for name in _listed(p.get("Service", []))}
    return bool(services & OUR_SERVICES) or any("Federated" in p or "*" in str(p) for p in principals)


def _only_reader(account: Account, secret: str, workload: str) -> list[str]:
    arn = _secret(account, secret)["Arn"]
    readers = {
        role["RoleName"]
        for role in _roles(account)
        if _runs_code(role) and any(_may_read(statement, arn) for statement in _statements(account, role["RoleName"]))
    }
    own = f"therouter-{account.stage}-{workload}"
    found = [f"{secret} is read by {name}" for name in sorted(readers - {own})]
    return found + ([] if own in readers else [f"{secret} is not read by its own workload"])


def _providers(account: Account) -> list[str]:
    prefix = store_name(account.stage, "provider/")
    found = sorted(name.removeprefix(prefix) for name in listed_names(prefix))
    if not found:
        raise Missing("there is no provider's secret")
    return found


def _provider_secrets(account: Account, _policy: Policy) -> list[str]:
    slugs = _providers(account)
    return [line for slug in slugs for line in _only_reader(account, f"provider/{slug}", f"provider-{slug}")]


def _seal_secrets(account: Account, _policy: Policy) -> list[str]:
    return [line for slug in _providers(account) for line in _only_reader(account, f"seal/{slug}", f"provider-{slug}")]


def _payment_secrets(account: Account, _policy: Policy) -> list[str]:
    return _only_reader(account, "payments/wechat", "payments")


def _separate_keys(account: Account, _policy: Policy) -> list[str]:
    """No two providers' secrets are encrypted with one key, and none without a key of ours."""
    used: dict[str, str] = {}
    found = []
    for slug in _providers(account):
        key = _secret(account, f"provider/{slug}").get("EncryptionKeyId") or "the store's default key"
        if key in used:
            found.append(f"{slug} and {used[key]} share {key}")
        used[key] = slug
    return found


def _trust(account: Account, _policy: Policy) -> list[str]:
    """A workload's role is taken by functions, or by one service account of our cluster, and by no other account."""
    found = []
    for role in [role for role in _roles(account) if role["RoleName"].startswith(f"therouter-{account.stage}-")]:
        name = role["RoleName"]
        for statement in _trust_of(role):
            principal = statement.get("Principal", {})
            strangers = [
                *_listed(principal.get("RAM", [])),
                *(set(_listed(principal.get("Service", []))) - OUR_SERVICES),
            ]
            found += [f"{name} trusts {stranger}" for stranger in strangers]
            subjects = statement.get("Condition", {}).get("StringEquals", {}).get("oidc:sub", [])
            if "Federated" in principal and len(_listed(subjects)) != 1:
                found.append(f"{name} trusts {len(_listed(subjects))} service accounts")
    return found


def _secret_age(account: Account, policy: Policy) -> list[str]:
    event = RotationEvent(store_name(account.stage, ""), policy.secret_age_days_max)
    return [f"{name} is due" for name in check_ages(event, datetime.now(UTC)).due]


ROWS = (
    Row("C20", "A provider's credential is read by that provider's pod alone.", _provider_secrets),
    Row("C16", "A provider's sealing key is read by that provider's pod alone.", _seal_secrets),
    Row("C35", "No two providers share an encryption key.", _separate_keys),
    Row("C46", "Workloads' roles trust their own service and no other account.", _trust),
    Row("C53", "Payment credentials are read by the payment service alone.", _payment_secrets),
    Row("C63", "No secret is older than 90 days.", _secret_age),
)
