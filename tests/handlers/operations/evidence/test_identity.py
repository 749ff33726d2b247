from __future__ import annotations

import pytest

from handlers.operations.evidence.identity import _may_read, runs_code

ARN = "arn:aws:secretsmanager:us-east-2:123456789012:secret:therouter/production/provider/openai-AbCdEf"


@pytest.mark.claim("C20", "C35")
@pytest.mark.parametrize(
    ("action", "resource", "expected"),
    [
        ("secretsmanager:GetSecretValue", ARN, True),
        (["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"], [ARN], True),
        ("secretsmanager:getsecretvalue", ARN, True),
        ("secretsmanager:Get*", "*", True),
        ("*", "*", True),
        ("secretsmanager:*", ARN[:-6] + "??????", True),
        ("secretsmanager:DescribeSecret", ARN, False),
        ("secretsmanager:GetSecretValue", ARN.replace("openai", "mistral"), False),
        ("kms:Decrypt", "*", False),
    ],
)
def test_a_statement_is_understood_with_its_wildcards(action: object, resource: object, expected: bool) -> None:
    assert _may_read({"Effect": "Allow", "Action": action, "Resource": resource}, ARN) is expected


def test_a_refusal_is_no_permission() -> None:
    assert not _may_read({"Effect": "Deny", "Action": "*", "Resource": "*"}, ARN)


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        ({"Service": "pods.eks.amazonaws.com"}, True),
        ({"Service": ["ec2.amazonaws.com", "cloudformation.amazonaws.com"]}, True),
        ({"Service": "cloudformation.amazonaws.com"}, False),
        ({"Federated": "arn:aws:iam::123456789012:saml-provider/people"}, False),
        ({"AWS": "arn:aws:iam::123456789012:root"}, False),
        ("*", True),
    ],
)
def test_a_role_that_programs_take_is_told_from_a_persons(principal: object, expected: bool) -> None:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    assert runs_code({"AssumeRolePolicyDocument": {"Statement": [statement]}}) is expected
