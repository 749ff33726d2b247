"""Names the secrets that are older than promised. It reads names and dates; it can read no value.

What to do then is in the runbook (stacks/__init__.py): most secrets have an owner outside AWS, and those of ours are versioned and
replaced by `put-secret-value`, the old version staying valid until every process has fetched the new one.
A finding makes the function fail, which sounds its alarm.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import msgspec

from handlers.operations.alarms import REGION
from handlers.operations.journal import Outcome, read_event, report


class RotationEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose secrets, and how old they may become."""

    prefix: str
    age_days_max: int


class SecretsChecked(Outcome, frozen=True, kw_only=True):
    """How many there are, and which are due."""

    secrets: int
    due: tuple[str, ...]


class SecretsDue(RuntimeError):
    """Secrets are older than promised; the log line names them."""


def check(event: RotationEvent, secretsmanager: Any, now: datetime) -> SecretsChecked:
    """List the environment's secrets with the date of their last change."""
    pages = secretsmanager.get_paginator("list_secrets").paginate(Filters=[{"Key": "name", "Values": [event.prefix]}])
    rows = [row for page in pages for row in page["SecretList"] if row["Name"].startswith(event.prefix)]
    oldest = now - timedelta(days=event.age_days_max)
    due = sorted(row["Name"] for row in rows if row.get("LastChangedDate", row["CreatedDate"]) < oldest)
    return SecretsChecked(secrets=len(rows), due=tuple(due))


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Called once a day."""
    found = check(
        read_event(event, RotationEvent), boto3.client("secretsmanager", region_name=REGION), datetime.now(UTC)
    )
    answer = report(found)
    if found.due:
        raise SecretsDue("secrets are older than promised: see this function's last log line for their names")
    return answer
