from __future__ import annotations

import ipaddress
from typing import Any

import pytest


def subnets(production: Any) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in production.properties("AWS::EC2::Subnet", "Network"):
        tags = {tag["Key"]: tag["Value"] for tag in row["Tags"]}
        found.setdefault(tags["aws-cdk:subnet-name"], []).append(row)
    return found


def test_each_kind_of_subnet_is_in_three_zones_and_none_overlap(production: Any) -> None:
    kinds = subnets(production)
    assert set(kinds) == {"public", "ingress", "gateway", "provider", "database"}
    assert all(len({row["AvailabilityZone"] for row in rows}) == 3 for rows in kinds.values())
    ranges = [ipaddress.ip_network(row["CidrBlock"]) for rows in kinds.values() for row in rows]
    assert not any(a.overlaps(b) for a in ranges for b in ranges if a is not b)


@pytest.mark.claim("C58")
def test_nothing_leads_out_of_the_database_and_ingress_subnets(production: Any) -> None:
    resources = production.templates["Network"]["Resources"]
    routes = {name for name, row in resources.items() if row["Type"] == "AWS::EC2::Route"}
    assert len(routes) == 9, "three to the internet gateway, six to NAT"
    assert not any("database" in name or "ingress" in name for name in routes)


def test_no_subnet_hands_out_public_addresses(production: Any) -> None:
    assert not any(row.get("MapPublicIpOnLaunch") for row in production.properties("AWS::EC2::Subnet", "Network"))


@pytest.mark.claim("C57")
def test_refused_connections_are_logged(production: Any) -> None:
    (flow,) = production.properties("AWS::EC2::FlowLog", "Network")
    assert (flow["TrafficType"], flow["ResourceType"]) == ("REJECT", "VPC")


def test_callers_groups_admit_nobody_here(production: Any) -> None:
    """Rules stand with the resource that they open; these groups only say who somebody is."""
    assert all("SecurityGroupIngress" not in row for row in production.properties("AWS::EC2::SecurityGroup", "Network"))
    assert production.properties("AWS::EC2::SecurityGroupIngress", "Network") == []
