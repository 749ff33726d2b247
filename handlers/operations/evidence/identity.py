"""Who may read which secret, with which key, and who is trusted."""

from __future__ import annotations

import fnmatch
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from handlers.operations.evidence.account import Account, Missing, Row
from handlers.workloads import store_name
from stacks.policy import Policy

READ = "secretsmanager:GetSecretValue"
DEPLOYERS = {"cloudformation.amazonaws.com"}
HASH_LETTERS = 8
"""A logical id ends with this many letters of a hash."""


def _roles(account: Account) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = account.remember(
        ("roles",), lambda: list(account.pages("iam", "list_roles", "Roles"))
    )
    return found


def _statements(account: Account, role: str) -> list[dict[str, Any]]:
    """All statements of a role: inline policies and those of the account that are attached to it."""
    iam = account.client("iam")

    def ask() -> list[dict[str, Any]]:
        names = list(account.pages("iam", "list_role_policies", "PolicyNames", RoleName=role))
        documents = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
        for row in account.pages("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=role):
            version = iam.get_policy(PolicyArn=row["PolicyArn"])["Policy"]["DefaultVersionId"]
            policy = iam.get_policy_version(PolicyArn=row["PolicyArn"], VersionId=version)
            documents.append(policy["PolicyVersion"]["Document"])
        return [statement for document in documents for statement in _listed(document["Statement"])]

    found: list[dict[str, Any]] = account.remember(("statements", role), ask)
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _may_read(statement: dict[str, Any], arn: str) -> bool:
    actions, resources = _listed(statement.get("Action", [])), _listed(statement.get("Resource", []))
    return (
        statement["Effect"] == "Allow"
        and any(fnmatch.fnmatchcase(READ.lower(), action.lower()) for action in actions)
        and any(fnmatch.fnmatchcase(arn, resource) for resource in resources)
    )


def runs_code(role: dict[str, Any]) -> bool:
    """Whether programs take this role. People's roles and the deployment's own are the access entries' and C61's business."""
    principals = [s.get("Principal", {}) for s in _listed(role["AssumeRolePolicyDocument"]["Statement"])]
    services = {name for p in principals if isinstance(p, dict) for name in _listed(p.get("Service", []))}
    return bool(services - DEPLOYERS) or "*" in principals


def _secrets(account: Account) -> dict[str, dict[str, Any]]:
    """Short name -> secret, of this stage."""
    prefix = store_name(account.stage, "")
    rows = account.remember(("secrets",), lambda: list(account.pages("secretsmanager", "list_secrets", "SecretList")))
    return {row["Name"].removeprefix(prefix): row for row in rows if row["Name"].startswith(prefix)}


def _readers(account: Account, secret: str) -> set[str]:
    known = _secrets(account)
    if secret not in known:
        raise Missing(f"there is no secret {secret}")
    arn = known[secret]["ARN"]
    return {
        role["RoleName"]
        for role in _roles(account)
        if runs_code(role) and any(_may_read(statement, arn) for statement in _statements(account, role["RoleName"]))
    }


def _workloads(account: Account) -> dict[str, str]:
    """Role name -> the workload that it belongs to, in the letters of a logical id."""
    roles = [row for row in account.resources("Secrets") if row.kind == "AWS::IAM::Role"]
    return {row.physical: row.logical[:-HASH_LETTERS].removeprefix("Role") for row in roles}


def _only_reader(account: Account, secret: str, workload: str) -> list[str]:
    own = re.sub(r"[^A-Za-z0-9]", "", workload)
    readers = {name: _workloads(account).get(name, "") for name in _readers(account, secret)}
    found = [f"{secret} is read by {name}" for name, reader in sorted(readers.items()) if reader != own]
    return found + ([] if own in readers.values() else [f"{secret} is not read by its own workload"])


def _providers(account: Account) -> list[str]:
    return sorted(name.removeprefix("provider/") for name in _secrets(account) if name.startswith("provider/"))


def _provider_secrets(account: Account, _policy: Policy) -> list[str]:
    slugs = _providers(account)
    found = [] if slugs else ["there is no provider's secret"]
    for slug in slugs:
        found += _only_reader(account, f"provider/{slug}", f"provider-{slug}")
    return found


def _seal_secrets(account: Account, _policy: Policy) -> list[str]:
    return [line for slug in _providers(account) for line in _only_reader(account, f"seal/{slug}", f"provider-{slug}")]


def _payment_secrets(account: Account, _policy: Policy) -> list[str]:
    return _only_reader(account, "payments/stripe", "payments")


def _separate_keys(account: Account, _policy: Policy) -> list[str]:
    """No two providers' secrets are encrypted with one key, and none with the default key."""
    secrets = _secrets(account)
    used: dict[str, str] = {}
    found = []
    for slug in _providers(account):
        key = secrets[f"provider/{slug}"].get("KmsKeyId") or "the account's default key"
        if key in used:
            found.append(f"{slug} and {used[key]} share {key}")
        used[key] = slug
    return found


def _trust(account: Account, _policy: Policy) -> list[str]:
    """A workload's role is taken by its service alone, and by no other account."""
    known = _workloads(account)
    found = []
    for role in [role for role in _roles(account) if role["RoleName"] in known]:
        for statement in _listed(role["AssumeRolePolicyDocument"]["Statement"]):
            principals = statement.get("Principal", {})
            services = _listed(principals.get("Service", [])) if isinstance(principals, dict) else ["*"]
            strangers = set(services) - {"pods.eks.amazonaws.com", "lambda.amazonaws.com"}
            strangers |= set(_listed(principals.get("AWS", []))) if isinstance(principals, dict) else set()
            found += [f"{role['RoleName']} trusts {stranger}" for stranger in sorted(strangers)]
    return found


def _secret_age(account: Account, policy: Policy) -> list[str]:
    oldest = datetime.now(UTC) - timedelta(days=policy.secret_age_days_max)
    rows = _secrets(account).items()
    return [f"{name} is due" for name, row in rows if row.get("LastChangedDate", row["CreatedDate"]) < oldest]


ROWS = (
    Row("C20", "A provider's credential is read by that provider's pod alone.", _provider_secrets),
    Row("C16", "A provider's sealing key is read by that provider's pod alone.", _seal_secrets),
    Row("C35", "No two providers share an encryption key.", _separate_keys),
    Row("C46", "Workloads' roles trust their own service and no other account.", _trust),
    Row("C53", "Payment credentials are read by the payment service alone.", _payment_secrets),
    Row("C63", "No secret is older than 90 days.", _secret_age),
)
