"""Each node recovers by itself: ECS moves it to other hardware or restarts it, as its maintenance attribute says.

No alarm can act on a node here. So this function makes sure, when a node starts and once an hour, that every node of ours is set
to recover and that nobody has changed it; and each minute it reads the status of all nodes (status_check.py).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from handlers.operations.hangzhou.api import PAGE_ROWS, Nothing, ask, numbered
from handlers.operations.hangzhou.nodes import running_instances
from handlers.operations.hangzhou.status_check import StatusEvent, check
from handlers.operations.journal import Outcome, read_event, report
from handlers.settings import Deployment

RECOVER = "AutoRecover"


class NodeEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node has started or ended, or an hour has passed: all nodes are looked at either way."""

    stage: str = ""
    instance: str = ""
    state: str = ""


class NodesSetRight(Outcome, frozen=True, kw_only=True):
    """How many nodes there are, and which were not set to recover."""

    nodes: int
    set_right: tuple[str, ...]


class _Action(msgspec.Struct, frozen=True):
    value: str = msgspec.field(name="Value", default="")


class _Attribute(msgspec.Struct, frozen=True):
    instance: str = msgspec.field(name="InstanceId")
    action: _Action = msgspec.field(name="ActionOnMaintenance", default=_Action())


class _Attributes(msgspec.Struct, frozen=True):
    rows: list[_Attribute] = msgspec.field(name="MaintenanceAttribute")


class _Answer(msgspec.Struct, frozen=True):
    attributes: _Attributes = msgspec.field(name="MaintenanceAttributes")


def reconcile(stage: str) -> NodesSetRight:
    """Look at all nodes of ours, and set right those that would not recover."""
    nodes = tuple(row.id for row in running_instances(stage))
    wrong: list[str] = []
    for start in range(0, len(nodes), PAGE_ROWS):
        batch = nodes[start : start + PAGE_ROWS]
        form = {**numbered("InstanceId", batch), "PageSize": str(PAGE_ROWS)}
        answer = ask("ecs", "DescribeInstanceMaintenanceAttributes", _Answer, form)
        wrong += [row.instance for row in answer.attributes.rows if row.action.value != RECOVER]
    for start in range(0, len(wrong), PAGE_ROWS):
        batch = tuple(wrong[start : start + PAGE_ROWS])
        form = {**numbered("InstanceId", batch), "ActionOnMaintenance": RECOVER}
        ask("ecs", "ModifyInstanceMaintenanceAttributes", Nothing, form)
    return NodesSetRight(nodes=len(nodes), set_right=tuple(sorted(wrong)))


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Called when an instance changes its state, every hour, and each minute to read statuses."""
    if "period_s" in event:
        return report(check(read_event(event, StatusEvent)))
    wanted = read_event(event, NodeEvent)
    return report(reconcile(wanted.stage or _stage()))


def _stage() -> str:
    """A monitor's event does not say whose node it is; only those of this deployment are looked at."""
    return Deployment.parse(os.environ).environment
