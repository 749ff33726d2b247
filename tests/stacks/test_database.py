from __future__ import annotations

from typing import Any

import pytest

from stacks.policy import STAGES


def instance(production: Any) -> dict[str, Any]:
    (row,) = production.resources("AWS::RDS::DBInstance")
    assert isinstance(row, dict)
    return row


@pytest.mark.claim("C58", "C64", "C65", "C68", "C69")
def test_it_is_private_encrypted_doubled_and_backed_up(production: Any) -> None:
    row = instance(production)["Properties"]
    assert row["PubliclyAccessible"] is False
    assert (row["StorageEncrypted"], row["MultiAZ"], row["BackupRetentionPeriod"]) == (True, True, 14)
    assert "KmsKeyId" in row
    assert row["CopyTagsToSnapshot"] is True
    assert row["Engine"] == "postgres"


def test_it_survives_its_stack(production: Any) -> None:
    row = instance(production)
    assert (row["DeletionPolicy"], row["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert row["Properties"]["DeletionProtection"] is True


def test_people_sign_in_with_tokens_and_the_owners_password_is_rdss(production: Any) -> None:
    row = instance(production)["Properties"]
    assert row["EnableIAMDatabaseAuthentication"] is True
    assert row["ManageMasterUserPassword"] is True
    assert "MasterUserPassword" not in row


@pytest.mark.claim("C4", "C62")
def test_tls_is_forced_and_statements_are_not_logged(production: Any) -> None:
    (row,) = production.properties("AWS::RDS::DBParameterGroup")
    parameters = row["Parameters"]
    assert parameters["rds.force_ssl"] == "1"
    assert parameters["log_statement"] == "none"
    assert parameters["log_parameter_max_length_on_error"] == "0"
    assert parameters["password_encryption"] == "scram-sha-256"


@pytest.mark.claim("C57")
@pytest.mark.parametrize("stage", sorted(STAGES))
def test_the_gateways_pool_is_the_one_source_that_is_admitted(stage: str, production: Any, staged: Any) -> None:
    assembly = production if stage == "production" else staged(stage)
    (group,) = assembly.resources("AWS::EC2::SecurityGroup", "Database")
    assert "SecurityGroupIngress" not in group["Properties"]
    (rule,) = assembly.properties("AWS::EC2::SecurityGroupIngress", "Database")
    assert "GatewayNodes" in rule["SourceSecurityGroupId"]["Fn::GetStackOutput"]["OutputName"]
    assert (rule["FromPort"], rule["ToPort"]) == (5432, 5432)
    (database,) = assembly.properties("AWS::RDS::DBInstance")
    assert len(database["VPCSecurityGroups"]) == 1


@pytest.mark.claim("C57")
def test_no_other_stack_opens_the_databases_group(production: Any) -> None:
    for intention in production.templates.keys() - {"Database"}:
        for rule in production.properties("AWS::EC2::SecurityGroupIngress", intention):
            target = rule["GroupId"].get("Fn::GetStackOutput", {})
            assert not str(target.get("StackName", "")).endswith("Database")


@pytest.mark.claim("C47")
def test_there_is_no_copy(production: Any) -> None:
    assert "SourceDBInstanceIdentifier" not in instance(production)["Properties"]
