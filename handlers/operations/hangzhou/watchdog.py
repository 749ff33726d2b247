"""Reboots one node when nothing answers any more; the guard rails are those of `handlers.operations.watchdog.decide`.

An alarm's call carries the alarm and not our settings, so the deployment leaves them in a parameter beside the memory of the last
reboot; a schedule's event has them in itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from handlers.operations.hangzhou.api import Nothing, ask, numbered
from handlers.operations.hangzhou.nodes import running_nodes
from handlers.operations.hangzhou.parameters import read_parameter, write_parameter
from handlers.operations.journal import read_event, report
from handlers.operations.watchdog import Facts, Target, WatchEvent, decide
from handlers.settings import Deployment

MISMATCH = "RESPONSE_MISMATCH"
"""The load balancer's word for a target that answered, only not with success."""
ANSWERED = "Target.ResponseCodeMismatch"
"""The same in the words of `decide`."""


class _Alarm(msgspec.Struct, frozen=True):
    state: str = msgspec.field(name="AlertState", default="")


class _Alarms(msgspec.Struct, frozen=True):
    rows: list[_Alarm] = msgspec.field(name="Alarm", default_factory=list)


class _Rules(msgspec.Struct, frozen=True):
    alarms: _Alarms = msgspec.field(name="Alarms", default_factory=_Alarms)


class _Listener(msgspec.Struct, frozen=True):
    id: str = msgspec.field(name="ListenerId")


class _Listeners(msgspec.Struct, frozen=True):
    rows: list[_Listener] = msgspec.field(name="Listeners")


class _Reason(msgspec.Struct, frozen=True):
    code: str = msgspec.field(name="ReasonCode", default="")


class _Server(msgspec.Struct, frozen=True):
    address: str = msgspec.field(name="ServerIp", default="")
    status: str = msgspec.field(name="Status", default="")
    reason: _Reason = msgspec.field(name="Reason", default=_Reason())


class _Group(msgspec.Struct, frozen=True):
    id: str = msgspec.field(name="ServerGroupId")
    checked: str = msgspec.field(name="HealthCheckEnabled", default="")
    """`on` or `off`."""
    unhealthy: list[_Server] = msgspec.field(name="NonNormalServers", default_factory=list)


class _Health(msgspec.Struct, frozen=True):
    groups: list[_Group] = msgspec.field(name="ServerGroupInfos", default_factory=list)


class _ListenerHealth(msgspec.Struct, frozen=True):
    listeners: list[_Health] = msgspec.field(name="ListenerHealthStatus", default_factory=list)
    rules: list[_Health] = msgspec.field(name="RuleHealthStatus", default_factory=list)


class _Servers(msgspec.Struct, frozen=True):
    rows: list[_Server] = msgspec.field(name="Servers")


class _Database(msgspec.Struct, frozen=True):
    status: str = msgspec.field(name="DBInstanceStatus", default="")


class _DatabaseItems(msgspec.Struct, frozen=True):
    rows: list[_Database] = msgspec.field(name="DBInstanceAttribute", default_factory=list)


class _DatabaseAnswer(msgspec.Struct, frozen=True):
    items: _DatabaseItems = msgspec.field(name="Items", default_factory=_DatabaseItems)


def gather(event: WatchEvent, now: datetime) -> Facts:
    """Ask the cloud for the facts; nothing is changed. `target_group` is the load balancer's id here."""
    return Facts(
        now=now,
        alarming=any(_alarming(alarm.name) for alarm in event.alarms),
        targets=_targets(event.target_group),
        database=_database_status(event.database),
        nodes=running_nodes(event.stage),
        last_reboot=_recall(event.memory),
        cooldown=timedelta(minutes=event.cooldown_minutes),
    )


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Called by an alarm, and on a schedule while one may still last."""
    wanted = read_event(event if "memory" in event else _settings(), WatchEvent)
    now = datetime.now(UTC)
    decision = decide(gather(wanted, now))
    if decision.instance:
        # Written first: a crash between the two costs a reboot and never doubles one.
        write_parameter(wanted.memory, f"{now.isoformat()} {decision.instance}")
        ask("ecs", "RebootInstance", Nothing, {"InstanceId": decision.instance})
    return report(decision)


def settings_parameter(stage: str) -> str:
    """Where the deployment leaves the watchdog's settings."""
    return f"therouter-{stage}-watchdog-settings"


def _settings() -> object:
    text = read_parameter(settings_parameter(Deployment.parse(os.environ).environment))
    return msgspec.json.decode(text)


def _alarming(rule: str) -> bool:
    answer = ask("metrics", "DescribeMetricRuleList", _Rules, {"RuleIds": rule})
    return any(row.state == "ALARM" for row in answer.alarms.rows)


def _targets(balancer: str) -> tuple[Target, ...]:
    """Every pod behind a route that is checked; what the load balancer does not complain of is healthy."""
    listeners = ask("alb", "ListListeners", _Listeners, numbered("LoadBalancerIds", (balancer,)))
    targets: dict[str, Target] = {}
    for listener in listeners.rows:
        form = {"ListenerId": listener.id, "IncludeRule": "true"}
        health = ask("alb", "GetListenerHealthStatus", _ListenerHealth, form)
        groups = {group.id: group for part in (*health.listeners, *health.rules) for group in part.groups}
        for group in groups.values():
            if group.checked == "on":
                targets |= {target.address: target for target in _group_targets(group)}
    return tuple(targets.values())


def _group_targets(group: _Group) -> list[Target]:
    complaints = {server.address: server for server in group.unhealthy}
    servers = ask("alb", "ListServerGroupServers", _Servers, {"ServerGroupId": group.id, "MaxResults": "100"})
    found = []
    for server in servers.rows:
        complaint = complaints.get(server.address)
        if server.status != "Available":
            found.append(Target(server.address, "draining", ""))
        elif complaint is None:
            found.append(Target(server.address, "healthy", ""))
        else:
            state = "initial" if complaint.status == "Initial" else "unhealthy"
            found.append(Target(server.address, state, ANSWERED if complaint.reason.code == MISMATCH else ""))
    return found


def _database_status(database: str) -> str:
    answer = ask("rds", "DescribeDBInstanceAttribute", _DatabaseAnswer, {"DBInstanceId": database})
    status = answer.items.rows[0].status if answer.items.rows else ""
    return "available" if status == "Running" else status


def _recall(memory: str) -> datetime | None:
    """When the last reboot was; the parameter holds `<ISO time> <instance>`, or something else before the first."""
    try:
        return datetime.fromisoformat(read_parameter(memory).partition(" ")[0])
    except ValueError:
        return None
