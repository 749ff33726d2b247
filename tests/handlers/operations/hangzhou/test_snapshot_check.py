"""Backups are as promised, or the function fails and says which are not."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from handlers.operations.hangzhou.snapshot_check import check, handler
from handlers.operations.snapshot_check import BackupsUnsound, CheckEvent
from tests.handlers.operations.hangzhou.conftest import Account

EVENT = {"database": "pgm-1", "retention_days": 14}


def days_ago(now: datetime, days: float) -> str:
    return f"{now - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.claim("C64", "C65")
def test_c65_backups_as_promised_are_sound(account: Account, now: datetime) -> None:
    account.page_rows = 5
    account.backups = {f"b-{index}": days_ago(now, index) for index in range(15)}
    assert handler(EVENT, None)["snapshots"] == 15


@pytest.mark.claim("C64", "C65")
@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"backups": {"b-old": "2026-01-01T00:00:00Z"}}, ("too_old", ("b-old",))),
        ({"encryption_key": ""}, ("unencrypted", ("pgm-1",))),
        ({"retention_days": 13}, ("wrong_retention", ("pgm-1",))),
        ({"log_days": 7}, ("wrong_retention", ("pgm-1",))),
    ],
)
def test_c65_a_broken_promise_is_found(
    account: Account, now: datetime, change: dict[str, Any], finding: tuple[str, tuple[str, ...]]
) -> None:
    for name, value in change.items():
        setattr(account, name, value)
    found = check(CheckEvent(**EVENT), now)  # type: ignore[arg-type]
    assert getattr(found, finding[0]) == finding[1]
    with pytest.raises(BackupsUnsound):
        handler(EVENT, None)
