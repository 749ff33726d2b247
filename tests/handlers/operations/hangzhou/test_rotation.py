"""Secrets older than promised are named and make the function fail; no value is read."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from handlers.operations.hangzhou.rotation import check, handler
from handlers.operations.rotation import RotationEvent, SecretsDue
from tests.handlers.operations.hangzhou.conftest import Account

EVENT = {"prefix": "therouter/production/", "age_days_max": 90}


def days_ago(now: datetime, days: float) -> str:
    return f"{now - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.claim("C63")
def test_c63_young_secrets_are_fine(account: Account, now: datetime) -> None:
    account.secrets = {f"therouter/production/wire/p{index}": days_ago(now, 89) for index in range(150)}
    assert handler(EVENT, None)["secrets"] == 150
    assert set(account.calls) == {"ListSecrets"}


@pytest.mark.claim("C63")
def test_c63_an_old_secret_is_named_and_sounds_the_alarm(account: Account, now: datetime) -> None:
    account.secrets = {
        "therouter/production/keys/mint": days_ago(now, 91),
        "therouter/staging/keys/mint": days_ago(now, 999),
    }
    assert check(RotationEvent(**EVENT), now).due == ("therouter/production/keys/mint",)  # type: ignore[arg-type]
    with pytest.raises(SecretsDue):
        handler(EVENT, None)
