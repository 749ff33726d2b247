"""The ways out of the network: address translation for those who may call out, and a way to the object store inside."""

from __future__ import annotations

from collections.abc import Sequence

from aliyun.base import Resource, RouterStack
from aliyun.settings import REGION


def build_ways_out(
    stack: RouterStack, vpc: Resource, places: Sequence[Resource], sources: Sequence[Sequence[Resource]]
) -> None:
    """As many gateways as the policy says, in the `places` of their zones; `sources` are each zone's vSwitches that may use them."""
    count = stack.policy.nat_gateways
    for index in range(count):
        gateway = stack.add(
            f"Nat{index}",
            "ALIYUN::VPC::NatGateway",
            {
                "VpcId": vpc.ref,
                "VSwitchId": places[index].ref,
                "NatType": "Enhanced",
                "NetworkType": "internet",
                "InternetChargeType": "PayByLcu",
                "NatGatewayName": stack.physical("nat", str(index)),
                "DeletionProtection": True,
            },
        )
        address, bound = _address(stack, gateway, index)
        switches = [switch for zone, row in enumerate(sources) if zone % count == index for switch in row]
        stack.add(
            f"Snat{index}",
            "ALIYUN::VPC::SnatEntry",
            {
                "SnatTableId": gateway.att("SNatTableId"),
                "SourceVSwitchIds": [switch.ref for switch in switches],
                "SnatIp": address.att("EipAddress"),
                "SnatEntryName": stack.physical("snat", str(index)),
            },
            after=(bound,),
        )


def _address(stack: RouterStack, gateway: Resource, index: int) -> tuple[Resource, Resource]:
    """A public address, and its binding to the gateway."""
    name = stack.physical("nat", str(index))
    address = stack.add(
        f"NatAddress{index}",
        "ALIYUN::VPC::EIP",
        {"Bandwidth": 200, "InternetChargeType": "PayByTraffic", "Name": name},
    )
    bound = stack.add(
        f"NatBinding{index}",
        "ALIYUN::VPC::EIPAssociation",
        {"AllocationId": address.att("AllocationId"), "InstanceId": gateway.att("NatGatewayId")},
    )
    return address, bound


def build_storage_endpoint(stack: RouterStack, vpc: Resource) -> None:
    """The object store, without a way over the internet."""
    stack.add(
        "StorageEndpoint",
        "ALIYUN::VPC::VpcGatewayEndpoint",
        {"VpcId": vpc.ref, "ServiceName": f"com.aliyun.{REGION}.oss", "EndpointName": stack.physical("oss")},
    )
