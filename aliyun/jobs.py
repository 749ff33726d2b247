"""Schedules: what runs by the clock, and with which numbers."""

from __future__ import annotations

from typing import Any

from aliyun.base import Export, RouterStack, as_json, camel
from aliyun.functions import FunctionsStack
from aliyun.settings import Settings
from stacks.policy import Policy


class JobsStack(RouterStack):
    """A timer for each job; its payload is the event that the handler gets."""

    name = "jobs"

    def __init__(self, settings: Settings, *, functions: FunctionsStack) -> None:
        super().__init__(settings)
        for name, minutes, event in schedules(settings.policy):
            timer(self, name, functions.functions[name], minutes, event)


def schedules(policy: Policy) -> list[tuple[str, int, dict[str, Any]]]:
    """(function, minutes between runs, event)."""
    return [
        (
            "purge",
            policy.purge_interval_minutes,
            {
                "retention_days_default": policy.metadata_retention_days_default,
                "retention_days_min": policy.metadata_retention_days_min,
                "retention_days_max": policy.metadata_retention_days_max,
            },
        ),
        ("reap", policy.reap_interval_minutes, {}),
        ("checkpoint", policy.checkpoint_interval_minutes, {}),
        ("rotation", policy.rotation_check_interval_hours * 60, {"secret_age_days_max": policy.secret_age_days_max}),
        (
            "snapshot-check",
            policy.snapshot_check_interval_hours * 60,
            {"backup_retention_days": policy.backup_retention_days},
        ),
    ]


def timer(stack: RouterStack, name: str, function: Export, minutes: int, event: dict[str, Any]) -> None:
    """Invoke a function every so many minutes with this event."""
    stack.add(
        f"{camel(name)}Timer",
        "ALIYUN::FC3::Trigger",
        {
            "FunctionName": stack.use(function),
            "TriggerName": f"{name}-every-{minutes}-minutes",
            "TriggerType": "timer",
            "Description": f"{name} every {minutes} minutes",
            "TriggerConfig": {"cronExpression": f"@every {minutes}m", "enable": True, "payload": as_json(event)},
        },
    )
