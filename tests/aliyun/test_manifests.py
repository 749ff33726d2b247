"""What the cluster is given: valid objects, the gateway's routes behind the edge's token, addresses by room."""

from __future__ import annotations

import re
import warnings
from typing import Any

import msgspec
import pytest

from aliyun.base import RouterStack
from aliyun.settings import Settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import kubernetes_validate

OWN_KINDS = {"AlbConfig", "PodNetworking"}
"""Custom resources of this cloud, which have no schema offline."""


@pytest.fixture(scope="module")
def documents(stacks: dict[str, RouterStack]) -> dict[str, list[dict[str, Any]]]:
    """Application -> its objects, with values in place of what ROS fills in."""
    found = {}
    for name, row in stacks["workloads"].template()["Resources"].items():
        content = row["Properties"]["YamlContent"]
        text = content["Fn::Sub"][0] if isinstance(content, dict) else content
        filled = re.sub(r"\$\{(\w+)\}", r"filled-\1", text)
        found[name] = [msgspec.json.decode(part) for part in filled.split("\n---\n")]
    return found


def test_every_object_is_valid_kubernetes(documents: dict[str, list[dict[str, Any]]], settings: Settings) -> None:
    version = ".".join(settings.kubernetes.split(".")[:2])
    for objects in documents.values():
        for one in objects:
            if one["kind"] not in OWN_KINDS:
                kubernetes_validate.validate(one, version, strict=True)


def test_everything_that_ros_fills_in_is_given(stacks: dict[str, RouterStack]) -> None:
    for name, row in stacks["workloads"].template()["Resources"].items():
        content = row["Properties"]["YamlContent"]
        if isinstance(content, dict):
            text, values = content["Fn::Sub"]
            assert set(re.findall(r"\$\{(\w+)\}", text)) == set(values), name
        else:
            assert "${" not in content, name


@pytest.mark.claim("C39")
def test_c39_every_route_demands_the_edges_token(documents: dict[str, list[dict[str, Any]]]) -> None:
    routes = [one for one in documents["Routes"] if one["kind"] == "Ingress"]
    assert [one["metadata"]["name"] for one in routes] == ["gateway", "admin", "payments", "site"]
    for one in routes:
        conditions = [value for key, value in one["metadata"]["annotations"].items() if "/conditions." in key]
        assert conditions
        for text in conditions:
            (condition,) = msgspec.json.decode(text)
            assert condition["headerConfig"] == {"key": "x-therouter-edge", "values": ["filled-EdgeToken"]}


def test_each_backend_of_a_route_has_its_condition(documents: dict[str, list[dict[str, Any]]]) -> None:
    for one in documents["Routes"]:
        if one["kind"] == "Ingress":
            backends = {
                path["backend"]["service"]["name"] for rule in one["spec"]["rules"] for path in rule["http"]["paths"]
            }
            annotated = {key.rpartition(".")[2] for key in one["metadata"]["annotations"] if "/conditions." in key}
            assert backends == annotated


def test_the_listener_speaks_tls_with_our_certificate_and_never_compresses(
    documents: dict[str, list[dict[str, Any]]], settings: Settings
) -> None:
    (config,) = (one for one in documents["Routes"] if one["kind"] == "AlbConfig")
    (listener,) = config["spec"]["listeners"]
    assert (listener["port"], listener["protocol"]) == (443, "HTTPS")
    assert listener["certificates"][0]["CertificateId"] == settings.certificate
    assert listener["idleTimeout"] == settings.policy.edge_keepalive_s
    assert listener["requestTimeout"] == settings.policy.ingress_idle_s
    assert listener["gzipEnabled"] is False


def test_the_gateways_and_the_relays_pods_have_addresses_of_their_own(
    documents: dict[str, list[dict[str, Any]]],
) -> None:
    rooms = {
        one["spec"]["selector"]["podSelector"]["matchLabels"]["therouter.ai/room"]
        for one in documents["Base"]
        if one["kind"] == "PodNetworking"
    }
    assert rooms == {"gateway", "door", "relay"}


@pytest.mark.claim("C57")
def test_the_doors_pods_have_the_gateways_addresses_and_a_load_balancer_that_functions_alone_call(
    documents: dict[str, list[dict[str, Any]]], stacks: dict[str, RouterStack]
) -> None:
    networks = {
        one["spec"]["selector"]["podSelector"]["matchLabels"]["therouter.ai/room"]: one["spec"]["vSwitchOptions"]
        for one in documents["Base"]
        if one["kind"] == "PodNetworking"
    }
    assert networks["door"] == networks["gateway"] != networks["relay"]
    (service,) = (one for one in documents["DatabaseDoor"] if one["metadata"]["name"] == "database-door-balancer")
    prefix = "service.beta.kubernetes.io/alibaba-cloud-loadbalancer"
    assert service["metadata"]["annotations"][f"{prefix}-id"] == "filled-DoorBalancerId"
    assert service["metadata"]["annotations"][f"{prefix}-preserve-client-ip"] == "off"
    assert (service["spec"]["loadBalancerClass"], service["spec"]["ports"][0]["port"]) == ("alibabacloud.com/nlb", 5432)
    group = stacks["network"].template()["Resources"]["DoorGroup"]["Properties"]
    assert {row["SourceCidrIp"] for row in group["SecurityGroupIngress"]} == {
        f"10.64.{zone}.0/24" for zone in (16, 17, 18)
    }


def test_each_service_account_names_its_own_role(documents: dict[str, list[dict[str, Any]]]) -> None:
    accounts = [one for objects in documents.values() for one in objects if one["kind"] == "ServiceAccount"]
    roles = {
        one["metadata"]["name"]: one["metadata"]["annotations"]["pod-identity.alibabacloud.com/role-name"]
        for one in accounts
    }
    assert roles == {name: f"therouter-production-{name}" for name in roles}
    assert {"gateway", "relay", "provider-deepseek", "provider-zhipu"} <= set(roles)
