from __future__ import annotations

import pytest

from handlers.operations.evidence.identity import _may_read

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
