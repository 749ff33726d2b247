"""Reads the status of every node each minute: impaired hardware moves it to other hardware, an impaired system restarts it.

The other cloud does this by two alarms for each node; here no alarm acts on a node, so this function counts.
    1. A node is impaired if ECS says so; `InsufficientData` and everything else counts for nothing and ends a count.
    2. The hardware is at fault while a system failure of ECS's own stands against the node; otherwise the node's system is.
    3. So many checks in a row (the policy's numbers, in the event) and the node is moved (`RedeployInstance`) or restarted.
    4. At most one node in a check, the longest impaired one; its count begins anew.

`count` is pure. The counts lie in a parameter beside the watchdog's; the function runs with a concurrency of one, and they are
written before a node is touched, so that a crash between the two costs a restart and never doubles one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from handlers.operations.hangzhou.api import PAGE_ROWS, Nothing, ask, numbered
from handlers.operations.hangzhou.nodes import running_instances
from handlers.operations.hangzhou.parameters import read_parameter, write_parameter
from handlers.operations.journal import Outcome

IMPAIRED = "Impaired"
HARDWARE = "SystemFailure."


class StatusEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose nodes, and after how many failed checks in a row something is done."""

    stage: str
    period_s: int
    recover_after_failures: int
    restart_after_failures: int
    failures: str
    """Name of the parameter that holds the counts."""


class StatusesChecked(Outcome, frozen=True, kw_only=True):
    """How many nodes there are, which are impaired, and which one was moved or restarted."""

    nodes: int
    impaired: tuple[str, ...]
    moved: str = ""
    restarted: str = ""


class Failures(msgspec.Struct, frozen=True):
    """Checks in a row that a node has failed, by what was at fault."""

    system: int = 0
    instance: int = 0


class Seen(NamedTuple):
    """What one check says of a node."""

    node: str
    impaired: bool
    hardware: bool


class Verdict(NamedTuple):
    """The new counts, and the node to act on, if any."""

    counts: dict[str, Failures]
    moved: str = ""
    restarted: str = ""


class _Named(msgspec.Struct, frozen=True):
    name: str = msgspec.field(name="Name", default="")


class _SystemEvent(msgspec.Struct, frozen=True):
    type: _Named = msgspec.field(name="EventType", default=_Named())


class _SystemEvents(msgspec.Struct, frozen=True):
    rows: list[_SystemEvent] = msgspec.field(name="ScheduledSystemEventType", default_factory=list)


class _Status(msgspec.Struct, frozen=True):
    node: str = msgspec.field(name="InstanceId")
    health: _Named = msgspec.field(name="HealthStatus", default=_Named())
    events: _SystemEvents = msgspec.field(name="ScheduledSystemEventSet", default_factory=_SystemEvents)


class _Statuses(msgspec.Struct, frozen=True):
    rows: list[_Status] = msgspec.field(name="InstanceFullStatusType", default_factory=list)


class _Page(msgspec.Struct, frozen=True):
    statuses: _Statuses = msgspec.field(name="InstanceFullStatusSet", default_factory=_Statuses)


def count(before: Mapping[str, Failures], seen: Sequence[Seen], event: StatusEvent) -> Verdict:
    """One check on top of those before."""
    counts = {row.node: _next(before.get(row.node, Failures()), row) for row in seen if row.impaired}
    due = sorted(
        (name for name, row in counts.items() if _due(row, event)),
        key=lambda name: (counts[name].system + counts[name].instance, name),
    )
    if not due:
        return Verdict(counts)
    node = due[-1]
    hardware = counts.pop(node).system >= event.recover_after_failures
    return Verdict(counts, moved=node) if hardware else Verdict(counts, restarted=node)


def _next(before: Failures, row: Seen) -> Failures:
    return Failures(system=before.system + 1) if row.hardware else Failures(instance=before.instance + 1)


def _due(row: Failures, event: StatusEvent) -> bool:
    return row.system >= event.recover_after_failures or row.instance >= event.restart_after_failures


def check(event: StatusEvent) -> StatusesChecked:
    """Look at all nodes of ours and act on at most one."""
    nodes = tuple(row.id for row in running_instances(event.stage))
    seen = [row for start in range(0, len(nodes), PAGE_ROWS) for row in _statuses(nodes[start : start + PAGE_ROWS])]
    before = _recall(event.failures)
    verdict = count(before, seen, event)
    if verdict.counts != before:
        write_parameter(event.failures, msgspec.json.encode(verdict.counts).decode())
    if verdict.moved:
        ask("ecs", "RedeployInstance", Nothing, {"InstanceId": verdict.moved})
    if verdict.restarted:
        ask("ecs", "RebootInstance", Nothing, {"InstanceId": verdict.restarted})
    impaired = tuple(sorted(row.node for row in seen if row.impaired))
    return StatusesChecked(nodes=len(nodes), impaired=impaired, moved=verdict.moved, restarted=verdict.restarted)


def _statuses(nodes: tuple[str, ...]) -> list[Seen]:
    form = {**numbered("InstanceId", nodes), "PageSize": str(PAGE_ROWS)}
    answer = ask("ecs", "DescribeInstancesFullStatus", _Page, form)
    return [
        Seen(row.node, row.health.name == IMPAIRED, any(e.type.name.startswith(HARDWARE) for e in row.events.rows))
        for row in answer.statuses.rows
    ]


def _recall(name: str) -> dict[str, Failures]:
    """The counts so far; none before the first check."""
    try:
        return msgspec.json.decode(read_parameter(name), type=dict[str, Failures])
    except msgspec.MsgspecError:
        return {}
