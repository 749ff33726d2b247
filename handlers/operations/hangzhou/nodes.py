"""The nodes of ours that run, with the addresses of their pods. No other instance is ever named."""

from __future__ import annotations

from datetime import datetime

import msgspec

from handlers.operations.alarms import RECOVERY_TAG, STAGE_TAG
from handlers.operations.hangzhou.api import PAGE_ROWS, ask
from handlers.operations.watchdog import Node


class Instance(msgspec.Struct, frozen=True):
    """One instance."""

    id: str = msgspec.field(name="InstanceId")
    started_at: str = msgspec.field(name="StartTime", default="")


class _Instances(msgspec.Struct, frozen=True):
    rows: list[Instance] = msgspec.field(name="Instance")


class _InstancePage(msgspec.Struct, frozen=True):
    total: int = msgspec.field(name="TotalCount")
    instances: _Instances = msgspec.field(name="Instances")


class _Address(msgspec.Struct, frozen=True):
    address: str = msgspec.field(name="PrivateIpAddress")


class _Addresses(msgspec.Struct, frozen=True):
    rows: list[_Address] = msgspec.field(name="PrivateIpSet", default_factory=list)


class _Interface(msgspec.Struct, frozen=True):
    addresses: _Addresses = msgspec.field(name="PrivateIpSets", default_factory=_Addresses)


class _Interfaces(msgspec.Struct, frozen=True):
    rows: list[_Interface] = msgspec.field(name="NetworkInterfaceSet", default_factory=list)


class _InterfacePage(msgspec.Struct, frozen=True):
    interfaces: _Interfaces = msgspec.field(name="NetworkInterfaceSets", default_factory=_Interfaces)


def running_instances(stage: str) -> tuple[Instance, ...]:
    """The instances that carry the recovery tag and the stage's tag, and run."""
    form = {
        "Status": "Running",
        "PageSize": str(PAGE_ROWS),
        "Tag.1.Key": RECOVERY_TAG,
        "Tag.1.Value": "true",
        "Tag.2.Key": STAGE_TAG,
        "Tag.2.Value": stage,
    }
    found: list[Instance] = []
    page = 1
    while True:
        answer = ask("ecs", "DescribeInstances", _InstancePage, {**form, "PageNumber": str(page)})
        found += answer.instances.rows
        if not answer.instances.rows or len(found) >= answer.total:
            return tuple(found)
        page += 1


def running_nodes(stage: str) -> tuple[Node, ...]:
    """The same with their pods' addresses, which are those of the interfaces attached to them."""
    return tuple(Node(row.id, _moment(row.started_at), _addresses(row.id)) for row in running_instances(stage))


def _addresses(instance: str) -> frozenset[str]:
    form = {"InstanceId": instance, "PageSize": str(PAGE_ROWS)}
    answer = ask("ecs", "DescribeNetworkInterfaces", _InterfacePage, form)
    return frozenset(row.address for interface in answer.interfaces.rows for row in interface.addresses.rows)


def _moment(text: str) -> datetime:
    """`2026-11-23T05:00Z`, as ECS writes times."""
    return datetime.fromisoformat(text)
