from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.claim("C57")
def test_functions_alone_may_call_it_and_it_calls_the_gateways_pool_alone(production: Any) -> None:
    (group,) = production.properties("AWS::EC2::SecurityGroup", "Door")
    assert "SecurityGroupIngress" not in group
    rules = production.properties("AWS::EC2::SecurityGroupIngress", "Door")
    sources = [rule["SourceSecurityGroupId"].get("Fn::GetStackOutput", {}).get("OutputName", "own") for rule in rules]
    assert len(rules) == 2
    assert sorted("Functions" if "Functions" in source else source for source in sources) == ["Functions", "own"]
    (egress,) = production.properties("AWS::EC2::SecurityGroupEgress", "Door")
    assert "GatewayNodes" in egress["DestinationSecurityGroupId"]["Fn::GetStackOutput"]["OutputName"]
    assert {(row["FromPort"], row["ToPort"]) for row in (*rules, egress)} == {(5432, 5432)}


def test_it_has_no_public_address_and_spreads_over_the_zones(production: Any) -> None:
    (balancer,) = production.properties("AWS::ElasticLoadBalancingV2::LoadBalancer", "Door")
    assert (balancer["Scheme"], balancer["Type"], len(balancer["Subnets"])) == ("internal", "network", 3)
    assert len(balancer["SecurityGroups"]) == 1


def test_its_targets_are_the_doors_pods(production: Any) -> None:
    (targets,) = production.properties("AWS::ElasticLoadBalancingV2::TargetGroup", "Door")
    assert (targets["Protocol"], targets["Port"], targets["TargetType"]) == ("TCP", 5432, "ip")
    attributes = {row["Key"]: row["Value"] for row in targets["TargetGroupAttributes"]}
    assert attributes["preserve_client_ip.enabled"] == "false"
    text = str(production.properties("Custom::AWSCDK-EKS-KubernetesResource", "Workloads"))
    assert '"kind":"TargetGroupBinding","metadata":{"name":"database-door"' in text


@pytest.mark.claim("C57")
def test_every_function_with_a_role_goes_through_it_and_no_pod_does(production: Any) -> None:
    functions = [
        row["Environment"]["Variables"]
        for row in production.properties("AWS::Lambda::Function")
        if "THEROUTER_DATABASE_ROLE" in row.get("Environment", {}).get("Variables", {})
    ]
    assert len(functions) >= 8
    for variables in functions:
        assert "Door" in variables["THEROUTER_DATABASE_DOOR"]["Fn::GetStackOutput"]["StackName"]
        assert "Database" in variables["THEROUTER_DATABASE_HOST"]["Fn::GetStackOutput"]["StackName"]
    assert "THEROUTER_DATABASE_DOOR" not in str(production.properties("Custom::AWSCDK-EKS-KubernetesResource"))
