from __future__ import annotations

from typing import Any

import msgspec
import pytest


@pytest.mark.claim("C48", "C61")
def test_the_cluster_is_private_sealed_and_audited(production: Any) -> None:
    (row,) = production.properties("AWS::EKS::Cluster")
    network = row["ResourcesVpcConfig"]
    assert (network["EndpointPrivateAccess"], network["EndpointPublicAccess"]) == (True, False)
    assert row["EncryptionConfig"][0]["Resources"] == ["secrets"]
    assert {kind["Type"] for kind in row["Logging"]["ClusterLogging"]["EnabledTypes"]} == {
        "api",
        "audit",
        "authenticator",
    }
    assert row["AccessConfig"]["BootstrapClusterCreatorAdminPermissions"] is False


def test_its_log_group_exists_before_it_does(production: Any) -> None:
    resources = production.templates["Cluster"]["Resources"]
    (cluster,) = [row for row in resources.values() if row["Type"] == "AWS::EKS::Cluster"]
    names = {
        name
        for name, row in resources.items()
        if row.get("Properties", {}).get("LogGroupName") == "/aws/eks/therouter-production/cluster"
    }
    assert names & set(cluster["DependsOn"])


@pytest.mark.claim("C23")
def test_policies_are_enforced(production: Any) -> None:
    (cni,) = [row for row in production.properties("AWS::EKS::Addon") if row["AddonName"] == "vpc-cni"]
    assert msgspec.json.decode(cni["ConfigurationValues"])["enableNetworkPolicy"] == "true"
    names = {row["AddonName"] for row in production.properties("AWS::EKS::Addon")}
    assert {"metrics-server", "eks-pod-identity-agent", "coredns", "kube-proxy"} <= names


@pytest.mark.claim("C38")
def test_nodes_keep_their_identity_to_themselves(production: Any) -> None:
    rows = [row["LaunchTemplateData"] for row in production.properties("AWS::EC2::LaunchTemplate")]
    assert len(rows) == 2
    for row in rows:
        assert (row["MetadataOptions"]["HttpTokens"], row["MetadataOptions"]["HttpPutResponseHopLimit"]) == (
            "required",
            1,
        )
        assert row["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
        assert "KeyName" not in row, "nobody signs in to a node"


@pytest.mark.claim("C70")
def test_nodes_carry_the_recovery_tag_themselves(production: Any) -> None:
    for row in production.properties("AWS::EC2::LaunchTemplate"):
        (instance,) = [t for t in row["LaunchTemplateData"]["TagSpecifications"] if t["ResourceType"] == "instance"]
        tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
        assert (tags["therouter:auto-recovery"], tags["therouter:stage"]) == ("true", "production")


@pytest.mark.claim("C35")
def test_the_pools_are_apart_and_the_gateways_carries_nothing_else(production: Any) -> None:
    pools = {row["Labels"]["therouter.ai/pool"]: row for row in production.properties("AWS::EKS::Nodegroup")}
    assert set(pools) == {"gateway", "provider"}
    assert pools["gateway"]["Taints"] == [{"Effect": "NO_SCHEDULE", "Key": "therouter.ai/pool", "Value": "gateway"}]
    assert pools["gateway"]["Subnets"] != pools["provider"]["Subnets"]
    assert all(row["NodeRepairConfig"] == {"Enabled": True} for row in pools.values())


@pytest.mark.claim("C35")
def test_each_pod_has_an_identity_of_its_own(production: Any) -> None:
    rows = production.properties("AWS::EKS::PodIdentityAssociation")
    accounts = [row["ServiceAccount"] for row in rows]
    roles = [str(row["RoleArn"]) for row in rows]
    assert len(set(accounts)) == len(accounts) == len(set(roles))
    assert {"gateway", "relay", "provider-openai"} <= set(accounts)


@pytest.mark.claim("C61")
def test_only_the_named_operators_administer_it(production: Any) -> None:
    rows = production.properties("AWS::EKS::AccessEntry")
    people = [str(row["PrincipalArn"]) for row in rows if "role/Founder" in str(row["PrincipalArn"])]
    assert len(people) == 1
    assert len(rows) == 2, "the operator and the CDK's hand"
