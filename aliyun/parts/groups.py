"""Security groups: whom each kind of caller talks with. What no line here allows is refused."""

from __future__ import annotations

from typing import NamedTuple

from aliyun.base import Export, Resource, RouterStack
from handlers.workloads import DATABASE_PORT, GATEWAY_PORT


class Rule(NamedTuple):
    """One line of a security group: protocol, port range, and the network at the other end."""

    protocol: str
    ports: str
    network: str


class Addresses(NamedTuple):
    """The networks of the VPC by purpose."""

    ingress: list[str]
    database: list[str]
    function: list[str]
    gateway: list[str]
    provider: list[str]
    relay: list[str]

    @property
    def cluster(self) -> list[Rule]:
        """Everything between nodes and pods; network policies narrow it further."""
        return [Rule("all", "-1/-1", network) for network in (*self.gateway, *self.provider, *self.relay)]


HTTPS = Rule("tcp", "443/443", "0.0.0.0/0")
CLOUD_SERVICES = Rule("all", "-1/-1", "100.64.0.0/10")
"""Name servers, registries and APIs inside the cloud's own address range."""


def build_group(stack: RouterStack, vpc: Resource, name: str, addresses: Addresses) -> Export:
    """The group of one kind of caller."""
    group = stack.add(
        f"{name.capitalize()}Group",
        "ALIYUN::ECS::SecurityGroup",
        {
            "VpcId": vpc.ref,
            "SecurityGroupName": stack.physical(name),
            "SecurityGroupType": "enterprise",
            "Description": f"Whom a {name} talks with; nobody unless a rule here says so",
            "SecurityGroupIngress": [_line(rule, "SourceCidrIp") for rule in _admitted(name, addresses)],
            "SecurityGroupEgress": [_line(rule, "DestCidrIp") for rule in _reached(name, addresses)],
        },
    )
    return stack.export(f"{name.capitalize()}GroupId", group.att("SecurityGroupId"), f"Security group of {name}")


def _line(rule: Rule, other_end: str) -> dict[str, object]:
    protocol, ports, network = rule
    return {"IpProtocol": protocol, "PortRange": ports, other_end: network, "Policy": "accept", "Priority": 1}


def _to(port: int, networks: list[str]) -> list[Rule]:
    return [Rule("tcp", f"{port}/{port}", network) for network in networks]


def _admitted(name: str, addresses: Addresses) -> list[Rule]:
    """Who may call: the cluster itself, the load balancers the gateway's pool, functions the load balancer of the door."""
    if name == "function":
        return []
    if name == "door":
        return _to(DATABASE_PORT, addresses.function)
    balancers = [*_to(GATEWAY_PORT, addresses.ingress), *_to(DATABASE_PORT, addresses.ingress)]
    return [*addresses.cluster, *(balancers if name == "gateway" else ())]


def _reached(name: str, addresses: Addresses) -> list[Rule]:
    """Whom it may call: the cluster, the cloud's own services, and what its work needs."""
    if name == "door":
        return _to(DATABASE_PORT, addresses.gateway)
    more = {
        "gateway": _to(DATABASE_PORT, addresses.database),
        "function": [*_to(DATABASE_PORT, addresses.ingress), HTTPS],
        "relay": [HTTPS],
    }
    cluster = [] if name == "function" else addresses.cluster
    return [*cluster, CLOUD_SERVICES, *more.get(name, ())]
