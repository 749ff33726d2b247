from __future__ import annotations

from typing import Any

import pytest

from handlers.catalog.loading import load_catalog
from handlers.workloads import deployable, renewed_secrets, secrets, workloads

PROVIDERS = {row.slug: row for row in deployable(load_catalog("global").providers)}


def readable(production: Any) -> dict[str, set[str]]:
    """Role (without its hash) -> secrets that its policies let it read, as logical ids without their hash."""
    found: dict[str, set[str]] = {}
    for row in production.properties("AWS::IAM::Policy", "Secrets"):
        role = row["Roles"][0]["Ref"][4:-8]
        for statement in row["PolicyDocument"]["Statement"]:
            if "secretsmanager:GetSecretValue" in statement["Action"]:
                resources = (
                    statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
                )
                found.setdefault(role, set()).update(resource["Ref"][6:-8] for resource in resources)
    return found


def letters(name: str) -> str:
    return "".join(character for character in name if character.isalnum())


@pytest.mark.claim("C16", "C20", "C35", "C53", "C59")
def test_each_role_reads_exactly_the_secrets_of_its_row(production: Any) -> None:
    wanted = {
        letters(row.name): {letters(secret) for secret in row.secrets}
        for row in workloads("global", PROVIDERS)
        if row.secrets
    }
    assert readable(production) == wanted


@pytest.mark.claim("C63")
def test_every_secret_is_named_for_its_environment_and_kept(production: Any) -> None:
    rows = production.resources("AWS::SecretsManager::Secret", "Secrets")
    names = {row["Properties"]["Name"] for row in rows}
    assert names == {f"therouter/production/{name}" for name in secrets("global", PROVIDERS)}
    assert {row["DeletionPolicy"] for row in rows} == {"Retain"}


@pytest.mark.claim("C35", "C63")
def test_no_two_providers_share_a_key_and_none_has_another_purposes(production: Any) -> None:
    rows = production.properties("AWS::SecretsManager::Secret", "Secrets")
    keys = {row["Name"].removeprefix("therouter/production/"): row["KmsKeyId"]["Fn::GetAtt"][0] for row in rows}
    of_provider = {slug: keys[f"provider/{slug}"] for slug in PROVIDERS}
    assert len(set(of_provider.values())) == len(PROVIDERS)
    assert all(keys[f"seal/{slug}"] == of_provider[slug] for slug in PROVIDERS)
    others = {key for name, key in keys.items() if not name.startswith(("provider/", "seal/")) or name == "seal/public"}
    assert not others & set(of_provider.values())


@pytest.mark.claim("C35", "C46")
def test_pods_roles_are_taken_through_pod_identity_and_functions_roles_by_lambda_alone(production: Any) -> None:
    services = set()
    for row in production.properties("AWS::IAM::Role", "Secrets"):
        (statement,) = row["AssumeRolePolicyDocument"]["Statement"]
        assert set(statement["Principal"]) == {"Service"}
        services.add(statement["Principal"]["Service"])
    assert services == {"pods.eks.amazonaws.com", "lambda.amazonaws.com"}


def test_a_pods_role_may_do_nothing_but_read_its_secrets(production: Any) -> None:
    for row in production.properties("AWS::IAM::Policy", "Secrets"):
        role = row["Roles"][0]["Ref"]
        if role.startswith(("Rolegateway", "Roleprovider", "Rolerelay")):
            actions = {action for s in row["PolicyDocument"]["Statement"] for action in _listed(s["Action"])}
            assert actions <= {"secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret", "kms:Decrypt"}


def test_notices_are_sent_by_two_functions_from_one_address(production: Any, context: dict[str, object]) -> None:
    senders = {}
    for row in production.properties("AWS::IAM::Policy", "Secrets"):
        for statement in row["PolicyDocument"]["Statement"]:
            if "ses:SendEmail" in _listed(statement["Action"]):
                senders[row["Roles"][0]["Ref"][4:-8]] = (statement["Resource"], statement["Condition"])
    identity = f"arn:aws:ses:us-east-2:{context['account']}:identity/{context['zone_name']}"
    condition = {"StringEquals": {"ses:FromAddress": f"notices@{context['zone_name']}"}}
    assert senders == {"admin": (identity, condition), "spending": (identity, condition)}


@pytest.mark.claim("C16", "C59")
def test_c16_rotation_puts_what_it_cannot_read(production: Any) -> None:
    """It may replace every key and password that is ours, and get the values of two secrets that are not private keys."""
    (policy,) = (
        row for row in production.properties("AWS::IAM::Policy", "Secrets") if row["Roles"][0]["Ref"].startswith("Rolerenewal")
    )  # fmt: skip
    puts = set()
    for statement in policy["PolicyDocument"]["Statement"]:
        actions = set(_listed(statement["Action"]))
        if "secretsmanager:PutSecretValue" in actions:
            assert "secretsmanager:GetSecretValue" not in actions
            puts |= {resource["Ref"][6:-8] for resource in _listed(statement["Resource"])}
        if "kms:GenerateDataKey" in actions:
            service = statement["Condition"]["StringEquals"]["kms:ViaService"]
            assert service == "secretsmanager.us-east-2.amazonaws.com"
    assert puts == {letters(name) for name in renewed_secrets("global", PROVIDERS)}
    readable_names = {letters(name) for name in ("keys/mint", "seal/public", "audit/digest", "database/rotation")}
    assert readable(production)["renewal"] == readable_names


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
