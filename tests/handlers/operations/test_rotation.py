from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from handlers.operations import rotation
from handlers.operations.rotation import RotationEvent, SecretsDue, check, handler

pytestmark = pytest.mark.usefixtures("aws")
EVENT = {"prefix": "therouter/production/", "age_days_max": 90}


def client() -> Any:
    return boto3.client("secretsmanager", region_name="us-east-2")


def store(*names: str) -> None:
    for name in names:
        client().create_secret(Name=name, SecretString="made for this test")


@pytest.mark.claim("C63")
def test_fresh_secrets_pass_and_their_values_stay_unread() -> None:
    store("therouter/production/provider/openai", "therouter/production/keys/mint")
    answer = handler(EVENT, None)
    assert answer == {"outcome": "SecretsChecked", "secrets": 2, "due": []}


@pytest.mark.claim("C63")
def test_secrets_past_their_days_are_named() -> None:
    store("therouter/production/keys/mint", "therouter/staging/keys/mint", "somebody/else")
    late = datetime.now(UTC) + timedelta(days=91)
    found = check(RotationEvent("therouter/production/", 90), client(), late)
    assert found.due == ("therouter/production/keys/mint",)
    assert not check(RotationEvent("therouter/production/", 90), client(), late - timedelta(days=2)).due


def test_a_due_secret_fails_the_function_so_that_somebody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    store("therouter/production/keys/mint")

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(days=91)

    monkeypatch.setattr(rotation, "datetime", Later)
    with pytest.raises(SecretsDue):
        handler(EVENT, None)
