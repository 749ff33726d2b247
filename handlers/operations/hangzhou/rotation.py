"""Names the secrets that are older than promised. It reads names and dates; it can read no value."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from handlers.operations.hangzhou.api import PAGE_ROWS, ask
from handlers.operations.journal import read_event, report
from handlers.operations.rotation import RotationEvent, SecretsChecked, SecretsDue


class _Secret(msgspec.Struct, frozen=True):
    name: str = msgspec.field(name="SecretName")
    changed_at: str = msgspec.field(name="UpdateTime")


class _Secrets(msgspec.Struct, frozen=True):
    rows: list[_Secret] = msgspec.field(name="Secret")


class _Page(msgspec.Struct, frozen=True):
    total: int = msgspec.field(name="TotalCount")
    secrets: _Secrets = msgspec.field(name="SecretList")


def listed_names(prefix: str) -> tuple[str, ...]:
    """The full names of the secrets whose names begin so."""
    return tuple(row.name for row in _listed(prefix) if row.name.startswith(prefix))


def check(event: RotationEvent, now: datetime) -> SecretsChecked:
    """List the environment's secrets with the date of their last change."""
    rows = [row for row in _listed(event.prefix) if row.name.startswith(event.prefix)]
    oldest = now - timedelta(days=event.age_days_max)
    due = sorted(row.name for row in rows if datetime.fromisoformat(row.changed_at) < oldest)
    return SecretsChecked(secrets=len(rows), due=tuple(due))


def _listed(prefix: str) -> list[_Secret]:
    wanted = msgspec.json.encode([{"Key": "SecretName", "Values": [prefix]}]).decode()
    found: list[_Secret] = []
    page = 1
    while True:
        form = {"PageNumber": str(page), "PageSize": str(PAGE_ROWS), "Filters": wanted}
        answer = ask("kms", "ListSecrets", _Page, form)
        found += answer.secrets.rows
        if not answer.secrets.rows or len(found) >= answer.total:
            return found
        page += 1


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Called once a day."""
    found = check(read_event(event, RotationEvent), datetime.now(UTC))
    answer = report(found)
    if found.due:
        raise SecretsDue("secrets are older than promised: see this function's last log line for their names")
    return answer
